// E4M3 and E8M0: what their bytes denote, E4M3 widened to bf16, and the fp8 matrix instruction.
#pragma once

#include "device/mxfp4.cuh"
#include "device/types.cuh"

namespace rtjit::device {

// 2^120: moves an exponent field that was filled with an E4M3 exponent (bias 7) to the bias 127 of fp32 and
// bf16.
constexpr u32 kE4m3RebiasFloat = 0x7b800000u;
constexpr u32 kE4m3RebiasBf16x2 = 0x7b807b80u;

// 0x7f and 0xff are NaN; there is no infinity.
__device__ inline float e4m3_to_float(u32 code) {
  const u32 magnitude = code & 0x7fu;
  if (magnitude == 0x7fu) return bits_float(0x7fc00000u);
  return bits_float(((code & 0x80u) << 24) | (magnitude << 20)) * bits_float(kE4m3RebiasFloat);
}

// Byte b is 2^(b - 127); 255 is NaN; 0 is 2^-127, a subnormal.
__device__ inline float e8m0_to_float(u32 byte) {
  return bits_float(byte == 255 ? 0x7fc00000u : byte == 0 ? 0x00400000u : byte << 23);
}

// Two codes, one in the upper byte of each half of `spread` (lower bytes 0), as bf16x2 with values * 2^-120.
// The code's exponent and mantissa go to bits 10..4, so subnormal codes become bf16 subnormals and stay
// right. The magnitude 0x7f (NaN) is the only one that carries into bit 11 when 1 is added; times 15 that bit
// fills the exponent field.
__device__ inline u32 place_e4m3(u32 spread) {
  const u32 magnitude = (spread >> 4) & 0x07f007f0u;
  const u32 nan = (magnitude + 0x00100010u) & 0x08000800u;
  return (magnitude + nan * 15u) | (spread & 0x80008000u);
}

// Four codes to bf16: `low` holds those of bytes 0 and 1, `high` those of bytes 2 and 3. Exact, NaN stays
// NaN.
__device__ inline void widen_e4m3(u32 codes, u32& low, u32& high) {
  low = multiply_bf16x2(place_e4m3(__byte_perm(codes, 0, 0x1404)), kE4m3RebiasBf16x2);
  high = multiply_bf16x2(place_e4m3(__byte_perm(codes, 0, 0x3424)), kE4m3RebiasBf16x2);
}

// sum += a (16 x 32, row major) * b (32 x 8, column major), all E4M3 (sm_89 and up).
// With g = lane / 4 and t = lane % 4: a[0] = row g, k 4t to 4t+3; a[1] = row g+8, same k; a[2], a[3] = the
// same rows, k + 16. b0 = column g, k 4t to 4t+3; b1 = k + 16. sum as in mma_bf16.
__device__ inline void mma_e4m3(float (&sum)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace rtjit::device
