// What follows the main loop of a GEMM on mma.sync: from sums in registers to rows of bf16 in shared memory.
// In a thread's fragment, sums[0] and [1] belong to row g of the strip and two neighbouring tokens, sums[2]
// and [3] to row g + 8.
#pragma once

#include "moe_mxfp4/common.cuh"

namespace rtjit::moe_mxfp4 {

// h of the block's tile: half as many columns as the block has weight rows, `kPitch` bytes from token to
// token. A thread holds gate (row g) and up (row g + 8) of the same i.
template <class T, int kBlockN, int kPitch, Activation kActivation, Bias kBias, class Loop>
__device__ inline void stage_activations(const Loop& loop, u8* staged, int row_block, int expert, int rows,
                                         const u8* row_exponents, const void* bias,
                                         const ActivationNumbers& numbers) {
  const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
#pragma unroll
  for (int s = 0; s < T::kStrips; ++s) {
    const int strip = loop.warp_n() * T::kStrips + s;  // of the block
    const int row = row_block * kBlockN + strip * kStripRows + g;
    if (row >= rows) break;
    const i64 index = i64(expert) * rows + row;
    const float gate_factor = row_factor(row_exponents[index]),
                up_factor = row_factor(row_exponents[index + 8]);
    const float gate_bias = load_bias<kBias>(bias, index), up_bias = load_bias<kBias>(bias, index + 8);
#pragma unroll
    for (int c = 0; c < T::kColumns; ++c) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int m = (loop.warp_m() * T::kColumns + c) * 8 + 2 * t + i;
        const float value = activate<kActivation>(loop.sums[s][c][i] * gate_factor + gate_bias,
                                                  loop.sums[s][c][i + 2] * up_factor + up_bias, numbers);
        *reinterpret_cast<u16*>(staged + m * kPitch + (strip * 8 + g) * 2) = float_to_bf16(value);
      }
    }
  }
}

// Rows of y are not weighted.
struct Unweighted {
  __device__ float operator()(float value, int, int) const { return value; }
};

// y of the block's tile: as many columns as the block has weight rows. `weigh(value, c, i)` is what becomes
// of a value of token i of those that a thread has of the warp's group c.
template <class T, int kBlockN, int kPitch, Bias kBias, class Loop, class Weigh = Unweighted>
__device__ inline void stage_projections(const Loop& loop, u8* staged, int row_block, int expert, int rows,
                                         const u8* row_exponents, const void* bias, const Weigh& weigh = {}) {
  const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
#pragma unroll
  for (int s = 0; s < T::kStrips; ++s) {
    const int strip = loop.warp_n() * T::kStrips + s;
#pragma unroll
    for (int upper = 0; upper < 2; ++upper) {
      const int row = row_block * kBlockN + strip * kStripRows + g + 8 * upper;
      if (row >= rows) break;
      const i64 index = i64(expert) * rows + row;
      const float factor = row_factor(row_exponents[index]), row_bias = load_bias<kBias>(bias, index);
#pragma unroll
      for (int c = 0; c < T::kColumns; ++c) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int m = (loop.warp_m() * T::kColumns + c) * 8 + 2 * t + i;
          *reinterpret_cast<u16*>(staged + m * kPitch + (strip * kStripRows + g + 8 * upper) * 2) =
              float_to_bf16(weigh(loop.sums[s][c][i + 2 * upper] * factor + row_bias, c, i));
        }
      }
    }
  }
}

}  // namespace rtjit::moe_mxfp4
