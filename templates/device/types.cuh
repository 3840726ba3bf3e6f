// Fixed-width names and bf16 as raw bits. No toolkit header is included anywhere in templates/: they would
// cost more compile time than most kernels.
#pragma once

namespace rtjit::device {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i16 = short;
using i32 = int;
using i64 = long long;

__device__ inline u32 float_bits(float value) { return __float_as_uint(value); }
__device__ inline float bits_float(u32 bits) { return __uint_as_float(bits); }

// A bf16 is carried as its 16 bits.
__device__ inline float bf16_to_float(u16 bits) { return bits_float(u32(bits) << 16); }

// Round to nearest even; NaN stays NaN.
__device__ inline u16 float_to_bf16(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  u16 result;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result) : "f"(value));
  return result;
#else
  const u32 bits = float_bits(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return u16((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
#endif
}

__host__ __device__ constexpr int min_of(int a, int b) { return a < b ? a : b; }
__host__ __device__ constexpr int max_of(int a, int b) { return a > b ? a : b; }
__host__ __device__ constexpr int div_up(int a, int b) { return (a + b - 1) / b; }
__host__ __device__ constexpr int round_up(int a, int b) { return div_up(a, b) * b; }

}  // namespace rtjit::device
