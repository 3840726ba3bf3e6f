#include "tests/silicon/matrix_inputs.h"

#include "tests/silicon/inputs.h"

namespace rtjit::silicon {
namespace {

struct Layout {
  int exponent, mantissa, bias;
};

Layout layout_of(std::string_view name) {
  if (name == "bf16") return {8, 7, 127};
  if (name == "f16") return {5, 10, 15};
  if (name == "tf32" || name == "f32") return {8, 23, 127};
  if (name == "e4m3") return {4, 3, 7};
  return {5, 2, 15};
}

uint32_t element(const MatrixFormat& format, int regime, uint64_t h) {
  char first = format.name[0];
  if (first == 's' || first == 'u') {
    if (format.bits == 32) return static_cast<uint32_t>(regime % 2 ? h : h % 2001);
    return static_cast<uint32_t>(h) & ((1u << format.bits) - 1);
  }
  Layout l = layout_of(format.name);
  uint32_t sign = static_cast<uint32_t>(h & 1), top = (1u << l.exponent) - 1;
  auto mantissa = static_cast<uint32_t>(h >> 8) & ((1u << l.mantissa) - 1);
  auto pick = [&](int low, int high) {
    return low + static_cast<int>((h >> 40) % static_cast<uint64_t>(high - low + 1));
  };
  int exponent = l.bias;
  int reach = l.exponent == 4 ? 3 : 6;
  switch (regime) {
    case 0:
      exponent = l.bias + pick(0, 2);
      mantissa &= ~((1u << (l.mantissa - 2)) - 1);
      break;
    case 1:
      exponent = l.bias + pick(-1, 1);
      break;
    case 2:
      exponent = l.bias + pick(-reach, reach);
      break;
    case 3:
      sign = 0;
      break;
    case 4: {
      int quarter = 1 << (l.exponent - 2);
      exponent = l.bias + pick(-quarter + 1, quarter - 1);
      break;
    }
    case 5:
      exponent = pick(0, 2);
      break;
    case 6:
      if (h >> 16 & 3) return sign << (l.exponent + l.mantissa);
      exponent = l.bias + pick(-reach, reach);
      break;
    default:
      exponent = l.bias + pick(-1, 1);
      if ((h >> 20) % 64 == 0) exponent = static_cast<int>(top), mantissa = h >> 30 & 1 ? 0 : mantissa;
      if ((h >> 20) % 64 == 1) exponent = static_cast<int>(top) - 1;
  }
  return sign << (l.exponent + l.mantissa) | static_cast<uint32_t>(exponent) << l.mantissa | mantissa;
}

}  // namespace

MatrixFormat matrix_format(std::string_view name) {
  if (name == "bf16" || name == "f16") return {name, 16};
  if (name == "s4" || name == "u4") return {name, 4};
  if (name == "tf32" || name == "f32" || name == "s32") return {name, 32};
  return {name, 8};
}

uint32_t matrix_word(const MatrixFormat& format, int regime, uint64_t hash) {
  uint32_t word = 0;
  for (int at = 0; at < 32; at += format.bits)
    word |= element(format, regime, mix(hash + static_cast<uint64_t>(at))) << at;
  return word;
}

}  // namespace rtjit::silicon
