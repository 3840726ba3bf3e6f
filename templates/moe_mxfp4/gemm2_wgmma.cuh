// GEMM2 on Hopper's warp-group tensor cores: the down projection, scattered to slots.
#pragma once

#include "moe_mxfp4/wgmma.cuh"

namespace rtjit::moe_mxfp4 {

// y[slot, n] = W2 h + bias, not yet weighted.
template <int kBlockM, int kBlockN, int kGroups, int kStages, Bias kBias>
__global__ void __launch_bounds__(WgmmaShape<kBlockM, kBlockN, kGroups, kStages>::kThreads, 1)
    gemm2_wgmma(const u16* h, const u8* tiles, const u8* scales, const u8* row_exponents, const void* bias,
                const i32* sorted_slots, const i32* expert_offsets, const TokenTile* token_tiles,
                const i32* tile_counts, u16* y, int hidden, int intermediate) {
  using S = WgmmaShape<kBlockM, kBlockN, kGroups, kStages>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(WgmmaShared<S>) == RTJIT_SMEM_BYTES);
#endif
  WgmmaShared<S>& shared = *reinterpret_cast<WgmmaShared<S>*>(wgmma_shared);
  init_barriers(shared);
  wait_for_predecessor();
  let_successor_start();
  const int row_blocks = (hidden + kBlockN - 1) / kBlockN;
  Ring<kStages> ring;
  if (threadIdx.x < kCopyThreads) {
    give_registers<S::kCopyRegisters>();
    for_each_tile(
        token_tiles, tile_counts + 1, row_blocks, expert_offsets, kBlockM,
        [&](const TokenTile& tile, int rows, int row_block) {
          copy_tile(shared, ring, {tiles, scales, hidden, intermediate}, tile.expert, row_block * S::kStrips,
                    [&](int m) { return h + i64(tile.first_row + min(m, rows - 1)) * intermediate; });
        });
    copy_async_wait<0>();
  } else {
    take_registers<S::kComputeRegisters>();
    const int group = int(threadIdx.x) / 128 - 1, warp = int(threadIdx.x >> 5) & 3;
    const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
    for_each_tile(
        token_tiles, tile_counts + 1, row_blocks, expert_offsets, kBlockM,
        [&](const TokenTile& tile, int rows, int row_block) {
          Sums<S> sums;
          sums.compute(shared, ring, intermediate, group);
#pragma unroll
          for (int p = 0; p < S::kParts; ++p) {
            const int row = (row_block * S::kStrips + (p * kGroups + group) * 4 + warp) * kStripRows;
            if (row >= hidden) break;
            const i64 index = i64(tile.expert) * hidden + row + g;
            const float lower_factor = row_factor(row_exponents[index]),
                        upper_factor = row_factor(row_exponents[index + 8]);
            const float lower_bias = load_bias<kBias>(bias, index),
                        upper_bias = load_bias<kBias>(bias, index + 8);
#pragma unroll
            for (int c = 0; c < kBlockM / 8; ++c) {
              const float* sum = &sums.values[p][4 * c];
              const u32 lower =
                  transpose_pairs(sum[0] * lower_factor + lower_bias, sum[1] * lower_factor + lower_bias);
              const u32 upper =
                  transpose_pairs(sum[2] * upper_factor + upper_bias, sum[3] * upper_factor + upper_bias);
              const bool take = c * 8 + g < rows;
              const int slot = take ? sorted_slots[tile.first_row + c * 8 + g] : 0;
              u16* target = y + i64(slot) * hidden + row + 2 * t;
              store_if(take, target, lower);
              store_if(take, target + 8, upper);
            }
          }
        });
  }
}

}  // namespace rtjit::moe_mxfp4
