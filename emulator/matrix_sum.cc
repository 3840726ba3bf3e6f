#include "emulator/matrix_sum.h"

#include <algorithm>
#include <cmath>

namespace rtjit::emu {
namespace {

// Exponents are kept as the biased field of a float; those of products as the sum of two fields.
constexpr int kProductBias = 254;

constexpr int kNothing = -1000;  // the field of a zero, which must not push the others out

int field_of(float x, int lowest) {
  return x == 0 ? kNothing : std::max(static_cast<int>(as_bits(x) >> 23 & 0xff), lowest);
}

// An exact sum, rounded as the rules say.
float round_sum(double exact, SumRules::Result result) {
  if (result == SumRules::Result::half) return half_to_float(double_to_half(exact));
  if (exact == 0) return 0.0f;
  u32 bits = encode_float(std::fabs(exact), kSingle, Rounding::zero, false);
  if (std::fabs(exact) >= 0x1p128) bits = 0x7f800000;
  if (result == SumRules::Result::short_single && bits < 0x7f800000) bits &= ~0x3ffu;
  return as_float(bits | (exact < 0 ? 0x80000000 : 0));
}

// One element of the result; any values.
struct ScalarSum {
  const Fragments<float>& f;
  int k_count, first, last;
  const SumRules& rules;

  template <class Visit>
  void each(int row, int column, Visit visit) const {
    for (int r = 0; r * 4 * f.elements < k_count; ++r) {
      for (int t = 0; t < 4; ++t) {
        for (int e = first; e < last; ++e)
          visit(f.a[r * 2 + row / 8][e][row % 8 * 4 + t], f.b[(t + 4 * r) * f.elements + e][column]);
      }
    }
  }
  float operator()(int row, int column, float c) const {
    int top = field_of(c, 1) + 127;
    bool special = !std::isfinite(c);
    float specials = special ? c : 0.0f;
    each(row, column, [&](float a, float b) {
      top = std::max(top, field_of(a, rules.lowest_a + 127) + field_of(b, rules.lowest_b + 127));
      if (std::isfinite(a) && std::isfinite(b)) return;
      special = true;
      specials += a * b;
    });
    if (special) return specials != specials ? as_float(kCanonicalNan) : specials;
    if (top < 0) return 0.0f;
    const int unit = top - kProductBias - rules.fraction_bits;
    double total = std::trunc(std::ldexp(static_cast<double>(c), -unit));
    each(row, column, [&](float a, float b) {
      total += std::trunc(std::ldexp(static_cast<double>(a) * static_cast<double>(b), -unit));
    });
    return round_sum(std::ldexp(total, unit), rules.result);
  }
};

#if defined(__AVX2__)
// Exponent fields of all operands, or false where one is infinite or NaN.
struct Exponents {
  alignas(64) s32 a[4][8][32];
  alignas(64) s32 b[64][8];

  bool read(const Fragments<float>& f, int k_count, const SumRules& rules) {
    const __m256i mask = _mm256_set1_epi32(0xff), nothing = _mm256_set1_epi32(kNothing);
    __m256i highest = _mm256_setzero_si256();
    auto convert = [&](const float* from, s32* to, int count, int lowest) {
      const __m256i floor = _mm256_set1_epi32(lowest + 127);
      for (int i = 0; i < count; i += 8) {
        __m256 x = _mm256_load_ps(from + i);
        __m256i bits = _mm256_castps_si256(x),
                zero = _mm256_castps_si256(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_EQ_OQ));
        __m256i field = _mm256_max_epi32(_mm256_and_si256(_mm256_srli_epi32(bits, 23), mask), floor);
        field = _mm256_blendv_epi8(field, nothing, zero);
        highest = _mm256_max_epi32(highest, field);
        _mm256_store_si256(reinterpret_cast<__m256i*>(to + i), field);
      }
    };
    for (int r = 0; r < k_count / (4 * f.elements) * 2; ++r)
      convert(f.a[r][0], a[r][0], 32 * f.elements, rules.lowest_a);
    convert(f.b[0], b[0], 8 * k_count, rules.lowest_b);
    __m256i special = _mm256_cmpeq_epi32(highest, mask);
    return _mm256_testz_si256(special, special);
  }
};

// Four columns: the products' sum and the accumulator, as exact doubles; unit is 2^(top - fraction bits).
inline __m256d add_accumulator(__m128i products, __m128 c, __m128i top, int fraction_bits) {
  __m256i wide = _mm256_cvtepi32_epi64(top);
  auto power = [&](int bias, bool inverse) {
    __m256i b = _mm256_set1_epi64x(bias);
    return _mm256_castsi256_pd(
        _mm256_slli_epi64(inverse ? _mm256_sub_epi64(b, wide) : _mm256_add_epi64(b, wide), 52));
  };
  __m256d aligned = _mm256_mul_pd(_mm256_cvtps_pd(c), power(1023 + kProductBias + fraction_bits, true));
  aligned = _mm256_round_pd(aligned, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
  __m256d total = _mm256_add_pd(_mm256_cvtepi32_pd(products), aligned);
  return _mm256_mul_pd(total, power(1023 - kProductBias - fraction_bits, false));
}

// Truncates to float. Adding no rounding mode changes: what rounding away added is taken back.
inline __m128 truncate(__m256d exact) {
  __m128 rounded = _mm256_cvtpd_ps(exact);
  const __m256d magnitude = _mm256_castsi256_pd(_mm256_set1_epi64x(0x7fffffffffffffff));
  __m256d away = _mm256_cmp_pd(_mm256_and_pd(_mm256_cvtps_pd(rounded), magnitude),
                               _mm256_and_pd(exact, magnitude), _CMP_GT_OQ);
  // Beyond the largest value the result is infinite, as is whatever rounds to 2^128.
  __m256d finite = _mm256_cmp_pd(_mm256_and_pd(exact, magnitude), _mm256_set1_pd(0x1p128), _CMP_LT_OQ);
  __m256i step = _mm256_castpd_si256(_mm256_and_pd(away, finite));
  __m128i narrow =
      _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(_mm256_castsi256_si128(step)),
                                      _mm_castsi128_ps(_mm256_extracti128_si256(step, 1)), 0x88));
  __m128i bits = _mm_add_epi32(_mm_castps_si128(rounded), narrow);  // minus one where it was rounded away
  return _mm_castsi128_ps(bits);
}
#endif

}  // namespace

