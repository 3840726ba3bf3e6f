// GEMM1 on Hopper's warp-group tensor cores: gate and up rows, bias and activation.
#pragma once

#include "moe_mxfp4/wgmma.cuh"

namespace rtjit::moe_mxfp4 {

// h[sorted row, i] = activation(gate, up) for gathered rows of x.
template <int kBlockM, int kBlockN, int kGroups, int kStages, int kHalf, Activation kActivation, Bias kBias>
__global__ void __launch_bounds__(WgmmaShape<kBlockM, kBlockN, kGroups, kStages, kHalf != 0>::kThreads, 1)
    gemm1_wgmma(const u16* x, i64 x_stride, const u8* tiles, const u8* scales, const u8* row_exponents,
                const void* bias, const float* alphas, const float* betas, const float* limits, float alpha,
                float beta, float limit, int limited, const i32* sorted_slots, const TokenTile* token_tiles,
                const i32* tile_counts, u16* h, int hidden, int intermediate, int top_k) {
  using S = WgmmaShape<kBlockM, kBlockN, kGroups, kStages, kHalf != 0>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(WgmmaShared<S>) == RTJIT_SMEM_BYTES);
#endif
  WgmmaShared<S>& shared = *reinterpret_cast<WgmmaShared<S>*>(wgmma_shared);
  init_barriers(shared);
  wait_for_predecessor();
  let_successor_start();
  const int row_blocks = (2 * intermediate + kBlockN - 1) / kBlockN;
  Ring<kStages> ring;
  if (threadIdx.x < kCopyThreads) {
    give_registers<S::kCopyRegisters>();
    for_each_tile(token_tiles, tile_counts, row_blocks, [&](const TokenTile& tile, int row_block) {
      copy_tile(
          shared, ring, {tiles, scales, 2 * intermediate, hidden}, tile, row_block * S::kStrips,
          [&](int m) { return x + sorted_slots[tile.first_row + min(m, tile.rows - 1)] / top_k * x_stride; },
          false, [] {});
    });
    copy_async_wait<0>();
  } else {
    take_registers<S::kComputeRegisters>();
    const int group = int(threadIdx.x) / 128 - 1, warp = int(threadIdx.x >> 5) & 3;
    const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
    const Computer<S> computer(shared, group);
    for_each_tile(token_tiles, tile_counts, row_blocks, [&](const TokenTile& tile, int row_block) {
      with_columns<S>(tile.rows, [&](auto columns) {
        constexpr int kColumns = decltype(columns)::value;
        float sums[S::kParts][kColumns / 2];
        RawRows tile_rows[S::kParts];
        auto load_rows = [&] {
          load_tile_rows<S, kBias>(row_exponents, bias, tile.expert, 2 * intermediate,
                                   (row_block * S::kStrips + group * 4 + warp) * kStripRows, tile_rows);
        };
        if (S::kEarlyRows) load_rows();
        computer.compute<kColumns>(ring, hidden, sums);
        if (!S::kEarlyRows) load_rows();
        // A thread holds gate (row g) and up (row g + 8) of the same i.
        const ActivationNumbers numbers =
            activation_numbers(alphas, betas, limits, tile.expert, alpha, beta, limit, limited);
#pragma unroll
        for (int p = 0; p < S::kParts; ++p) {
          const int strip = row_block * S::kStrips + (p * kGroups + group) * 4 + warp;
          if (strip * kStripRows >= 2 * intermediate) break;
          const RowNumbers row = row_numbers<kBias>(tile_rows[p]);  // gate, up
          const i64 width = i64(keep(u32(intermediate)));
          u16* target = h + (tile.first_row + g) * width + strip * 8 + 2 * t;
#pragma unroll
          for (int c = 0; c < kColumns / 8; ++c) {
            const float* sum = &sums[p][4 * c];
            const u32 pair = transpose_pairs(
                activate<kActivation>(sum[0] * row.factors[0] + row.biases[0],
                                      sum[2] * row.factors[1] + row.biases[1], numbers),
                activate<kActivation>(sum[1] * row.factors[0] + row.biases[0],
                                      sum[3] * row.factors[1] + row.biases[1], numbers));
            store_if(c * 8 + g < tile.rows, target, pair);
            target += 8 * width;
          }
        }
      });
    });
  }
}

}  // namespace rtjit::moe_mxfp4
