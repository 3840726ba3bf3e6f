// GEMM2 on tensor cores: the down projection, scattered to slots or added up in out.
#pragma once

#include "device/pdl.cuh"
#include "moe_mxfp4/mma.cuh"
#include "moe_mxfp4/mma_add.cuh"

namespace rtjit::moe_mxfp4 {

template <int kBlockM, int kBlockN, int kBlockK, int kWarps, int kStages, Store kStore>
using Storage2 = Storage<Tiling<kBlockM, kBlockN, kBlockK, kWarps, kStages>, kBlockM, kStages,
                         kBlockM * staged_pitch<kBlockN, kStore>>;

// `finish(loop, shared, tile, row_block)` does the rest.
template <int kBlockM, int kBlockN, int kBlockK, int kWarps, int kStages, Store kStore, class Entry,
          class Finish>
__device__ inline void project_tile(const u16* h, const u8* tiles, const u8* scales, const Entry* sorted,
                                    const TokenTile* token_tiles, const i32* tile_counts, int hidden,
                                    int intermediate, const Finish& finish) {
  using T = Tiling<kBlockM, kBlockN, kBlockK, kWarps, kStages>;
  using Shared = Storage2<kBlockM, kBlockN, kBlockK, kWarps, kStages, kStore>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(Shared) == RTJIT_SMEM_BYTES);
#endif
  Shared& shared = *reinterpret_cast<Shared*>(shared_memory);
  wait_for_predecessor();
  let_successor_start();
  TokenTile tile;
  int row_block;
  if (!find_tile(token_tiles, tile_counts + 1, (hidden + kBlockN - 1) / kBlockN, &tile, &row_block)) return;
  const int rows = tile.rows;
  for (int m = int(threadIdx.x); m < kBlockM; m += T::kThreads) {
    shared.rows[m] = m < rows ? output_row(sorted[tile.first_row + m]) : -1;
  }
  __syncthreads();

  MainLoop<T, kBlockM, kBlockN, kBlockK, kStages> loop(shared.bytes, {tiles, scales, hidden, intermediate},
                                                       tile.expert, row_block * (kBlockN / kStripRows));
  const u16* first_row = h + i64(tile.first_row) * intermediate;
  loop.run([&](int m, bool& take) {
    take = take && m < rows;
    return first_row + (take ? m * intermediate : 0);
  });

  finish(loop, shared, tile, row_block);
}

// y[slot, n] = W2 h + bias, not yet weighted.
template <int kBlockM, int kBlockN, int kBlockK, int kWarps, int kStages, Store kStore, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps)
    gemm2_mma(const u16* h, const u8* tiles, const u8* scales, const u8* row_exponents, const void* bias,
              const i32* sorted_slots, const TokenTile* token_tiles, const i32* tile_counts, u16* y,
              int hidden, int intermediate, int slots, const __grid_constant__ TensorMap y_map) {
  using T = Tiling<kBlockM, kBlockN, kBlockK, kWarps, kStages>;
  project_tile<kBlockM, kBlockN, kBlockK, kWarps, kStages, kStore>(
      h, tiles, scales, sorted_slots, token_tiles, tile_counts, hidden, intermediate,
      [&](const auto& loop, auto& shared, const TokenTile& tile, int row_block) {
        constexpr int kPitch = staged_pitch<kBlockN, kStore>;
        if (loop.holds_sums()) {
          stage_projections<T, kBlockN, kPitch, kBias>(loop, shared.bytes, row_block, tile.expert, hidden,
                                                       row_exponents, bias);
        }
        scatter_rows<kStore, kBlockM, kBlockN, T::kThreads>(shared.bytes, shared.rows, tile.rows,
                                                            row_block * kBlockN, hidden, slots, y, y_map);
      });
}

// out[token, n] += weight * (W2 h + bias)
template <int kBlockM, int kBlockN, int kBlockK, int kWarps, int kStages, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps)
    gemm2_mma_add(const u16* h, const u8* tiles, const u8* scales, const u8* row_exponents, const void* bias,
                  const TokenShare* shares, const TokenTile* token_tiles, const i32* tile_counts, u16* out,
                  int hidden, int intermediate) {
  using T = Tiling<kBlockM, kBlockN, kBlockK, kWarps, kStages>;
  const SummedRows output{out, shares, hidden};
  project_tile<kBlockM, kBlockN, kBlockK, kWarps, kStages, Store::plain>(
      h, tiles, scales, shares, token_tiles, tile_counts, hidden, intermediate,
      [&](const auto& loop, auto& shared, const TokenTile& tile, int row_block) {
        add_projections<T, kBlockM, kBlockN, kBias>(loop, shared, tile, row_block, row_exponents, bias,
                                                    output);
      });
}

}  // namespace rtjit::moe_mxfp4
