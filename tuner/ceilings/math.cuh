// Multiplies register by register, as fast as one warp scheduler can issue: the ceilings of fp32 fma and of
// mma.sync.
#pragma once

#include "device/fp8.cuh"
#include "device/matrix.cuh"
#include "tuner/ceilings/operands.cuh"

namespace rtjit::ceilings {

constexpr int kThreads = 512;

// 64 multiply-adds of a thread per iteration.
__global__ void __launch_bounds__(kThreads, 2) fma(int iterations, float* out) {
  float sums[16], factors[4];
#pragma unroll
  for (int i = 0; i < 16; ++i) sums[i] = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i)
    factors[i] = bits_float((scrambled(threadIdx.x * 4 + i) & 0x807fffffu) | 0x3f000000u);
  for (int n = 0; n < iterations; ++n) {
#pragma unroll
    for (int i = 0; i < 64; ++i) {
      asm volatile("fma.rn.f32 %0, %0, %1, %2;"
                   : "+f"(sums[i % 16])
                   : "f"(factors[i % 4]), "f"(factors[(i + 1) % 4]));
    }
  }
  keep(sums, out);
}

struct Bf16 {
  static __device__ u32 operand(u32 seed) { return bf16_operand(seed); }
  static __device__ void multiply(float (&sum)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    mma_bf16(sum, a, b0, b1);
  }
};

struct E4m3 {
  static __device__ u32 operand(u32 seed) { return e4m3_operand(seed); }
  static __device__ void multiply(float (&sum)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    mma_e4m3(sum, a, b0, b1);
  }
};

// 8 products of a warp per iteration, 2 by 4.
template <class Type>
__global__ void __launch_bounds__(kThreads, 2) mma(int iterations, float* out) {
  float sums[8][4];
  u32 a[2][4], b[4][2];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) sums[i][j] = 0;
    a[i / 4][i % 4] = Type::operand(threadIdx.x * 16 + i);
    b[i / 2][i % 2] = Type::operand(threadIdx.x * 16 + 8 + i);
  }
  for (int n = 0; n < iterations; ++n) {
#pragma unroll
    for (int i = 0; i < 8; ++i) Type::multiply(sums[i], a[i / 4], b[i % 4][0], b[i % 4][1]);
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) keep(sums[i], out);
}

}  // namespace rtjit::ceilings
