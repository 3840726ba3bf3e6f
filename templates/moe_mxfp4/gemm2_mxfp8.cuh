// GEMM2 with MXFP8 tokens on mma.sync: the down projection, scattered to slots or added up in out.
#pragma once

#include "device/pdl.cuh"
#include "moe_mxfp4/mma_add.cuh"
#include "moe_mxfp4/mxfp8_loop.cuh"

namespace rtjit::moe_mxfp4 {

// `finish(loop, shared, tile, row_block)` does the rest.
template <class T, class Loop, int kBlockM, int kBlockN, int kStages, class Entry, class Finish>
__device__ inline void project_tile(const u8* h_codes, const u8* h_scales, const u8* tiles, const u8* scales,
                                    const Entry* sorted, const TokenTile* token_tiles, const i32* tile_counts,
                                    int hidden, int intermediate, const Finish& finish) {
  using Shared = Storage<T, kBlockM, kStages, kBlockM * staged_pitch<kBlockN, Store::plain>>;
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

  Loop loop(shared.bytes, {tiles, scales, hidden, intermediate}, {h_codes, h_scales}, tile.expert,
            row_block * (kBlockN / kStripRows));
  loop.run([&](int m) { return m < rows ? i64(tile.first_row + m) : -1; });

  finish(loop, shared, tile, row_block);
}

// y[slot, n] = W2 h + bias, not yet weighted.
template <int kBlockScaled, int kBlockM, int kBlockN, int kBlockK, int kWarps, int kStages, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps)
    gemm2_mxfp8(const u8* h_codes, const u8* h_scales, const u8* tiles, const u8* scales,
                const u8* row_exponents, const void* bias, const i32* sorted_slots,
                const TokenTile* token_tiles, const i32* tile_counts, u16* y, int hidden, int intermediate) {
  using T = ScaledTiling<kBlockM, kBlockN, kBlockK, kWarps, kStages>;
  using Loop = typename Mxfp8Loop<kBlockScaled, T, kBlockM, kBlockN, kBlockK, kStages>::Type;
  project_tile<T, Loop, kBlockM, kBlockN, kStages>(
      h_codes, h_scales, tiles, scales, sorted_slots, token_tiles, tile_counts, hidden, intermediate,
      [&](const auto& loop, auto& shared, const TokenTile& tile, int row_block) {
        constexpr int kPitch = staged_pitch<kBlockN, Store::plain>;
        if (loop.holds_sums()) {
          stage_projections<T, kBlockN, kPitch, kBias>(loop, shared.bytes, row_block, tile.expert, hidden,
                                                       row_exponents, bias);
        }
        __syncthreads();
        store_rows<kBlockM, kBlockN, kPitch, T::kThreads>(
            shared.bytes, row_block * kBlockN, hidden,
            [&](int m) { return m < tile.rows ? y + i64(shared.rows[m]) * hidden : nullptr; });
      });
}

// out[token, n] += weight * (W2 h + bias)
template <int kBlockScaled, int kBlockM, int kBlockN, int kBlockK, int kWarps, int kStages, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps)
    gemm2_mxfp8_add(const u8* h_codes, const u8* h_scales, const u8* tiles, const u8* scales,
                    const u8* row_exponents, const void* bias, const TokenShare* shares,
                    const TokenTile* token_tiles, const i32* tile_counts, u16* out, int hidden,
                    int intermediate) {
  using T = ScaledTiling<kBlockM, kBlockN, kBlockK, kWarps, kStages>;
  using Loop = typename Mxfp8Loop<kBlockScaled, T, kBlockM, kBlockN, kBlockK, kStages>::Type;
  const SummedRows output{out, shares, hidden};
  project_tile<T, Loop, kBlockM, kBlockN, kStages>(
      h_codes, h_scales, tiles, scales, shares, token_tiles, tile_counts, hidden, intermediate,
      [&](const auto& loop, auto& shared, const TokenTile& tile, int row_block) {
        add_projections<T, kBlockM, kBlockN, kBias>(loop, shared, tile, row_block, row_exponents, bias,
                                                    output);
      });
}

}  // namespace rtjit::moe_mxfp4
