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

// The eight codes of a word as plain E2M1, one per nibble; nibble i is the code of element
// nibble_element(i) = 2 * pair + half. This order is the one that costs least: nine integer instructions.
__device__ inline u32 gather_e2m1(u32 word) {
  const u32 signs = (word >> 6) | (word << 26);
  return (word & 0x76007600u) | ((word << 8) & 0x01000100u) | ((word >> 2) & 0x00770077u) |
         ((word >> 8) & 0x00880088u) | (signs & 0x88008800u);
}
__host__ __device__ constexpr int nibble_element(int nibble) { return (0x47135602 >> (4 * nibble)) & 15; }

// The same as bytes with the code in bits 5 to 2, as matrix instructions of kind f8f6f4 want it.
__device__ inline void spread_e2m1(u32 word, u32& low, u32& high) {
  const u32 nibbles = gather_e2m1(word);
  const u32 even = (nibbles << 2) & 0x3c3c3c3cu, odd = (nibbles >> 2) & 0x3c3c3c3cu;
  low = __byte_perm(even, odd, 0x5140);
  high = __byte_perm(even, odd, 0x7362);
}

// Stored scale bytes as E8M0 relative to the row (see row_factor), for instructions that take the scales of
// E2M1 codes themselves. Blocks more than 2^128 times smaller than the row's largest have no such scale:
// their words become zeros. Rare: only stored bytes below 128 are looked at.
__device__ inline u32 relative_scales(u32 stored, u32 (&words)[4]) {
  if ((stored & 0x80808080u) == 0x80808080u) return stored - 0x7e7e7e7eu;
  u32 result = 0;
  for (int i = 0; i < 4; ++i) {
    const u32 byte = (stored >> (8 * i)) & 255u;
    if (byte < 126) {
      words[i] = 0;
    } else {
      result |= (byte - 126) << (8 * i);
    }
  }
  return result;
}

// A stored scale byte is the exponent field of the factor that completes widen_e2m1: E8M0 byte + 126 - row
// exponent. Bytes kFirst and kFirst + 1 of `scales` as bf16x2 with that factor in both halves. Instructions on
// bf16x2 can take one half of a register for both, so the two factors cost no more than one.
template <int kFirst>
__device__ inline void scale_factor_pairs(u32 scales, u32& first, u32& second) {
  asm("{.reg .b32 both; .reg .b16 low, high;\n"
      "prmt.b32 both, %2, 0, %3;\n"
      "shl.b32 both, both, 7;\n"
      "mov.b32 {low, high}, both;\n"
      "mov.b32 %0, {low, low};\n"
      "mov.b32 %1, {high, high};}"
      : "=r"(first), "=r"(second)
      : "r"(scales), "n"(0x4040 | kFirst | ((kFirst + 1) << 8)));
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
