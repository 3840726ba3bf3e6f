#include "emulator/plain_matrix.h"

#include <algorithm>
#include <cfenv>
#include <cmath>

#include "emulator/double_nan.h"

namespace rtjit::emu {
namespace {

struct Described {
  const char* name;
  u32 bits;
};
constexpr Described kElements[] = {{"f16", 16}, {"bf16", 16}, {"tf32", 32}, {"f32", 32},
                                   {"f64", 64}, {"s8", 8},    {"u8", 8},    {"s4", 4},
                                   {"u4", 4},   {"s32", 32},  {"b1", 1}};

float number(u64 bits, PlainElement element) {
  auto low = static_cast<u32>(bits);
  switch (element) {
    case PlainElement::f16:
      return half_to_float(low & 0xffff);
    case PlainElement::bf16:
      return bf16_to_float(low & 0xffff);
    case PlainElement::tf32:
      return as_float(low & 0xffffe000);
    default:
      return as_float(low);
  }
}

s64 integer(u64 bits, PlainElement element) {
  switch (element) {
    case PlainElement::s8:
      return static_cast<int8_t>(bits);
    case PlainElement::s4:
      return sign_extend<4>(bits);
    default:
      return static_cast<s64>(bits);
  }
}

u64 sum_of_floats(const PlainMatrix& a, const PlainMatrix& b, u32 row, u32 column, u64 c,
                  const PlainProduct& form) {
  float sum = number(c, form.c);
  for (u32 k = 0; k < a.columns; ++k)
    sum = std::fma(number(a.at(row, k), form.a), number(b.at(k, column), form.b), sum);
  if (form.d == PlainElement::f16) return float_to_half(sum);
  return sum != sum ? kCanonicalNan : as_bits(sum);
}

// The volatile keeps the compiler from computing before the rounding mode is set.
u64 sum_of_doubles(const PlainMatrix& a, const PlainMatrix& b, u32 row, u32 column, u64 c) {
  double sum = as_double(c);
  for (u32 k = 0; k < a.columns; ++k) {
    volatile double x = as_double(a.at(row, k)), y = as_double(b.at(k, column)), z = sum;
    volatile double r = std::fma(x, y, z);
    sum = pick_nan(x, y, z, r);
  }
  return as_bits(sum);
}

u64 sum_of_integers(const PlainMatrix& a, const PlainMatrix& b, u32 row, u32 column, u64 c,
                    const PlainProduct& form) {
  s64 sum = static_cast<s32>(c);
  for (u32 k = 0; k < a.columns; ++k) {
    u64 x = a.at(row, k), y = b.at(k, column);
    if (form.a == PlainElement::b1)
      sum += static_cast<s64>(form.bit_and ? x & y : x ^ y);
    else
      sum += integer(x, form.a) * integer(y, form.b);
  }
  if (form.saturate) sum = std::clamp<s64>(sum, INT32_MIN, INT32_MAX);
  return static_cast<u32>(sum);
}

}  // namespace

std::optional<PlainElement> parse_plain_element(std::string_view name) {
  for (size_t i = 0; i < std::size(kElements); ++i) {
    if (kElements[i].name == name) return static_cast<PlainElement>(i);
  }
  return std::nullopt;
}

u32 bits_of(PlainElement element) { return kElements[static_cast<size_t>(element)].bits; }

PlainMatrix multiply(const PlainMatrix& a, const PlainMatrix& b, const PlainMatrix& c,
                     const PlainProduct& form) {
  static constexpr int kModes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
  PlainMatrix d(c.rows, c.columns);
  bool doubles = form.d == PlainElement::f64, integers = form.d == PlainElement::s32_;
  if (doubles) std::fesetround(kModes[static_cast<int>(form.rounding)]);
  for (u32 row = 0; row < c.rows; ++row) {
    for (u32 column = 0; column < c.columns; ++column) {
      u64 old = c.at(row, column);
      d.at(row, column) = doubles    ? sum_of_doubles(a, b, row, column, old)
                          : integers ? sum_of_integers(a, b, row, column, old, form)
                                     : sum_of_floats(a, b, row, column, old, form);
    }
  }
  if (doubles) std::fesetround(FE_TONEAREST);
  return d;
}

}  // namespace rtjit::emu
