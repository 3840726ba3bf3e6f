// Elements for matrix products, in regimes that show how sums are formed.
#pragma once

#include <cstdint>
#include <string_view>

namespace rtjit::silicon {

inline constexpr int kRegimes = 8;

struct MatrixFormat {
  std::string_view name;  // bf16 f16 tf32 e4m3 e5m2 s8 u8 s4 u4 f32 s32
  int bits;               // in memory
};
MatrixFormat matrix_format(std::string_view name);

// A 32-bit word of packed elements. Regimes: 0 small integers, 1 exponents close together, 2 six binades
// either way, 3 positive with equal exponents (sums carry), 4 half of the exponent range, 5 subnormals and
// the smallest normals, 6 mostly zeros, 7 like 1 with some infinities, NaNs and largest values.
uint32_t matrix_word(const MatrixFormat& format, int regime, uint64_t hash);

}  // namespace rtjit::silicon
