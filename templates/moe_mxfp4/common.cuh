// What all kernels of the pipeline share: the packed layout, the tile lists, the biases and the activation.
#pragma once

#include "device/mxfp4.cuh"
#include "device/types.cuh"

namespace rtjit::moe_mxfp4 {

using namespace rtjit::device;

enum class Activation { swiglu_oai, silu, gelu_tanh };
enum class Bias { none, bf16, f32 };
enum class Store { plain, scatter4, add };
enum class Accumulator { f32, f64 };
enum class Activations { bf16, mxfp8 };  // what the GEMMs multiply the weights with
enum class Sums { ordered, any_order };  // in which order the rows of a token may be added up

// Work for one row of thread blocks of a GEMM: `rows` of the sorted slots from first_row on, all of one
// expert.
struct alignas(8) TokenTile {
  u16 expert, rows;
  i32 first_row;
};
constexpr int kMaxExperts = 1024;

// Tiles of an expert are of equal height, a multiple of 8, so that none of them is mostly empty.
__device__ inline int tile_height(int rows, int tiles) { return round_up(div_up(rows, max(tiles, 1)), 8); }

// What a row of GEMM2 is for where results are added into out: it counts `weight` times for this token.
struct alignas(8) TokenShare {
  i32 token;
  float weight;
};

// Weights are stored in strips of 16 rows; a strip holds one 512-byte tile per 64 k (lane i of a warp owns
// bytes 16 i to 16 i + 15: row g, row g+8 of k 0..31, then the same of k 32..63) and, if K % 64 == 32, a last
// tile of 256 bytes. Scales follow the same order: 32 bytes (4 per lane quad) per tile, 16 in the last half
// tile.
constexpr int kStripRows = 16;
constexpr int kTileK = 64;
constexpr int kTileBytes = kStripRows * kTileK / 2;
constexpr int kTileScaleBytes = kStripRows * kTileK / 32;

__device__ inline i64 strip_bytes(int k) { return i64(k) * (kStripRows / 2); }
__device__ inline int strip_scale_bytes(int k) { return k / 2; }

// What one lane needs of a tile: words and scale bytes in the order {row g, row g+8} x {k 0..31, k 32..63}.
struct LaneTile {
  u32 words[4];
  u32 scales;
};

// From global or shared memory; `half`: the tile has only k 0..31 (the rest reads as zero).
__device__ inline LaneTile load_lane_tile(const u8* tile, const u8* tile_scales, int lane, bool half) {
  LaneTile result;
  if (half) {
    const uint2 words = reinterpret_cast<const uint2*>(tile)[lane];
    result.words[0] = words.x, result.words[1] = words.y, result.words[2] = 0, result.words[3] = 0;
    result.scales = reinterpret_cast<const u16*>(tile_scales)[lane >> 2];
  } else {
    const uint4 words = reinterpret_cast<const uint4*>(tile)[lane];
    result.words[0] = words.x, result.words[1] = words.y, result.words[2] = words.z,
    result.words[3] = words.w;
    result.scales = reinterpret_cast<const u32*>(tile_scales)[lane >> 2];
  }
  return result;
}

// The same from shared memory, where the address of this lane's bytes is known; a half tile sets what it has.
__device__ inline LaneTile load_full_lane_tile(u32 words, u32 scales) {
  LaneTile result;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(result.words[0]), "=r"(result.words[1]), "=r"(result.words[2]), "=r"(result.words[3])
               : "r"(words)
               : "memory");
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(result.scales) : "r"(scales) : "memory");
  return result;
}
__device__ inline LaneTile load_half_lane_tile(u32 words, u32 scales) {
  LaneTile result;
  u16 pair;
  asm volatile("ld.shared.v2.b32 {%0, %1}, [%2];"
               : "=r"(result.words[0]), "=r"(result.words[1])
               : "r"(words)
               : "memory");
  asm volatile("ld.shared.u16 %0, [%1];" : "=h"(pair) : "r"(scales) : "memory");
  result.scales = pair;
  return result;
}

