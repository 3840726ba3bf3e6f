// MXFP8: E4M3 codes with one E8M0 scale per 32, and how bf16 values become such.
//
// The scale of a block is the least power of two by which its largest magnitude comes to at most 448, and at
// least 2^-127; a code is the nearest E4M3 to value / scale, ties to even. Nothing saturates. A block with a
// NaN or an infinity gets the scale byte 255, which is NaN.
#pragma once

#include "device/types.cuh"

namespace rtjit::device {

// The scale byte of a block whose largest magnitude has these bf16 bits. 448 is 1.75 * 2^8: a mantissa above
// 1.75 carries into the exponent.
__device__ inline u32 mxfp8_scale(u32 magnitude) {
  if (magnitude >= 0x7f80u) return 255;
  const u32 exponent = (magnitude + 0x1fu) >> 7;
  return exponent > 8 ? exponent - 8 : 0;
}

// 1 / scale, NaN for byte 255. Bytes of blocks that are not NaN are at most 247.
__device__ inline float mxfp8_inverse(u32 scale) {
  return bits_float(scale == 255 ? 0x7fc00000u : (254u - scale) << 23);
}

// What sm_89 and up do in one instruction; magnitudes up to 448 and NaN.
__device__ inline u32 float_to_e4m3(float value) {
  const u32 bits = float_bits(value), magnitude = bits & 0x7fffffffu, sign = (bits >> 24) & 0x80u;
  if (magnitude > 0x7f800000u) return 0x7f;
  // Below 2^-6 codes are multiples of 2^-9, the last place of 2^14.
  if (magnitude < 0x3c800000u) {
    return sign | (float_bits(bits_float(magnitude) + 16384.0f) - float_bits(16384.0f));
  }
  return sign | (((magnitude + 0x7ffffu + ((magnitude >> 20) & 1u)) >> 20) - ((127u - 7u) << 3));
}

// Two codes in the lower half of a word, that of `low` in the lower byte.
__device__ inline u32 floats_to_e4m3(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  u16 codes;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(codes) : "f"(high), "f"(low));
  return codes;
#else
  return float_to_e4m3(low) | (float_to_e4m3(high) << 8);
#endif
}

}  // namespace rtjit::device
