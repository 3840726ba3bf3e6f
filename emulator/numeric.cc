#include "emulator/numeric.h"

namespace rtjit::emu {

double decode_float(uint32_t bits, const FloatFormat& f) {
  uint32_t exponent_mask = (1u << f.exponent_bits) - 1, mantissa_mask = (1u << f.mantissa_bits) - 1;
  uint32_t exponent = (bits >> f.mantissa_bits) & exponent_mask, mantissa = bits & mantissa_mask;
  bool negative = (bits >> (f.exponent_bits + f.mantissa_bits)) & 1;
  double value;
  if (f.has_infinity && exponent == exponent_mask) {
    value = mantissa ? std::nan("") : HUGE_VAL;
  } else if (!f.has_infinity && f.has_nan && exponent == exponent_mask && mantissa == mantissa_mask) {
    value = std::nan("");
  } else if (exponent == 0) {
    value = std::ldexp(mantissa, 1 - f.bias - f.mantissa_bits);
  } else {
    value =
        std::ldexp(mantissa + (1u << f.mantissa_bits), static_cast<int>(exponent) - f.bias - f.mantissa_bits);
  }
  return negative ? -value : value;
}

uint32_t max_finite(const FloatFormat& f) {
  uint32_t all = (1u << (f.exponent_bits + f.mantissa_bits)) - 1;
  if (f.has_infinity) return all - (1u << f.mantissa_bits);
  return f.has_nan ? all - 1 : all;
}

uint32_t encode_float(double value, const FloatFormat& f, Rounding rounding, bool saturate) {
  uint32_t all = (1u << (f.exponent_bits + f.mantissa_bits)) - 1, sign_bit = all + 1;
  if (std::isnan(value)) {
    if (!f.has_nan) return max_finite(f);  // PTX: NaN becomes the positive maximum in formats without NaN
    return all;
  }
  bool negative = std::signbit(value);
  uint32_t sign = negative ? sign_bit : 0, largest = max_finite(f);
  double magnitude = std::fabs(value);
  uint32_t overflow = saturate ? largest : f.has_infinity ? largest + 1 : f.has_nan ? all : largest;
  if (std::isinf(magnitude)) return sign | overflow;
  if (magnitude == 0) return sign;
  int exponent;
  std::frexp(magnitude, &exponent);  // magnitude = [0.5,1) * 2^exponent
  int unit = exponent - 1 - f.mantissa_bits;
  int lowest = 1 - f.bias - f.mantissa_bits;
  if (unit < lowest) unit = lowest;
  double scaled = std::ldexp(magnitude, -unit);  // exact: a multiple of 1 with a fraction
  double whole = std::floor(scaled), fraction = scaled - whole;
  bool up = false;
  switch (rounding) {
    case Rounding::nearest:
      up = fraction > 0.5 || (fraction == 0.5 && std::fmod(whole, 2) != 0);
      break;
    case Rounding::nearest_away:
      up = fraction >= 0.5;
      break;
    case Rounding::zero:
      break;
    case Rounding::down:
      up = negative && fraction > 0;
      break;
    case Rounding::up:
      up = !negative && fraction > 0;
      break;
  }
  auto mantissa = static_cast<uint64_t>(whole) + up;
  // Biased so that a carry out of the mantissa moves to the next exponent by itself.
  uint64_t bits =
      unit == lowest ? mantissa : mantissa + (static_cast<uint64_t>(unit - lowest) << f.mantissa_bits);
  if (bits > largest) {
    bool towards_zero = rounding == Rounding::zero || (rounding == Rounding::down && !negative) ||
                        (rounding == Rounding::up && negative);
    return sign | (towards_zero ? largest : overflow);
  }
  return sign | static_cast<uint32_t>(bits);
}

double decode_ue8m0(uint32_t bits) {
  return (bits & 0xff) == 0xff ? std::nan("") : std::ldexp(1.0, static_cast<int>(bits & 0xff) - 127);
}

uint32_t encode_ue8m0(double value, Rounding rounding, bool saturate) {
  if (std::isnan(value)) return 0xff;
  double magnitude = std::fabs(value);
  if (std::isinf(magnitude)) return saturate ? 0xfe : 0xff;
  if (magnitude == 0) return 0;
  int exponent;
  double fraction = std::frexp(magnitude, &exponent);
  int power = exponent - 1;
  if (fraction > 0.5 && rounding == Rounding::up) ++power;
  if (power < -127) return 0;
  if (power > 127) return saturate || rounding == Rounding::zero ? 0xfe : 0xff;
  return static_cast<uint32_t>(power + 127);
}

}  // namespace rtjit::emu
