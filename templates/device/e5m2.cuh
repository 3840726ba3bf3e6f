// MXFP4 weights as E5M2, scales included: 5 bits of exponent hold a code times any of 27 powers of two.
//
// A word holds eight codes of a lane such that widening is cheap: the magnitude of code i is the lower three
// bits of nibble i; the sign of code i < 4 is the top bit of byte i, that of code 4 + i bit 3 of byte i.
#pragma once

#include "device/types.cuh"

namespace rtjit::device {

// A code whose block has `distance` d becomes value * 2^(13 - d), exactly, for d up to kFarthest.
constexpr u32 kFarthest = 26;
constexpr float kE5m2Unit = 0x1p-13f;

// Where code `i` of a word goes.
__device__ inline u32 place_e5m2(u32 code, int i) {
  return ((code & 7) << (4 * i)) | ((code >> 3) << (i < 4 ? 8 * i + 7 : 8 * (i - 4) + 3));
}

// The value of code `i` of a word, without a scale.
__device__ inline float e5m2_word_value(u32 word, int i) {
  const u32 code = (word >> (4 * i)) & 7u, negative = (word >> (i < 4 ? 8 * i + 7 : 8 * (i - 4) + 3)) & 1u;
  const float magnitude =
      code < 2 ? 0.5f * float(code) : bits_float(((126u + (code >> 1)) << 23) | ((code & 1) << 22));
  return negative != 0 ? -magnitude : magnitude;
}

// The E5M2 of the magnitudes 0, 0.5, 1, 1.5 (low) and 2, 3, 4, 6 (high).
struct E5m2Table {
  u32 low, high;
};

// Byte kIndex of `distances` is 4 d: the exponent starts at bit 2. Zero stays what it is.
template <int kIndex>
__device__ inline E5m2Table e5m2_table(u32 distances) {
  const u32 distance = __byte_perm(distances, 0, 0x4440 | kIndex);
  E5m2Table table;
  // In the unit that also multiplies floats, which has less to do than the one for logic.
  asm("mad.lo.u32 %0, %1, %2, %3;"
      : "=r"(table.low)
      : "r"(distance), "r"(0u - 0x01010100u), "r"(0x72706c00u));
  asm("mad.lo.u32 %0, %1, %2, %3;"
      : "=r"(table.high)
      : "r"(distance), "r"(0u - 0x01010101u), "r"(0x7a787674u));
  return table;
}

// Byte i of `low` is code i, byte i of `high` code 4 + i. Seven integer instructions.
__device__ inline void widen_e5m2(u32 word, const E5m2Table& table, u32& low, u32& high) {
  const u32 selector = word & 0x77777777u;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(low) : "r"(table.low), "r"(table.high), "r"(selector));
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(high) : "r"(table.low), "r"(table.high), "r"(selector >> 16));
  low |= word & 0x80808080u;
  high |= (word << 4) & 0x80808080u;
}

}  // namespace rtjit::device
