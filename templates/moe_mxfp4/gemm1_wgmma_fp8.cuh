// GEMM1 with MXFP8 activations on Hopper's warp-group tensor cores: gate and up rows, bias and activation.
#pragma once

#include "moe_mxfp4/wgmma_fp8.cuh"

namespace rtjit::moe_mxfp4 {

// h[sorted row, i] = activation(gate, up) for rows of x in sorted order, in bf16.
template <int kBlockM, int kStages, int kSteps, int kHidden, Activation kActivation, Bias kBias>
__global__ void __launch_bounds__(WgmmaFp8Shape<kBlockM, kStages, kSteps, kHidden>::kThreads, 1)
    gemm1_wgmma_fp8(const u8* x_codes, const float* x_factors, const u8* tiles, const u8* scales,
                    const u8* row_exponents, const void* bias, const float* alphas, const float* betas,
                    const float* limits, float alpha, float beta, float limit, int limited,
                    const TokenTile* token_tiles, const i32* tile_counts, u16* h, int intermediate) {
  using S = WgmmaFp8Shape<kBlockM, kStages, kSteps, kHidden>;
  using Shared = WgmmaFp8Shared<S>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(Shared) == RTJIT_SMEM_BYTES);
#endif
  Shared& shared = *reinterpret_cast<Shared*>(wgmma_shared);
  init_shared(shared);
  wait_for_predecessor();
  let_successor_start();
  const int row_blocks = div_up(2 * intermediate, S::kBlockN);
  Ring<kStages> ring;
  if (threadIdx.x < kCopyThreads) {
    give_registers<S::kCopyRegisters>();
    if (threadIdx.x == 0) {
      for_each_tile(token_tiles, tile_counts, row_blocks, [&](const TokenTile& tile, int row_block) {
        copy_tile_in_bulk<S>(shared, ring, {tiles, scales, 2 * intermediate, kHidden}, x_codes, tile,
                             row_block * S::kStrips, false, [] {});
      });
    }
  } else {
    take_registers<S::kComputeRegisters>();
    const int group = int(threadIdx.x) / 128 - 1, warp = int(threadIdx.x >> 5) & 3;
    const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
    const Fp8Computer<S> computer(shared, group);
    for_each_tile(token_tiles, tile_counts, row_blocks, [&](const TokenTile& tile, int row_block) {
      const int row =  // this warp's strip
          row_block * S::kBlockN + group * 64 + warp * kStripRows;
      if (row - warp * kStripRows >= 2 * intermediate) {
        computer.skip(ring);
        return;
      }
      const int rows = tile.rows;
      const TileTokens<S> tokens(shared, group, x_factors + tile.first_row, nullptr, rows);
      const LaneRows n = lane_rows<kBias>(row_exponents, bias, tile.expert, 2 * intermediate, row);
      with_columns<S>(rows, [&](auto columns) {
        constexpr int kColumns = decltype(columns)::value;
        float sums[kColumns / 2];
        computer.template compute<kColumns>(ring, sums);
        tokens.share();
        // A thread holds gate (row g) and up (row g + 8) of the same i.
        const ActivationNumbers numbers =
            activation_numbers(alphas, betas, limits, tile.expert, alpha, beta, limit, limited);
        if (row >= 2 * intermediate) return;
        const i64 width = i64(keep(u32(intermediate)));
        u16* target = h + (tile.first_row + g) * width + row / 2 + 2 * t;
#pragma unroll
        for (int c = 0; c < kColumns / 8; ++c) {
          const float* sum = &sums[4 * c];
          const float2 factor = tokens.factors(8 * c + 2 * t);
          const u32 pair = transpose_pairs(
              activate<kActivation>(sum[0] * factor.x * n.lower_factor + n.lower_bias,
                                    sum[2] * factor.x * n.upper_factor + n.upper_bias, numbers),
              activate<kActivation>(sum[1] * factor.y * n.lower_factor + n.lower_bias,
                                    sum[3] * factor.y * n.upper_factor + n.upper_bias, numbers));
          store_if(c * 8 + g < rows, target, pair);
          target += 8 * width;
        }
      });
    });
  }
}

}  // namespace rtjit::moe_mxfp4
