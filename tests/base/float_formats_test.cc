#include "base/float_formats.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace rtjit {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(FloatFormats, Bf16RoundsToNearestEven) {
  EXPECT_EQ(bf16_from_float(1.0f), 0x3F80);
  EXPECT_EQ(bf16_from_float(1.0f + 1.0f / 256), 0x3F80);  // tie goes to the even neighbour
  EXPECT_EQ(bf16_from_float(1.0f + 3.0f / 256), 0x3F82);
  EXPECT_EQ(bf16_from_float(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_TRUE(std::isnan(float_from_bf16(bf16_from_float(std::nanf("")))));
}

TEST(FloatFormats, EveryF16RoundTrips) {
  for (int bits = 0; bits < 65536; ++bits) {
    float value = float_from_f16(static_cast<uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(f16_from_float(value), bits);
  }
  EXPECT_EQ(f16_from_float(65519.0f), 0x7BFF);
  EXPECT_EQ(f16_from_float(65520.0f), 0x7C00);
  EXPECT_EQ(f16_from_float(-kInf), 0xFC00);
  EXPECT_EQ(f16_from_float(std::ldexp(1.0f, -25)), 0);  // half of the smallest: tie to even zero
}

TEST(FloatFormats, EveryE4m3RoundTripsAndSaturates) {
  for (int bits = 0; bits < 256; ++bits) {
    float value = float_from_e4m3(static_cast<uint8_t>(bits));
    if ((bits & 0x7F) == 0x7F) {
      EXPECT_TRUE(std::isnan(value));
    } else {
      EXPECT_EQ(e4m3_from_float(value), bits);
    }
  }
  EXPECT_EQ(float_from_e4m3(e4m3_from_float(1e9f)), 448.0f);
  EXPECT_EQ(float_from_e4m3(e4m3_from_float(-kInf)), -448.0f);
  EXPECT_EQ(float_from_e4m3(e4m3_from_float(17.0f)), 16.0f);  // 16 and 18 are neighbours, tie to even
}

TEST(FloatFormats, E8m0AndE2m1) {
  EXPECT_EQ(float_from_e8m0(127), 1.0f);
  EXPECT_EQ(float_from_e8m0(0), std::ldexp(1.0f, -127));
  EXPECT_TRUE(std::isnan(float_from_e8m0(255)));
  EXPECT_EQ(float_from_e2m1(7), 6.0f);
  EXPECT_EQ(float_from_e2m1(9), -0.5f);
}

}  // namespace
}  // namespace rtjit
