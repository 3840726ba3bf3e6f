#include "base/float_formats.h"

#include <bit>
#include <cmath>
#include <limits>

namespace rtjit {

uint16_t bf16_from_float(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);  // keep it a quiet NaN
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

float float_from_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint16_t f16_from_float(float value) {
  uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return sign | 0x7E00;
  float magnitude = std::fabs(value);
  if (magnitude >= 65520.0f) return sign | 0x7C00;  // rounds past the largest finite value
  if (magnitude < std::ldexp(1.0f, -14)) {
    // Subnormal: a multiple of 2^-24. nearbyint rounds to nearest even in the default mode.
    return sign | static_cast<uint16_t>(std::nearbyint(std::ldexp(magnitude, 24)));
  }
  uint32_t bits = std::bit_cast<uint32_t>(magnitude);
  uint32_t rounded = bits + 0xFFF + ((bits >> 13) & 1);
  return sign | static_cast<uint16_t>((rounded >> 13) - (112 << 10));
}

float float_from_f16(uint16_t bits) {
  int exponent = (bits >> 10) & 31, mantissa = bits & 0x3FF;
  float magnitude;
  if (exponent == 31) {
    magnitude = mantissa ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(mantissa), -24);
  } else {
    magnitude = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  }
  return bits & 0x8000 ? -magnitude : magnitude;
}

uint8_t e4m3_from_float(float value) {
  uint8_t sign = std::signbit(value) ? 0x80 : 0;
  if (std::isnan(value)) return sign | 0x7F;
  float magnitude = std::fabs(value);
  if (magnitude >= 448.0f) return sign | 0x7E;
  int exponent = magnitude < std::ldexp(1.0f, -6) ? -6 : std::ilogb(magnitude);
  // Units of the last place: 2^(exponent - 3). A carry into the next exponent is right by itself.
  int units = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 3 - exponent)));
  int code = (exponent + 6) * 8 + units;
  return sign | static_cast<uint8_t>(code > 0x7E ? 0x7E : code);
}

float float_from_e4m3(uint8_t bits) {
  int exponent = (bits >> 3) & 15, mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                  : std::ldexp(static_cast<float>(mantissa + 8), exponent - 10);
  return bits & 0x80 ? -magnitude : magnitude;
}

float float_from_e8m0(uint8_t bits) {
  if (bits == 255) return std::numeric_limits<float>::quiet_NaN();
  return std::ldexp(1.0f, static_cast<int>(bits) - 127);
}

float float_from_e2m1(uint8_t code) {
  static constexpr float kValues[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  return code & 8 ? -kValues[code & 7] : kValues[code & 7];
}

}  // namespace rtjit
