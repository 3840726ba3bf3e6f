// MXFP4 weights in the bit order that is cheapest to widen to bf16.
//
// E2M1 has sign, two exponent bits and one mantissa bit: S E E M. Placed at bits 15, 8, 7, 6 of a bf16 they
// denote exactly value * 2^-126 (the bf16 subnormals make E = 0 right), so one multiplication by 2^126 *
// scale finishes both the widening and the block scale. Eight codes that one lane feeds to two mma steps
// share a 32-bit word, arranged such that each pair of codes needs one rotation and one mask. See
// docs/moe_mxfp4.md for the picture.
#pragma once

#include "device/types.cuh"

namespace rtjit::device {

// Where S, E1, E0, M of the code `half` (0: low, 1: high bf16) of pair `pair` (0..3) lie in a word.
__device__ inline u32 place_e2m1(u32 code, int pair, int half) {
  const u32 s = (code >> 3) & 1, e = (code >> 1) & 3, m = code & 1;
  switch (pair) {
    case 0:
      return ((s << 15) | (e << 7) | (m << 6)) << (16 * half);
    case 1:
      return ((s << 11) | (e << 3) | (m << 2)) << (16 * half);
    case 2:
      return half == 0 ? (s << 5) | (e << 29) | (m << 28) : (s << 21) | (e << 13) | (m << 12);
    default:
      return half == 0 ? (s << 17) | (e << 9) | m : (s << 1) | (e << 25) | (m << 16);
  }
}

// The four pairs of a word as bf16x2, each value * 2^-126. Nine integer instructions.
__device__ inline void widen_e2m1(u32 word, u32 (&pairs)[4]) {
  constexpr u32 kCode = 0x81c081c0u;
  pairs[0] = word & kCode;
  pairs[1] = (word << 4) & kCode;
  pairs[2] = ((word << 10) | (word >> 22)) & kCode;
  const u32 low = (word << 6) & 0x00400040u;
  pairs[3] = (((word >> 2) | (word << 30)) & 0x81808180u) | low;
}

// A stored scale byte is the exponent field of the factor that completes widen_e2m1: E8M0 byte + 126 - row
// exponent. Byte `kIndex` of `scales` as bf16x2 with that factor in both halves.
template <int kIndex>
__device__ inline u32 scale_factor_pair(u32 scales) {
  u32 spread;
  asm("prmt.b32 %0, %1, 0, %2;" : "=r"(spread) : "r"(scales), "n"(0x4040 | kIndex | (kIndex << 8)));
  return spread << 7;
}

// a * b in bf16x2, exact for powers of two including subnormal operands. fma with -0 because sm_80 has no
// mul.bf16x2.
__device__ inline u32 multiply_bf16x2(u32 a, u32 b) {
  u32 result;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(0x80008000u));
  return result;
}

// Row exponents keep every stored scale byte within 0..254: the factor 2^exponent that a row's sums are
// multiplied with, NaN for kNanRow (a row with an E8M0 byte 255 in it).
constexpr u32 kNanRow = 255;
__device__ inline float row_factor(u32 exponent) {
  return bits_float(exponent == kNanRow ? 0x7fc00000u : (127u + exponent) << 23);
}

}  // namespace rtjit::device
