// GEMM1 for few tokens per expert: gate and up rows, bias and activation.
#pragma once

#include "moe_mxfp4/stream.cuh"
#include "moe_mxfp4/stream_apart.cuh"

namespace rtjit::moe_mxfp4 {

// A lane holds gate (row g) and up (row g + 8) of the same i.
template <Activation kActivation, Bias kBias>
struct FinishGateUp {
  struct Row {
    float gate_factor, up_factor, gate_bias, up_bias;
  };

  const u8* row_exponents;
  const void* bias;
  const float *alphas, *betas, *limits;
  float alpha, beta, limit;
  int limited;
  u16* h;
  int intermediate;

  __device__ Row row(int expert, int strip) const {
    const i64 index = i64(expert) * (2 * intermediate) + strip * kStripRows + int(threadIdx.x & 31) / 4;
    return {row_factor(row_exponents[index]), row_factor(row_exponents[index + 8]),
            load_bias<kBias>(bias, index), load_bias<kBias>(bias, index + 8)};
  }

  __device__ void store(const Row& row, const TokenTile& tile, int strip, int c,
                        const float (&sums)[4]) const {
    const ActivationNumbers numbers =
        activation_numbers(alphas, betas, limits, tile.expert, alpha, beta, limit, limited);
    const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int m = c * 8 + 2 * t + i;
      if (m >= tile.rows) break;
      h[i64(tile.first_row + m) * intermediate + strip * 8 + g] = float_to_bf16(activate<kActivation>(
          sums[i] * row.gate_factor + row.gate_bias, sums[i + 2] * row.up_factor + row.up_bias, numbers));
    }
  }

  // The same in two steps, as stream_apart.cuh wants it: what memory holds, and what becomes of it.
  struct RawRow {
    u32 exponents[2], biases[2];
  };
  __device__ RawRow raw_row(const TokenTile& tile, int strip) const {
    const i64 index = i64(tile.expert) * (2 * intermediate) + strip * kStripRows + int(threadIdx.x & 31) / 4;
    return {{row_exponents[index], row_exponents[index + 8]},
            {load_raw_bias<kBias>(bias, index), load_raw_bias<kBias>(bias, index + 8)}};
  }
  __device__ void finish(const RawRow& raw, const TokenTile& tile, int strip, const float (&sums)[4]) const {
    store({row_factor(raw.exponents[0]), row_factor(raw.exponents[1]), bias_value<kBias>(raw.biases[0]),
           bias_value<kBias>(raw.biases[1])},
          tile, strip, 0, sums);
  }
};

template <class S, class Shared, class Finish>
__device__ inline void multiply_gathered(Shared& shared, const u16* x, i64 x_stride, const u8* tiles,
                                         const u8* scales, const i32* sorted_slots,
                                         const TokenTile* token_tiles, const i32* tile_counts, int hidden,
                                         int top_k, const Finish& finish) {
  wait_for_predecessor();
  let_successor_start();
  stream_strips<S>(
      shared, tiles, scales, 2 * finish.intermediate / kStripRows, hidden, token_tiles, tile_counts,
      [&](const TokenTile& tile, int m) {
        return m < tile.rows ? x + sorted_slots[tile.first_row + m] / top_k * x_stride : nullptr;
      },
      finish, [] {});
}

// h[sorted row, i] = activation(gate, up) for gathered rows of x.
template <int kBlockM, int kWarps, int kTiles, int kDepth, int kHalf, Activation kActivation, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps, kWarps <= kWarpsOfHalfAnSm ? 2 : 1)
    gemm1_stream(const u16* x, i64 x_stride, const u8* tiles, const u8* scales, const u8* row_exponents,
                 const void* bias, const float* alphas, const float* betas, const float* limits, float alpha,
                 float beta, float limit, int limited, const i32* sorted_slots, const TokenTile* token_tiles,
                 const i32* tile_counts, u16* h, int hidden, int intermediate, int top_k) {
  using S = StreamShape<kBlockM, kWarps, kTiles, kDepth, kHalf != 0>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(StreamShared<S>) == RTJIT_SMEM_BYTES);
#endif
  multiply_gathered<S>(*reinterpret_cast<StreamShared<S>*>(stream_shared), x, x_stride, tiles, scales,
                       sorted_slots, token_tiles, tile_counts, hidden, top_k,
                       FinishGateUp<kActivation, kBias>{row_exponents, bias, alphas, betas, limits, alpha,
                                                        beta, limit, limited, h, intermediate});
}

// The same; the warps of a block go on apart.
template <int kBlockM, int kWarps, int kTiles, int kDepth, int kHalf, Activation kActivation, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps, kWarps <= kWarpsOfHalfAnSm ? 2 : 1)
    gemm1_stream_apart(const u16* x, i64 x_stride, const u8* tiles, const u8* scales, const u8* row_exponents,
                       const void* bias, const float* alphas, const float* betas, const float* limits,
                       float alpha, float beta, float limit, int limited, const i32* sorted_slots,
                       const TokenTile* token_tiles, const i32* tile_counts, u16* h, int hidden,
                       int intermediate, int top_k) {
  using S = StreamShape<kBlockM, kWarps, kTiles, kDepth, kHalf != 0>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(ApartShared<S>) == RTJIT_SMEM_BYTES);
#endif
  ApartShared<S>& shared = *reinterpret_cast<ApartShared<S>*>(stream_shared);
  init_barriers(shared);
  multiply_gathered<S>(shared, x, x_stride, tiles, scales, sorted_slots, token_tiles, tile_counts, hidden,
                       top_k,
                       FinishGateUp<kActivation, kBias>{row_exponents, bias, alphas, betas, limits, alpha,
                                                        beta, limit, limited, h, intermediate});
}

}  // namespace rtjit::moe_mxfp4
