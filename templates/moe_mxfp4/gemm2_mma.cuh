// GEMM2 on tensor cores: the down projection, scattered to slots.
#pragma once

#include "device/pdl.cuh"
#include "device/tensor_map.cuh"
#include "moe_mxfp4/mma.cuh"

namespace rtjit::moe_mxfp4 {

// The pitch of a staged output row: padded against bank conflicts, except where TMA reads it.
template <int kBlockN, Store kStore>
constexpr int kPitch2 = kBlockN * 2 + (kStore == Store::plain ? 16 : 0);

template <int kBlockM, int kBlockN, int kBlockK, int kWarps, int kStages, Store kStore>
using Storage2 = Storage<Tiling<kBlockM, kBlockN, kBlockK, kWarps, kStages>, kBlockM, kStages,
                         kBlockM * kPitch2<kBlockN, kStore>>;

// y[slot, n] = W2 h + bias, not yet weighted.
template <int kBlockM, int kBlockN, int kBlockK, int kWarps, int kStages, Store kStore, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps)
    gemm2_mma(const u16* h, const u8* tiles, const u8* scales, const u8* row_exponents, const void* bias,
              const i32* sorted_slots, const TokenTile* token_tiles, const i32* tile_counts, u16* y,
              int hidden, int intermediate, int slots, const __grid_constant__ TensorMap y_map) {
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
    shared.rows[m] = m < rows ? sorted_slots[tile.first_row + m] : -1;
  }
  __syncthreads();

  MainLoop<T, kBlockM, kBlockN, kBlockK, kStages> loop(shared.bytes, {tiles, scales, hidden, intermediate},
                                                       tile.expert, row_block * (kBlockN / kStripRows));
  const u16* first_row = h + i64(tile.first_row) * intermediate;
  loop.run([&](int m, bool& take) {
    take = take && m < rows;
    return first_row + (take ? m * intermediate : 0);
  });

  constexpr int kPitch = kPitch2<kBlockN, kStore>;
  const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
  if (loop.holds_sums()) {
#pragma unroll
    for (int s = 0; s < T::kStrips; ++s) {
      const int strip = loop.warp_n() * T::kStrips + s;
#pragma unroll
      for (int upper = 0; upper < 2; ++upper) {
        const int row = row_block * kBlockN + strip * kStripRows + g + 8 * upper;
        if (row >= hidden) break;
        const i64 index = i64(tile.expert) * hidden + row;
        const float factor = row_factor(row_exponents[index]), row_bias = load_bias<kBias>(bias, index);
#pragma unroll
        for (int c = 0; c < T::kColumns; ++c) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            const int m = (loop.warp_m() * T::kColumns + c) * 8 + 2 * t + i;
            *reinterpret_cast<u16*>(shared.bytes + m * kPitch + (strip * kStripRows + g + 8 * upper) * 2) =
                float_to_bf16(loop.sums[s][c][i + 2 * upper] * factor + row_bias);
          }
        }
      }
    }
  }
  if constexpr (kStore == Store::plain) {
    __syncthreads();
    store_rows<kBlockM, kBlockN, kPitch, T::kThreads>(shared.bytes, row_block * kBlockN, hidden, [&](int m) {
      return m < rows ? y + i64(shared.rows[m]) * hidden : nullptr;
    });
  } else {
    fence_async_shared();
    __syncthreads();
    const int first = int(threadIdx.x) * 4;
    if (first < rows) {
      int targets[4];  // a row index beyond the matrix leaves the row out
#pragma unroll
      for (int i = 0; i < 4; ++i) targets[i] = first + i < rows ? shared.rows[first + i] : slots;
      store_scatter4(y_map, shared_address(shared.bytes + first * kPitch), row_block * kBlockN, targets);
      bulk_commit();
      bulk_wait_read();
    }
  }
}

}  // namespace rtjit::moe_mxfp4
