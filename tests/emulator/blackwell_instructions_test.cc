// Scalar forms that no H200 has (tests/silicon cannot know them), against oracles from the PTX ISA's words.
#include <array>
#include <cmath>

#include "tests/emulator/instruction_harness.h"

namespace rtjit {
namespace {

using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
constexpr const char* kTarget = "sm_100a";

float as_number(u32 bits) { return std::bit_cast<float>(bits); }
u32 canonical(float x) { return x != x ? 0x7fffffffu : std::bit_cast<u32>(x); }

template <class F>
void check_pair(const std::string& text, F one) {
  check_instruction<u64, u64, u64, u64>(
      text,
      [&](u64 a, u64 b, u64 c) {
        auto half = [&](int shift) {
          return u64(
              one(static_cast<u32>(a >> shift), static_cast<u32>(b >> shift), static_cast<u32>(c >> shift)));
        };
        return half(0) | half(32) << 32;
      },
      kTarget);
}

TEST(BlackwellInstructions, PairsOfSingles) {
  check_pair("add.rn.f32x2 %d, %a, %b;",
             [](u32 a, u32 b, u32) { return canonical(as_number(a) + as_number(b)); });
  check_pair("sub.rn.f32x2 %d, %a, %b;",
             [](u32 a, u32 b, u32) { return canonical(as_number(a) - as_number(b)); });
  check_pair("mul.rn.f32x2 %d, %a, %b;",
             [](u32 a, u32 b, u32) { return canonical(as_number(a) * as_number(b)); });
  check_pair("fma.rn.f32x2 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
    return canonical(std::fma(as_number(a), as_number(b), as_number(c)));
  });
  check_pair("mul.rn.ftz.f32x2 %d, %a, %b;", [](u32 a, u32 b, u32) {
    auto flush = [](u32 x) { return (x & 0x7f800000) ? x : x & 0x80000000; };
    return flush(canonical(as_number(flush(a)) * as_number(flush(b))));
  });
}

// The smallest or largest of three; NaN loses, or wins with .NaN; -0 is below +0.
u32 pick(std::array<u32, 3> values, bool max, bool nan_wins) {
  u32 best = 0;
  bool found = false;
  for (u32 x : values) {
    const float v = as_number(x);
    if (v != v) {
      if (nan_wins) return 0x7fffffff;
      continue;
    }
    const float b = as_number(best);
    const bool above = v > b || (v == b && best >> 31 && !(x >> 31)), below = v < b || (v == b && x >> 31);
    if (!found || (max ? above : below)) best = x;
    found = true;
  }
  return found ? best : 0x7fffffff;
}

TEST(BlackwellInstructions, LeastAndGreatestOfThree) {
  for (bool max : {false, true}) {
    for (bool nan : {false, true}) {
      const std::string text =
          std::string(max ? "max" : "min") + (nan ? ".NaN" : "") + ".f32 %d, %a, %b, %c;";
      check_instruction<u32, u32, u32, u32>(
          text,
          [=](u32 a, u32 b, u32 c) {
            return pick({a, b, c}, max, nan);
          },
          kTarget);
    }
  }
}

// Two powers of two, rounded towards zero or up. Positive inputs: the format has no sign.
TEST(BlackwellInstructions, ScalesFromSingles) {
  for (bool up : {false, true}) {
    const std::string text =
        "{ .reg .b16 h; .reg .b32 x, y; and.b32 x, %a, 0x7fffffff; and.b32 y, %b, 0x7fffffff; cvt." +
        std::string(up ? "rp" : "rz") + ".satfinite.ue8m0x2.f32 h, x, y; cvt.u32.u16 %d, h; }";
    auto one = [=](u32 bits) -> u32 {
      const float x = std::fabs(as_number(bits));
      if (x != x) return 255;
      if (std::isinf(x)) return 254;
      if (x == 0) return 0;
      int exponent = 0;
      const float fraction = std::frexp(x, &exponent);  // in [0.5, 1)
      const int power = exponent - 1 + (up && fraction != 0.5f);
      return static_cast<u32>(std::min(std::max(power + 127, 0), 254));
    };
    check_instruction<u32, u32, u32, u32>(
        text, [=](u32 a, u32 b, u32) { return one(a) << 8 | one(b); }, kTarget);
  }
}

// Codes of 6 bits to f16, which holds each of them exactly.
TEST(BlackwellInstructions, SixBitFloats) {
  for (auto [name, exponent_bits, mantissa_bits] : {std::tuple("e3m2", 3, 2), std::tuple("e2m3", 2, 3)}) {
    auto one = [=](u32 code) -> u32 {
      const int bias = (1 << (exponent_bits - 1)) - 1;
      const int mantissa = static_cast<int>(code & ((1u << mantissa_bits) - 1));
      const int exponent = static_cast<int>(code >> mantissa_bits & ((1u << exponent_bits) - 1));
      const u32 sign = (code >> 5 & 1) << 15;
      const double value = exponent
                               ? std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits)
                               : std::ldexp(mantissa, 1 - bias - mantissa_bits);
      if (value == 0) return sign;
      int power = 0;
      const double fraction = std::frexp(value, &power);
      return sign | static_cast<u32>(power - 1 + 15) << 10 | static_cast<u32>((fraction * 2 - 1) * 1024);
    };
    check_instruction<u32, u32, u32, u32>(
        "{ .reg .b16 h; .reg .b32 x; and.b32 x, %a, 0x3f3f; cvt.u16.u32 h, x; cvt.rn.f16x2." +
            std::string(name) + "x2 %d, h; }",
        [=](u32 a, u32, u32) { return one(a & 0x3f) | one(a >> 8 & 0x3f) << 16; }, kTarget);
  }
}

TEST(BlackwellInstructions, ReductionsOfSingles) {
  std::vector<u32> x = {0x3f800000, 0xc0400000, 0x80000000, 0x00000000,
                        0x00000001, 0x80000001, 0x7f7fffff, 0xbf800000};
  for (u32 i = 8; i < 32; ++i) x.push_back((i * 0x9e3779b9u & 0x8fffffff) | 0x30000000);
  for (bool with_nan : {false, true}) {
    if (with_nan) x[20] = 0x7fc00001;
    for (const char* form : {"min", "max", "min.abs", "max.abs", "min.NaN", "max.abs.NaN"}) {
      const std::string name = form;
      Emulator emulator(kTarget);
      emulator.compile(
          "extern \"C\" __global__ void k(const unsigned* in, unsigned* out) { unsigned r; asm "
          "volatile(\"redux.sync." +
          name + ".f32 %0, %1, 0xffffffff;\" : \"=r\"(r) : \"r\"(in[threadIdx.x])); out[threadIdx.x] = r; }");
      auto in = emulator.buffer(x);
      auto out = emulator.empty<u32>(32);
      ASSERT_TRUE(emulator.run("k", 1, 32, 0, in, out).ok()) << emulator.status().error().message;
      const bool max = name.starts_with("max"), absolute = name.find("abs") != std::string::npos;
      u32 expected = 0x7fffffff;
      bool nan = false;
      for (u32 bits : x) {
        if (absolute) bits &= 0x7fffffff;
        nan |= as_number(bits) != as_number(bits);
        expected = pick({expected, bits, 0x7fffffff}, max, false);
      }
      if (nan && name.ends_with("NaN")) expected = 0x7fffffff;
      for (u32 got : emulator.read(out))
        EXPECT_EQ(got, expected) << name << " with" << (with_nan ? "" : "out") << " NaN";
    }
  }
}

}  // namespace
}  // namespace rtjit
