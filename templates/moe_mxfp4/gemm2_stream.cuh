// GEMM2 for few tokens per expert: the down projection, scattered to slots.
#pragma once

#include "moe_mxfp4/stream.cuh"

namespace rtjit::moe_mxfp4 {

template <Bias kBias>
struct FinishDown {
  struct Row {
    float factors[2], biases[2];
  };

  const u8* row_exponents;
  const void* bias;
  const i32* sorted_slots;
  u16* y;
  int hidden;

  __device__ Row row(int expert, int strip) const {
    const i64 index = i64(expert) * hidden + strip * kStripRows + int(threadIdx.x & 31) / 4;
    return {{row_factor(row_exponents[index]), row_factor(row_exponents[index + 8])},
            {load_bias<kBias>(bias, index), load_bias<kBias>(bias, index + 8)}};
  }

  __device__ void store(const Row& row, const TokenTile& tile, int strip, int c,
                        const float (&sums)[4]) const {
    const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int m = c * 8 + 2 * t + i;
      if (m >= tile.rows) break;
      u16* target = y + i64(sorted_slots[tile.first_row + m]) * hidden + strip * kStripRows + g;
      target[0] = float_to_bf16(sums[i] * row.factors[0] + row.biases[0]);
      target[8] = float_to_bf16(sums[i + 2] * row.factors[1] + row.biases[1]);
    }
  }
};

// y[slot, n] = W2 h + bias, not yet weighted.
template <int kBlockM, int kWarps, int kTiles, int kDepth, int kHalf, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps, kWarps <= kWarpsOfHalfAnSm ? 2 : 1)
    gemm2_stream(const u16* h, const u8* tiles, const u8* scales, const u8* row_exponents, const void* bias,
                 const i32* sorted_slots, const TokenTile* token_tiles, const i32* tile_counts, u16* y,
                 int hidden, int intermediate) {
  using S = StreamShape<kBlockM, kWarps, kTiles, kDepth, kHalf != 0>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(StreamShared<S>) == RTJIT_SMEM_BYTES);
#endif
  // The tile list and the weights do not come from the predecessor, GEMM1: every kernel before this one in
  // the pipeline has waited for its own predecessor before it let this one start.
  stream_strips<S>(
      *reinterpret_cast<StreamShared<S>*>(stream_shared), tiles, scales, hidden / kStripRows, intermediate,
      token_tiles, tile_counts + 1,
      [&](const TokenTile& tile, int m) {
        return m < tile.rows ? h + i64(tile.first_row + m) * intermediate : nullptr;
      },
      FinishDown<kBias>{row_exponents, bias, sorted_slots, y, hidden},
      [] {
        wait_for_predecessor();
        let_successor_start();
      });
}

}  // namespace rtjit::moe_mxfp4
