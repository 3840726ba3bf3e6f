// GEMM2 on Hopper's warp-group tensor cores: the down projection, scattered to slots or added up in out.
#pragma once

#include "moe_mxfp4/output_rows.cuh"
#include "moe_mxfp4/wgmma.cuh"

namespace rtjit::moe_mxfp4 {
// `output`: where results go, SlotRows or SummedRows.
template <class S, Bias kBias, class Output>
__device__ inline void project_tiles(const u16* h, const u8* tiles, const u8* scales, const u8* row_exponents,
                                     const void* bias, const TokenTile* token_tiles, const i32* tile_counts,
                                     const Output& output, int hidden, int intermediate) {
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(WgmmaShared<S>) == RTJIT_SMEM_BYTES);
#endif
  WgmmaShared<S>& shared = *reinterpret_cast<WgmmaShared<S>*>(wgmma_shared);
  init_barriers(shared);
  const int row_blocks = (hidden + S::kBlockN - 1) / S::kBlockN;
  Ring<S::kStages> ring;
  if (threadIdx.x < kCopyThreads) {
    give_registers<S::kCopyRegisters>();
    // The tile list and the weights do not come from the predecessor, GEMM1: every kernel before this one in
    // the pipeline has waited for its own predecessor before it let this one start. Whoever computes waits
    // for what is copied after the wait.
    bool waited = false;
    auto wait = [&] {
      wait_for_predecessor();
      let_successor_start();
      waited = true;
    };
    for_each_tile(token_tiles, tile_counts + 1, row_blocks, [&](const TokenTile& tile, int row_block) {
      copy_tile(
          shared, ring, {tiles, scales, hidden, intermediate}, tile, row_block * S::kStrips,
          [&](int m) { return h + i64(tile.first_row + min(m, tile.rows - 1)) * intermediate; }, !waited,
          wait);
    });
    if (!waited) wait();
    copy_async_wait<0>();
  } else {
    take_registers<S::kComputeRegisters>();
    const int group = int(threadIdx.x) / 128 - 1, warp = int(threadIdx.x >> 5) & 3;
    const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
    const Computer<S> computer(shared, group);
    for_each_tile(token_tiles, tile_counts + 1, row_blocks, [&](const TokenTile& tile, int row_block) {
      with_columns<S>(tile.rows, [&](auto columns) {
        constexpr int kColumns = decltype(columns)::value;
        float sums[S::kParts][kColumns / 2];
        RawRows tile_rows[S::kParts];
        auto load_rows = [&] {
          load_tile_rows<S, kBias>(row_exponents, bias, tile.expert, hidden,
                                   (row_block * S::kStrips + group * 4 + warp) * kStripRows, tile_rows);
        };
        if (S::kEarlyRows) load_rows();
        computer.compute<kColumns>(ring, intermediate, sums);
        if (!S::kEarlyRows) load_rows();
        const int rows = tile.rows;  // read once, not anew after every store
        const typename Output::Entry* entries = output.sorted + tile.first_row + g;
#pragma unroll
        for (int p = 0; p < S::kParts; ++p) {
          const int row = (row_block * S::kStrips + (p * S::kGroups + group) * 4 + warp) * kStripRows;
          if (row >= hidden) break;
          const RowNumbers numbers = row_numbers<kBias>(tile_rows[p]);
#pragma unroll
          for (int c = 0; c < kColumns / 8; ++c) {
            const float* sum = &sums[p][4 * c];
            const float lower[2] = {sum[0] * numbers.factors[0] + numbers.biases[0],
                                    sum[1] * numbers.factors[0] + numbers.biases[0]};
            const float upper[2] = {sum[2] * numbers.factors[1] + numbers.biases[1],
                                    sum[3] * numbers.factors[1] + numbers.biases[1]};
            const bool take = c * 8 + g < rows;
            if constexpr (Output::kAdds) {
              output.add_strip(lower, upper, take, take ? entries[c * 8] : TokenShare{0, 0.0f}, row);
            } else {
              const int slot = take ? entries[c * 8] : 0;
              u16* target = output.y + i64(slot) * hidden + row + 2 * t;
              store_if(take, target, transpose_pairs(lower[0], lower[1]));
              store_if(take, target + 8, transpose_pairs(upper[0], upper[1]));
            }
          }
        }
      });
    });
  }
}

// y[slot, n] = W2 h + bias, not yet weighted.
template <int kBlockM, int kBlockN, int kGroups, int kStages, int kHalf, Bias kBias>
__global__ void __launch_bounds__(WgmmaShape<kBlockM, kBlockN, kGroups, kStages, kHalf != 0>::kThreads, 1)
    gemm2_wgmma(const u16* h, const u8* tiles, const u8* scales, const u8* row_exponents, const void* bias,
                const i32* sorted_slots, const TokenTile* token_tiles, const i32* tile_counts, u16* y,
                int hidden, int intermediate) {
  project_tiles<WgmmaShape<kBlockM, kBlockN, kGroups, kStages, kHalf != 0>, kBias>(
      h, tiles, scales, row_exponents, bias, token_tiles, tile_counts, SlotRows{y, sorted_slots}, hidden,
      intermediate);
}

// out[token, n] += weight * (W2 h + bias)
template <int kBlockM, int kBlockN, int kGroups, int kStages, int kHalf, Bias kBias>
__global__ void __launch_bounds__(WgmmaShape<kBlockM, kBlockN, kGroups, kStages, kHalf != 0>::kThreads, 1)
    gemm2_wgmma_add(const u16* h, const u8* tiles, const u8* scales, const u8* row_exponents,
                    const void* bias, const TokenShare* shares, const TokenTile* token_tiles,
                    const i32* tile_counts, u16* out, int hidden, int intermediate) {
  project_tiles<WgmmaShape<kBlockM, kBlockN, kGroups, kStages, kHalf != 0>, kBias>(
      h, tiles, scales, row_exponents, bias, token_tiles, tile_counts, SummedRows{out, shares, hidden},
      hidden, intermediate);
}

}  // namespace rtjit::moe_mxfp4