// The left operands of two steps of mma or wgmma: 32 k (group kGroup) of a lane's tile as bf16, scales
// included.
template <int kGroup>
__device__ inline void widen_group(const LaneTile& tile, u32 (&left)[2][4]) {
  u32 lower[4], upper[4];  // rows g and g + 8
  widen_e2m1(tile.words[2 * kGroup], lower);
  widen_e2m1(tile.words[2 * kGroup + 1], upper);
  u32 lower_scale, upper_scale;
  scale_factor_pairs<2 * kGroup>(tile.scales, lower_scale, upper_scale);
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    left[h][0] = multiply_bf16x2(lower[2 * h], lower_scale);
    left[h][1] = multiply_bf16x2(upper[2 * h], upper_scale);
    left[h][2] = multiply_bf16x2(lower[2 * h + 1], lower_scale);
    left[h][3] = multiply_bf16x2(upper[2 * h + 1], upper_scale);
  }
}

// A number known to the compiler, as an argument.
template <int kValue>
struct Constant {
  static constexpr int value = kValue;
};

// A bias: what memory holds, what that means, and both at once.
template <Bias kBias>
__device__ inline u32 load_raw_bias(const void* bias, i64 index) {
  if constexpr (kBias == Bias::f32) return static_cast<const u32*>(bias)[index];
  if constexpr (kBias == Bias::bf16) return static_cast<const u16*>(bias)[index];
  return 0;
}
template <Bias kBias>
__device__ inline float bias_value(u32 raw) {
  return bits_float(kBias == Bias::bf16 ? raw << 16 : raw);
}
template <Bias kBias>
__device__ inline float load_bias(const void* bias, i64 index) {
  return bias_value<kBias>(load_raw_bias<kBias>(bias, index));
}

// What belongs to a lane's rows g and g + 8 of a strip: asked for long before it is used, and left raw until
// then, since a conversion would wait for memory.
struct RawRows {
  u32 exponents[2], biases[2];
};
struct RowNumbers {
  float factors[2], biases[2];
};
template <Bias kBias>
__device__ inline RawRows load_raw_rows(const u8* row_exponents, const void* bias, i64 index) {
  return {{row_exponents[index], row_exponents[index + 8]},
          {load_raw_bias<kBias>(bias, index), load_raw_bias<kBias>(bias, index + 8)}};
}
template <Bias kBias>
__device__ inline RowNumbers row_numbers(const RawRows& raw) {
  return {{row_factor(raw.exponents[0]), row_factor(raw.exponents[1])},
          {bias_value<kBias>(raw.biases[0]), bias_value<kBias>(raw.biases[1])}};
}

// The numbers of the activation: per problem, or per expert where the caller gave arrays. No limit is an
// infinite one, so that clamping needs no branch: many activations overlap.
struct ActivationNumbers {
  float alpha, beta, limit;
};

__device__ inline ActivationNumbers activation_numbers(const float* alphas, const float* betas,
                                                       const float* limits, int expert, float alpha,
                                                       float beta, float limit, int limited) {
  return {alphas ? alphas[expert] : alpha, betas ? betas[expert] : beta,
          limits         ? limits[expert]
          : limited != 0 ? limit
                         : bits_float(0x7f800000u)};
}

// 1 / (1 + exp(-value * rate)). Powers too small for a normal float may be zero: they are added to 1.
__device__ inline float sigmoid(float value, float rate) {
  float power, result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(value * (rate * -1.4426950408889634f)));
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(1.0f + power));
  return result;
}

// Clamps keep NaN.
__device__ inline float at_most(float value, float limit) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  float result;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(value), "f"(limit));
  return result;
#else
  return value > limit ? limit : value;
#endif
}
__device__ inline float at_least(float value, float limit) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(value), "f"(limit));
  return result;
#else
  return value < limit ? limit : value;
#endif
}

template <Activation kActivation>
__device__ inline float activate(float gate, float up, const ActivationNumbers& numbers) {
  gate = at_most(gate, numbers.limit);
  up = at_least(at_most(up, numbers.limit), -numbers.limit);
  if constexpr (kActivation == Activation::swiglu_oai) {
    return gate * sigmoid(gate, numbers.alpha) * (up + numbers.beta);
  } else if constexpr (kActivation == Activation::silu) {
    return gate * sigmoid(gate, 1.0f) * up;
  } else {
    // 0.5 g (1 + tanh(z)) = g sigmoid(2 z), which loses nothing where tanh is near -1.
    return gate * sigmoid(gate + 0.044715f * gate * gate * gate, 1.5957691216057308f) * up;
  }
}

}  // namespace rtjit::moe_mxfp4
