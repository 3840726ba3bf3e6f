// GEMM2 with MXFP8 activations on Hopper's warp-group tensor cores: the down projection, scattered to slots.
#pragma once

#include "moe_mxfp4/wgmma_fp8.cuh"

namespace rtjit::moe_mxfp4 {

// y[slot, n] = W2 h + bias, not yet weighted.
template <int kBlockM, int kStages, int kSteps, int kIntermediate, Bias kBias>
__global__ void __launch_bounds__(WgmmaFp8Shape<kBlockM, kStages, kSteps, kIntermediate>::kThreads, 1)
    gemm2_wgmma_fp8(const u8* h_codes, const float* h_factors, const u8* tiles, const u8* scales,
                    const u8* row_exponents, const void* bias, const i32* sorted_slots,
                    const TokenTile* token_tiles, const i32* tile_counts, u16* y, int hidden) {
  using S = WgmmaFp8Shape<kBlockM, kStages, kSteps, kIntermediate>;
  using Shared = WgmmaFp8Shared<S>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(Shared) == RTJIT_SMEM_BYTES);
#endif
  Shared& shared = *reinterpret_cast<Shared*>(wgmma_shared);
  init_shared(shared);
  const int row_blocks = div_up(hidden, S::kBlockN);
  Ring<kStages> ring;
  if (threadIdx.x < kCopyThreads) {
    give_registers<S::kCopyRegisters>();
    if (threadIdx.x == 0) {
      // The tile list and the weights do not come from the predecessor: every kernel before this one in the
      // pipeline has waited for its own predecessor before it let this one start. Whoever computes waits for
      // what is copied after the wait.
      bool waited = false;
      auto wait = [&] {
        wait_for_predecessor();
        let_successor_start();
        waited = true;
      };
      for_each_tile(token_tiles, tile_counts + 1, row_blocks, [&](const TokenTile& tile, int row_block) {
        copy_tile_in_bulk<S>(shared, ring, {tiles, scales, hidden, kIntermediate}, h_codes, tile,
                             row_block * S::kStrips, !waited, wait);
      });
      if (!waited) wait();
    }
  } else {
    take_registers<S::kComputeRegisters>();
    const int group = int(threadIdx.x) / 128 - 1, warp = int(threadIdx.x >> 5) & 3;
    const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
    const Fp8Computer<S> computer(shared, group);
    for_each_tile(token_tiles, tile_counts + 1, row_blocks, [&](const TokenTile& tile, int row_block) {
      const int row =  // this warp's strip
          row_block * S::kBlockN + group * 64 + warp * kStripRows;
      if (row - warp * kStripRows >= hidden) {
        computer.skip(ring);
        return;
      }
      const int rows = tile.rows;
      with_columns<S>(rows, [&](auto columns) {
        constexpr int kColumns = decltype(columns)::value;
        float sums[kColumns / 2];
        computer.template compute<kColumns>(ring, sums);
        // The factors come from the predecessor, which the copied tokens have been waited for.
        const TileTokens<S> tokens(shared, group, h_factors + tile.first_row, sorted_slots + tile.first_row,
                                   rows);
        tokens.share();
        if (row >= hidden) return;
        const LaneRows n = lane_rows<kBias>(row_exponents, bias, tile.expert, hidden, row);
#pragma unroll
        for (int c = 0; c < kColumns / 8; ++c) {
          const float* sum = &sums[4 * c];
          const float2 factor = tokens.factors(8 * c + 2 * t);
          const u32 lower = transpose_pairs(sum[0] * factor.x * n.lower_factor + n.lower_bias,
                                            sum[1] * factor.y * n.lower_factor + n.lower_bias);
          const u32 upper = transpose_pairs(sum[2] * factor.x * n.upper_factor + n.upper_bias,
                                            sum[3] * factor.y * n.upper_factor + n.upper_bias);
          const bool take = c * 8 + g < rows;
          const int slot = tokens.slot(c * 8 + g);
          u16* target = y + i64(slot) * hidden + row + 2 * t;
          store_if(take, target, lower);
          store_if(take, target + 8, upper);
        }
      });
    });
  }
}

}  // namespace rtjit::moe_mxfp4
