// The number conversions of device/fp8.cuh, run on the host for every code. What the header needs of CUDA is
// replaced; functions with assembly in them are compiled but not called.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>

#include "base/float_formats.h"

#define __host__
#define __device__
static inline uint32_t __float_as_uint(float value) { return std::bit_cast<uint32_t>(value); }
static inline float __uint_as_float(uint32_t bits) { return std::bit_cast<float>(bits); }
static inline uint32_t __byte_perm(uint32_t low, uint32_t high, uint32_t selector) {
  const uint64_t bytes = uint64_t{high} << 32 | low;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t source = (selector >> (4 * i)) & 7;
    result |= static_cast<uint32_t>((bytes >> (8 * source)) & 0xff) << (8 * i);
  }
  return result;
}
#include "device/fp8.cuh"

namespace rtjit::device {
namespace {

bool same(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

TEST(Fp8Device, E4m3ToFloat) {
  for (u32 code = 0; code < 256; ++code) {
    EXPECT_TRUE(same(e4m3_to_float(code), float_from_e4m3(static_cast<u8>(code)))) << code;
  }
}

TEST(Fp8Device, E8m0ToFloat) {
  for (u32 byte = 0; byte < 256; ++byte) {
    EXPECT_TRUE(same(e8m0_to_float(byte), float_from_e8m0(static_cast<u8>(byte)))) << byte;
  }
}

// Every pair of codes: neither half may disturb the other.
TEST(Fp8Device, PlacedE4m3IsValueTimes2ToMinus120) {
  int wrong = 0;
  for (u32 low = 0; low < 256; ++low) {
    for (u32 high = 0; high < 256; ++high) {
      const u32 pair = place_e4m3(__byte_perm(high << 8 | low, 0, 0x1404));
      const double low_value = std::ldexp(bf16_to_float(static_cast<u16>(pair)), 120);
      const double high_value = std::ldexp(bf16_to_float(static_cast<u16>(pair >> 16)), 120);
      if (!same(low_value, float_from_e4m3(static_cast<u8>(low)))) ++wrong;
      if (!same(high_value, float_from_e4m3(static_cast<u8>(high)))) ++wrong;
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(bf16_to_float(static_cast<u16>(kE4m3RebiasBf16x2)), std::ldexp(1.0f, 120));
  EXPECT_EQ(__uint_as_float(kE4m3RebiasFloat), std::ldexp(1.0f, 120));
}

}  // namespace
}  // namespace rtjit::device