SumRules sum_rules(MmaElement a, MmaElement b, bool half_result, bool warpgroup) {
  using Result = SumRules::Result;
  auto is_byte = [](MmaElement e) { return e == MmaElement::e4m3 || e == MmaElement::e5m2; };
  // mma.sync turns fp8 into f16 first; wgmma takes it as it is and keeps fewer bits of the sum.
  bool bytes = warpgroup && is_byte(a);
  auto lowest = [&](MmaElement e) {
    return e == MmaElement::bf16 || e == MmaElement::tf32 ? -126 : bytes && e == MmaElement::e4m3 ? -6 : -14;
  };
  return {bytes ? 13 : 25, lowest(a), lowest(b),
          half_result ? Result::half
          : bytes     ? Result::short_single
                      : Result::single};
}

void add_products(const Fragments<float>& f, int k_count, int first, int last, const SumRules& rules,
                  float (*sum)[8]) {
  ScalarSum scalar{f, k_count, first, last, rules};
#if defined(__AVX2__)
  Exponents exponents;
  // Products and their scaling are exact in float as long as exponents stay within these fields.
  const __m256i low = _mm256_set1_epi32(160), high = _mm256_set1_epi32(374);
  const __m256i scale_bias = _mm256_set1_epi32(127 + kProductBias + rules.fraction_bits);
  if (exponents.read(f, k_count, rules)) {
    for (int row = 0; row < 16; ++row) {
      __m256 c = _mm256_loadu_ps(sum[row]);
      __m256i field =
          _mm256_and_si256(_mm256_srli_epi32(_mm256_castps_si256(c), 23), _mm256_set1_epi32(0xff));
      __m256i top = _mm256_add_epi32(_mm256_max_epi32(field, _mm256_set1_epi32(1)), _mm256_set1_epi32(127));
      __m256i no_c = _mm256_castps_si256(_mm256_cmp_ps(c, _mm256_setzero_ps(), _CMP_EQ_OQ));
      top = _mm256_blendv_epi8(top, _mm256_set1_epi32(kNothing), no_c);
      for (int r = 0; r * 4 * f.elements < k_count; ++r) {
        for (int t = 0; t < 4; ++t) {
          for (int e = first; e < last; ++e) {
            __m256i a = _mm256_set1_epi32(exponents.a[r * 2 + row / 8][e][row % 8 * 4 + t]);
            const auto* b = reinterpret_cast<const __m256i*>(exponents.b[(t + 4 * r) * f.elements + e]);
            top = _mm256_max_epi32(top, _mm256_add_epi32(a, _mm256_load_si256(b)));
          }
        }
      }
      // Nothing but zeros: any exponent serves.
      top = _mm256_blendv_epi8(top, low, _mm256_cmpgt_epi32(_mm256_setzero_si256(), top));
      __m256i outside = _mm256_or_si256(_mm256_cmpgt_epi32(low, top), _mm256_cmpgt_epi32(top, high));
      outside = _mm256_or_si256(outside, _mm256_cmpeq_epi32(field, _mm256_set1_epi32(0xff)));
      if (!_mm256_testz_si256(outside, outside)) {
        for (int column = 0; column < 8; ++column) sum[row][column] = scalar(row, column, sum[row][column]);
        continue;
      }
      __m256 scale = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_sub_epi32(scale_bias, top), 23));
      __m256i products = _mm256_setzero_si256();
      for (int r = 0; r * 4 * f.elements < k_count; ++r) {
        for (int t = 0; t < 4; ++t) {
          for (int e = first; e < last; ++e) {
            __m256 a = _mm256_set1_ps(f.a[r * 2 + row / 8][e][row % 8 * 4 + t]);
            __m256 p = _mm256_mul_ps(a, _mm256_load_ps(f.b[(t + 4 * r) * f.elements + e]));
            products = _mm256_add_epi32(products, _mm256_cvttps_epi32(_mm256_mul_ps(p, scale)));
          }
        }
      }
      __m256d lower = add_accumulator(_mm256_castsi256_si128(products), _mm256_castps256_ps128(c),
                                      _mm256_castsi256_si128(top), rules.fraction_bits);
      __m256d upper = add_accumulator(_mm256_extracti128_si256(products, 1), _mm256_extractf128_ps(c, 1),
                                      _mm256_extracti128_si256(top, 1), rules.fraction_bits);
      if (rules.result == SumRules::Result::half) {
        alignas(32) double exact[8];
        _mm256_store_pd(exact, lower);
        _mm256_store_pd(exact + 4, upper);
        for (int column = 0; column < 8; ++column) sum[row][column] = round_sum(exact[column], rules.result);
        continue;
      }
      __m256 result = _mm256_set_m128(truncate(upper), truncate(lower));
      if (rules.result == SumRules::Result::short_single)
        result = _mm256_and_ps(result, _mm256_castsi256_ps(_mm256_set1_epi32(~0x3ff)));
      _mm256_storeu_ps(sum[row], result);
    }
    return;
  }
#endif
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) sum[row][column] = scalar(row, column, sum[row][column]);
  }
}

}  // namespace rtjit::emu
