// What both kernels share: the formats of a problem, the operands, the scales and the store.
#pragma once

#include "device/fp8.cuh"
#include "device/types.cuh"

namespace rtjit::gemm_fp8_block {

using namespace rtjit::device;

enum class Format { bf16, f32, e8m0 };
enum class ScaleLayout { row_major, m_major };
enum class Accumulator { f32, f64 };

// Elements of K, and rows of B, that share one scale.
constexpr int kScaleBlock = 128;

__device__ inline int scale_blocks(int length) { return (length + kScaleBlock - 1) / kScaleBlock; }

template <Format kFormat>
__device__ inline float load_scale(const void* scales, i64 index) {
  static_assert(kFormat == Format::f32 || kFormat == Format::e8m0);
  if constexpr (kFormat == Format::f32) {
    return static_cast<const float*>(scales)[index];
  } else {
    return e8m0_to_float(static_cast<const u8*>(scales)[index]);
  }
}

// The scale of row `row` of A in K block `block`. `stride` is between rows, or between K blocks when m_major.
template <Format kFormat, ScaleLayout kLayout>
__device__ inline float load_a_scale(const void* scales, i64 stride, int row, int block) {
  return load_scale<kFormat>(scales,
                             kLayout == ScaleLayout::row_major ? row * stride + block : block * stride + row);
}

template <Format kFormat>
__device__ inline void store_one(void* d, i64 index, float value) {
  static_assert(kFormat == Format::f32 || kFormat == Format::bf16);
  if constexpr (kFormat == Format::f32) {
    static_cast<float*>(d)[index] = value;
  } else {
    static_cast<u16*>(d)[index] = float_to_bf16(value);
  }
}

// Two neighbours at once; the address must be aligned to both.
template <Format kFormat>
__device__ inline void store_pair(void* d, i64 index, float first, float second) {
  if constexpr (kFormat == Format::f32) {
    *reinterpret_cast<float2*>(static_cast<float*>(d) + index) = make_float2(first, second);
  } else {
    *reinterpret_cast<u32*>(static_cast<u16*>(d) + index) = float_to_bf16(first) | u32(float_to_bf16(second))
                                                                                       << 16;
  }
}

}  // namespace rtjit::gemm_fp8_block
