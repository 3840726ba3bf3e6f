// Number formats of the GPU: half, bfloat16, fp8, fp6, fp4 and scale formats, to and from float and double,
// with every rounding that PTX names. Scalar and exact; the vector loops of the executor use the inline
// functions.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace rtjit::emu {

enum class Rounding : uint8_t { nearest, zero, down, up, nearest_away };

struct FloatFormat {
  int exponent_bits, mantissa_bits, bias;
  bool has_infinity;  // the all-ones exponent holds infinity and NaNs (IEEE)
  bool has_nan;       // without infinity: the all-ones pattern alone is NaN (e4m3)
};
inline constexpr FloatFormat kHalf{5, 10, 15, true, true};
inline constexpr FloatFormat kBfloat{8, 7, 127, true, true};
inline constexpr FloatFormat kTf32{8, 10, 127, true, true};
inline constexpr FloatFormat kSingle{8, 23, 127, true, true};
inline constexpr FloatFormat kE4M3{4, 3, 7, false, true};
inline constexpr FloatFormat kE5M2{5, 2, 15, true, true};
inline constexpr FloatFormat kE3M2{3, 2, 3, false, false};
inline constexpr FloatFormat kE2M3{2, 3, 1, false, false};
inline constexpr FloatFormat kE2M1{2, 1, 1, false, false};

inline float as_float(uint32_t bits) { return std::bit_cast<float>(bits); }
inline uint32_t as_bits(float value) { return std::bit_cast<uint32_t>(value); }
inline double as_double(uint64_t bits) { return std::bit_cast<double>(bits); }
inline uint64_t as_bits(double value) { return std::bit_cast<uint64_t>(value); }

inline constexpr uint32_t kCanonicalNan = 0x7fffffff;  // what f32 arithmetic returns for any NaN
inline constexpr uint32_t kCanonicalHalfNan = 0x7fff;  // f16 and bf16

// Exact value of a small format's bits.
double decode_float(uint32_t bits, const FloatFormat& format);

// Rounds to the format. `saturate`: results beyond the largest finite value become that value (cvt's
// satfinite); otherwise infinity, or NaN where the format has none. NaN gives the format's canonical NaN (0
// where it has none).
uint32_t encode_float(double value, const FloatFormat& format, Rounding rounding, bool saturate);
uint32_t max_finite(const FloatFormat& format);

// UE8M0 (a power of two, 0xff = NaN).
double decode_ue8m0(uint32_t bits);
uint32_t encode_ue8m0(double value, Rounding rounding, bool saturate);

inline float bf16_to_float(uint32_t bits) { return as_float(bits << 16); }
// Round to nearest even; NaN becomes 0x7fff.
inline uint32_t float_to_bf16(float value) {
  uint32_t bits = as_bits(value);
  uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return (bits & 0x7fffffff) > 0x7f800000 ? kCanonicalHalfNan : rounded;
}
inline float half_to_float(uint32_t bits) {
  uint32_t sign = (bits & 0x8000) << 16, magnitude = bits & 0x7fff;
  // The exponent is re-biased by a multiplication, which also normalises subnormals.
  float scaled = as_float(magnitude << 13) * as_float((254 - 15) << 23);
  uint32_t finite = as_bits(scaled);
  uint32_t special = 0x7f800000 | (magnitude & 0x3ff) << 13;
  return as_float(sign | (magnitude >= 0x7c00 ? special : finite));
}
inline uint32_t float_to_half(float value) {
  uint32_t bits = as_bits(value), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return kCanonicalHalfNan;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {  // subnormal: adding 0.5 aligns the last place with 2^-24
    float aligned = as_float(magnitude) + 0.5f;
    return sign | (as_bits(aligned) - 0x3f000000);
  }
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13);
}
inline uint32_t double_to_half(double value) { return encode_float(value, kHalf, Rounding::nearest, false); }

// a + b in double rounded to odd, so that a later rounding to a narrower format is the rounding of the exact
// sum.
inline double add_round_to_odd(double a, double b) {
  double sum = a + b;
  if (!std::isfinite(sum)) return sum;
  double bb = sum - a;
  double error = (a - (sum - bb)) + (b - bb);
  uint64_t bits = as_bits(sum);
  if (error != 0 && !(bits & 1)) {
    bool away = (error > 0) == (sum > 0);
    bits += away ? 1 : uint64_t(-1);
  }
  return as_double(bits);
}

}  // namespace rtjit::emu
