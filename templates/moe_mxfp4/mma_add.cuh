// What follows the main loop of GEMM2 on mma.sync where results are added up in out.
#pragma once

#include "moe_mxfp4/mma_epilogue.cuh"
#include "moe_mxfp4/store_rows.cuh"

namespace rtjit::moe_mxfp4 {

// The weights of the tokens that a thread has in its fragments, for stage_projections().
template <class T>
struct TokenWeights {
  float of[T::kColumns][2];

  // `shares`: of the `rows` tokens of the block's tile.
  template <class Loop>
  __device__ TokenWeights(const Loop& loop, const TokenShare* shares, int rows) {
#pragma unroll
    for (int c = 0; c < T::kColumns; ++c) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int m = (loop.warp_m() * T::kColumns + c) * 8 + 2 * int(threadIdx.x & 3) + i;
        of[c][i] = m < rows ? shares[m].weight : 0.0f;
      }
    }
  }
  __device__ float operator()(float value, int c, int i) const { return value * of[c][i]; }
};

// out[token, n] += weight * (sum + bias), of the block's tile.
template <class T, int kBlockM, int kBlockN, Bias kBias, class Loop, class Shared>
__device__ inline void add_projections(const Loop& loop, Shared& shared, const TokenTile& tile, int row_block,
                                       const u8* row_exponents, const void* bias, const SummedRows& output) {
  if (loop.holds_sums()) {
    stage_projections<T, kBlockN, staged_pitch<kBlockN, Store::plain>, kBias>(
        loop, shared.bytes, row_block, tile.expert, output.hidden, row_exponents, bias,
        TokenWeights<T>(loop, output.sorted + tile.first_row, tile.rows));
  }
  add_rows<kBlockM, kBlockN, T::kThreads>(shared.bytes, shared.rows, tile.rows, row_block * kBlockN, output);
}

}  // namespace rtjit::moe_mxfp4
