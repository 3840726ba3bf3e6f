// GEMM1 for few tokens per expert: gate and up rows, bias and activation.
#pragma once

#include "moe_mxfp4/stream.cuh"

namespace rtjit::moe_mxfp4 {

// A lane holds gate (row g) and up (row g + 8) of the same i.
template <Activation kActivation, Bias kBias>
struct FinishGateUp {
  const u8* row_exponents;
  const void* bias;
  const float *alphas, *betas, *limits;
  float alpha, beta, limit;
  int limited;
  u16* h;
  int intermediate;

  __device__ RawRows rows(int expert, int strip) const {
    const i64 index = i64(expert) * (2 * intermediate) + strip * kStripRows + int(threadIdx.x & 31) / 4;
    return load_raw_rows<kBias>(row_exponents, bias, index);
  }

  __device__ void store(const RawRows& rows, const TokenTile& tile, int strip, int c,
                        const float (&sums)[4]) const {
    const ActivationNumbers numbers =
        activation_numbers(alphas, betas, limits, tile.expert, alpha, beta, limit, limited);
    const RowNumbers row = row_numbers<kBias>(rows);  // gate, up
    const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int m = c * 8 + 2 * t + i;
      if (m >= tile.rows) break;
      h[i64(tile.first_row + m) * intermediate + strip * 8 + g] =
          float_to_bf16(activate<kActivation>(sums[i] * row.factors[0] + row.biases[0],
                                              sums[i + 2] * row.factors[1] + row.biases[1], numbers));
    }
  }
};

// h[sorted row, i] = activation(gate, up) for gathered rows of x. `routes`: there are few slots, to be sorted
// here; otherwise align has sorted them, and the routing is not looked at.
template <int kBlockM, int kWarps, int kTiles, int kDepth, int kHalf, Activation kActivation, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps, kWarps <= kWarpsOfHalfAnSm ? 2 : 1)
    gemm1_stream(const u16* x, i64 x_stride, const u8* tiles, const u8* scales, const u8* row_exponents,
                 const void* bias, const float* alphas, const float* betas, const float* limits, float alpha,
                 float beta, float limit, int limited, const i32* sorted_slots, const TokenTile* token_tiles,
                 const i32* tile_counts, u16* h, int hidden, int intermediate, int top_k, const void* ids,
                 const i32* valid_tokens, int id_bytes, int tokens, int experts, int expert_offset,
                 int routes) {
  using S = StreamShape<kBlockM, kWarps, kTiles, kDepth, kHalf != 0>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(StreamShared<S>) == RTJIT_SMEM_BYTES);
#endif
  auto& shared = *reinterpret_cast<StreamShared<S>*>(stream_shared);
  wait_for_predecessor();
  let_successor_start();
  const TokenLists lists =
      routes ? route_here(shared, {ids, valid_tokens, id_bytes, tokens, top_k, experts, expert_offset})
             : TokenLists{token_tiles, tile_counts, sorted_slots};
  stream_strips<S>(
      shared, tiles, scales, 2 * intermediate / kStripRows, hidden, lists,
      [&](const TokenTile& tile, int m) {
        return m < tile.rows ? x + lists.sorted_slots[tile.first_row + m] / top_k * x_stride : nullptr;
      },
      FinishGateUp<kActivation, kBias>{row_exponents, bias, alphas, betas, limits, alpha, beta, limit,
                                       limited, h, intermediate},
      [] {});
}

}  // namespace rtjit::moe_mxfp4
