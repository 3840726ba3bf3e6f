// Floating-point arithmetic and conversions against oracles in quadruple precision, rounded by their own
// code.
#include <cmath>

#include "tests/emulator/instruction_harness.h"

namespace rtjit {
namespace {

using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using Quad = __float128;

enum class Round { nearest, zero, down, up, away };
struct Format {
  int exponent, mantissa;
  bool infinity = true, nan = true;
  int bias() const { return (1 << (exponent - 1)) - 1; }
};
constexpr Format kF32{8, 23}, kF16{5, 10}, kBf16{8, 7}, kE4m3{4, 3, false, true}, kE5m2{5, 2},
    kE2m1{2, 1, false, false}, kE3m2{3, 2, false, false}, kE2m3{2, 3, false, false};

bool is_nan(Quad x) { return x != x; }

// Value of a bit pattern, by the definition of the format.
Quad value_of(u32 bits, const Format& f) {
  u32 m = bits & ((1u << f.mantissa) - 1), e = bits >> f.mantissa & ((1u << f.exponent) - 1),
      top = (1u << f.exponent) - 1;
  Quad sign = bits >> (f.mantissa + f.exponent) & 1 ? -1 : 1;
  if (f.infinity && e == top) return m ? Quad(NAN) : sign * Quad(INFINITY);
  if (!f.infinity && f.nan && e == top && m == (1u << f.mantissa) - 1) return Quad(NAN);
  Quad x = e == 0 ? Quad(m) : Quad(m + (1u << f.mantissa));
  int power = (e == 0 ? 1 : int(e)) - f.bias() - f.mantissa;
  for (; power > 0; --power) x *= 2;
  for (; power < 0; ++power) x /= 2;
  return sign * x;
}

// The pattern nearest to x in the wanted direction, found by bisection over the ordered magnitudes.
u32 round_to(Quad x, const Format& f, Round round = Round::nearest, bool saturate = false, u32 nan = 0) {
  u32 all = (1u << (f.mantissa + f.exponent)) - 1;
  if (is_nan(x)) return nan ? nan : f.nan ? all : all;
  bool negative = x < 0 || (x == 0 && std::signbit(static_cast<double>(x)));
  Quad magnitude = negative ? -x : x;
  u32 largest = f.infinity ? all - (1u << f.mantissa) : f.nan ? all - 1 : all, low = 0, high = largest;
  while (low < high) {  // the largest pattern not above the magnitude
    u32 middle = low + (high - low + 1) / 2;
    if (value_of(middle, f) <= magnitude)
      low = middle;
    else
      high = middle - 1;
  }
  Quad below = value_of(low, f), above;
  if (low < largest)
    above = value_of(low + 1, f);
  else
    above = below + (below - value_of(low - 1, f));
  bool up = false;
  Quad rest = magnitude - below, gap = above - below;
  if (magnitude > below) {
    if (round == Round::nearest) up = rest * 2 > gap || (rest * 2 == gap && (low & 1));
    if (round == Round::away) up = rest * 2 >= gap;
    if (round == Round::down) up = negative;
    if (round == Round::up) up = !negative;
  }
  u32 result = low + up;
  u32 overflow = saturate ? largest : f.infinity ? largest + 1 : f.nan ? all : largest;
  if (result > largest) result = overflow;
  if (magnitude > Quad(1e300)) result = overflow;
  return result | (negative ? all + 1 : 0);
}

u32 f32(Quad x, Round round = Round::nearest) { return round_to(x, kF32, round, false, 0x7fffffff); }
Quad q(u32 bits) { return value_of(bits, kF32); }

template <class F>
void check(const std::string& text, F f) {
  check_instruction<u32, u32, u32, u32>(text, f);
}

// x + y = 0 gets its sign from the rounding; everything else from the value.
u32 sum(Quad x, Quad y, Round round) {
  Quad s = x + y;
  if (s == 0 && x != 0) return round == Round::down ? 0x80000000 : 0;
  if (s == 0) {
    bool nx = std::signbit(static_cast<double>(x)), ny = std::signbit(static_cast<double>(y));
    return (nx && ny) || (round == Round::down && (nx || ny)) ? 0x80000000 : 0;
  }
  return f32(s, round);
}

TEST(FloatInstructions, SingleArithmetic) {
  check("add.rn.f32 %d, %a, %b;", [](u32 a, u32 b, u32) { return sum(q(a), q(b), Round::nearest); });
  check("sub.f32 %d, %a, %b;",
        [](u32 a, u32 b, u32) { return sum(q(a), q(b ^ 0x80000000), Round::nearest); });
  check("mul.rn.f32 %d, %a, %b;", [](u32 a, u32 b, u32) { return f32(q(a) * q(b)); });
  check("div.rn.f32 %d, %a, %b;", [](u32 a, u32 b, u32) { return f32(q(a) / q(b)); });
  check("mul.rz.f32 %d, %a, %b;", [](u32 a, u32 b, u32) {
    u32 r = f32(q(a) * q(b), Round::zero);
    bool finite = (a & 0x7f800000) != 0x7f800000 && (b & 0x7f800000) != 0x7f800000;
    return finite && (r & 0x7fffffff) == 0x7f800000 ? r - 1 : r;
  });
  check("sqrt.rn.f32 %d, %a;", [](u32 a, u32, u32) {
    float r = std::sqrt(std::bit_cast<float>(a));
    return r != r ? 0x7fffffffu : std::bit_cast<u32>(r);
  });
  check("fma.rn.f32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
    float r = std::fma(std::bit_cast<float>(a), std::bit_cast<float>(b), std::bit_cast<float>(c));
    return r != r ? 0x7fffffffu : std::bit_cast<u32>(r);
  });
  check("add.sat.f32 %d, %a, %b;", [](u32 a, u32 b, u32) {
    float r = std::bit_cast<float>(a) + std::bit_cast<float>(b);
    return std::bit_cast<u32>(r > 0 ? r < 1 ? r : 1.0f : 0.0f);
  });
  check("mul.ftz.f32 %d, %a, %b;", [](u32 a, u32 b, u32) {
    auto flush = [](u32 x) { return (x & 0x7f800000) ? x : x & 0x80000000; };
    return flush(f32(q(flush(a)) * q(flush(b))));
  });
  check("neg.f32 %d, %a;", [](u32 a, u32, u32) { return is_nan(q(a)) ? 0x7fffffff : a ^ 0x80000000; });
  check("abs.f32 %d, %a;", [](u32 a, u32, u32) { return is_nan(q(a)) ? 0x7fffffff : a & 0x7fffffff; });
}

u32 pick(u32 a, u32 b, bool max, bool propagate) {
  bool na = is_nan(q(a)), nb = is_nan(q(b));
  if ((na && nb) || ((na || nb) && propagate)) return 0x7fffffff;
  if (na) return b;
  if (nb) return a;
  if (q(a) == q(b)) return max ? a & b : a | b;
  return (q(a) > q(b)) == max ? a : b;
}

TEST(FloatInstructions, SingleMinMaxAndCompare) {
  check("min.f32 %d, %a, %b;", [](u32 a, u32 b, u32) { return pick(a, b, false, false); });
  check("max.f32 %d, %a, %b;", [](u32 a, u32 b, u32) { return pick(a, b, true, false); });
  check("max.NaN.f32 %d, %a, %b;", [](u32 a, u32 b, u32) { return pick(a, b, true, true); });
  check("setp.lt.f32 %q, %a, %b; selp.b32 %d, 1, 0, %q;", [](u32 a, u32 b, u32) { return q(a) < q(b); });
  check("setp.geu.f32 %q, %a, %b; selp.b32 %d, 1, 0, %q;", [](u32 a, u32 b, u32) { return !(q(a) < q(b)); });
  check("setp.ne.f32 %q, %a, %b; selp.b32 %d, 1, 0, %q;",
        [](u32 a, u32 b, u32) { return !is_nan(q(a)) && !is_nan(q(b)) && q(a) != q(b); });
  check("setp.nan.f32 %q, %a, %b; selp.b32 %d, 1, 0, %q;",
        [](u32 a, u32 b, u32) { return is_nan(q(a)) || is_nan(q(b)); });
}

// Half and bfloat results are exact values rounded once. Quad holds every sum but those of far apart bfloats.
template <class F>
void check_halves(const std::string& name, int operands, F exact) {
  for (const Format& f : {kF16, kBf16}) {
    std::string type = f.mantissa == 10 ? "f16" : "bf16",
                list = operands == 2 ? " %d, %a, %b;" : " %d, %a, %b, %c;";
    check_instruction<u16, u16, u16, u16>(name + "." + type + list, [&](u16 a, u16 b, u16 c) {
      return round_to(exact(value_of(a, f), value_of(b, f), value_of(c, f)), f, Round::nearest, false,
                      0x7fff);
    });
    check_instruction<u32, u32, u32, u32>(name + "." + type + "x2" + list, [&](u32 a, u32 b, u32 c) {
      auto one = [&](u32 x, u32 y, u32 z) {
        return round_to(exact(value_of(x & 0xffff, f), value_of(y & 0xffff, f), value_of(z & 0xffff, f)), f,
                        Round::nearest, false, 0x7fff);
      };
      return one(a, b, c) | one(a >> 16, b >> 16, c >> 16) << 16;
    });
  }
}

TEST(FloatInstructions, HalfArithmetic) {
  check_halves("add.rn", 2, [](Quad a, Quad b, Quad) { return a + b; });
  check_halves("sub.rn", 2, [](Quad a, Quad b, Quad) { return a - b; });
  check_halves("mul.rn", 2, [](Quad a, Quad b, Quad) { return a * b; });
  check_halves("fma.rn", 3, [](Quad a, Quad b, Quad c) {
    // Far apart bfloats do not fit 113 bits: what is lost moves the sum by one last place.
    Quad product = a * b, total = product + c,
         lost = (product - (total - (total - product))) + (c - (total - product));
    if (is_nan(lost) || lost == 0) return total;
    Quad nudge = (total < 0 ? -total : total) / 5e33;
    return lost > 0 ? total + nudge : total - nudge;
  });
}

TEST(FloatInstructions, ApproximateFunctions) {
  check("ex2.approx.f32 %d, %a;", [](u32 a, u32, u32) {
    auto r = static_cast<float>(std::exp2(static_cast<double>(std::bit_cast<float>(a))));
    return r != r ? 0x7fffffffu : std::bit_cast<u32>(r);
  });
  check("rsqrt.approx.f32 %d, %a;", [](u32 a, u32, u32) {
    auto r = static_cast<float>(1.0 / std::sqrt(static_cast<double>(std::bit_cast<float>(a))));
    return r != r ? 0x7fffffffu : std::bit_cast<u32>(r);
  });
}

TEST(FloatInstructions, ConversionsBetweenFloats) {
  for (auto [name, round] : {std::pair("rn", Round::nearest), std::pair("rz", Round::zero)}) {
    std::string n = name;
    Round r = round;
    auto finite_overflow = [r](u32 bits, u32 infinity, u32 in) {
      return r == Round::zero && (bits & 0x7fff) == infinity && (in & 0x7fffffff) < 0x7f800000 ? bits - 1
                                                                                               : bits;
    };
    check_instruction<u16, u32, u32, u32>("cvt." + n + ".bf16.f32 %d, %a;", [=](u32 a, u32, u32) {
      return finite_overflow(round_to(q(a), kBf16, r, false, 0x7fff), 0x7f80, a);
    });
    check_instruction<u16, u32, u32, u32>("cvt." + n + ".f16.f32 %d, %a;", [=](u32 a, u32, u32) {
      return finite_overflow(round_to(q(a), kF16, r, false, 0x7fff), 0x7c00, a);
    });
    check("cvt." + n + ".bf16x2.f32 %d, %a, %b;", [=](u32 a, u32 b, u32) {
      return finite_overflow(round_to(q(a), kBf16, r, false, 0x7fff), 0x7f80, a) << 16 |
             finite_overflow(round_to(q(b), kBf16, r, false, 0x7fff), 0x7f80, b);
    });
  }
  check_instruction<u32, u16, u16, u16>("cvt.f32.f16 %d, %a;",
                                        [](u16 a, u16, u16) { return f32(value_of(a, kF16)); });
  check("cvt.rn.relu.f16x2.f32 %d, %a, %b;", [](u32 a, u32 b, u32) {
    auto one = [](u32 x) {
      return !is_nan(q(x)) && x >> 31 ? 0 : round_to(q(x), kF16, Round::nearest, false, 0x7fff);
    };
    return one(a) << 16 | one(b);
  });
  check("cvt.rna.tf32.f32 %d, %a;", [](u32 a, u32, u32) {
    return is_nan(q(a)) ? a & 0xffffe000 : round_to(q(a), Format{8, 10}, Round::away) << 13;
  });
}

TEST(FloatInstructions, SmallFormats) {
  check_instruction<u16, u32, u32, u32>("cvt.rn.satfinite.e4m3x2.f32 %d, %a, %b;", [](u32 a, u32 b, u32) {
    return round_to(q(a), kE4m3, Round::nearest, true) << 8 | round_to(q(b), kE4m3, Round::nearest, true);
  });
  check_instruction<u16, u32, u32, u32>("cvt.rn.satfinite.e5m2x2.f32 %d, %a, %b;", [](u32 a, u32 b, u32) {
    return round_to(q(a), kE5m2, Round::nearest, true) << 8 | round_to(q(b), kE5m2, Round::nearest, true);
  });
  for (const char* name : {"e4m3", "e5m2"}) {
    const Format& f = name[1] == '4' ? kE4m3 : kE5m2;
    check_instruction<u32, u16, u16, u16>(std::string("cvt.rn.f16x2.") + name + "x2 %d, %a;", [&](u16 a, u16,
                                                                                                  u16) {
      auto one = [&](u32 x) { return round_to(value_of(x & 0xff, f), kF16, Round::nearest, false, 0x7fff); };
      return one(a) | one(a >> 8) << 16;
    });
  }
  auto small = [](const char* text, auto oracle) {
    check_instruction<u32, u32, u32, u32>(text, oracle, "sm_100a");
  };
  small(
      "{ .reg .b8 x; .reg .b16 y; cvt.rn.satfinite.e2m1x2.f32 x, %a, %b; mov.b16 y, {x, 0}; cvt.u32.u16 %d, "
      "y; }",
      [](u32 a, u32 b, u32) {
        auto one = [](u32 x) { return is_nan(q(x)) ? 7u : round_to(q(x), kE2m1, Round::nearest, true); };
        return one(a) << 4 | one(b);
      });
  small("{ .reg .b8 x, y; .reg .b16 z; cvt.u16.u32 z, %a; mov.b16 {x, y}, z; cvt.rn.f16x2.e2m1x2 %d, x; }",
        [](u32 a, u32, u32) {
          return round_to(value_of(a & 15, kE2m1), kF16) | round_to(value_of(a >> 4 & 15, kE2m1), kF16) << 16;
        });
  small("{ .reg .b16 x; cvt.rn.satfinite.e3m2x2.f32 x, %a, %b; cvt.u32.u16 %d, x; }", [](u32 a, u32 b, u32) {
    auto one = [](u32 x) { return is_nan(q(x)) ? 0x1fu : round_to(q(x), kE3m2, Round::nearest, true); };
    return one(a) << 8 | one(b);
  });
  small("{ .reg .b16 x; cvt.rn.satfinite.e2m3x2.f32 x, %a, %b; cvt.u32.u16 %d, x; }", [](u32 a, u32 b, u32) {
    auto one = [](u32 x) { return is_nan(q(x)) ? 0x1fu : round_to(q(x), kE2m3, Round::nearest, true); };
    return one(a) << 8 | one(b);
  });
  small("{ .reg .b16 x; cvt.u16.u32 x, %a; cvt.rn.bf16x2.ue8m0x2 %d, x; }", [](u32 a, u32, u32) {
    auto one = [](u32 x) { return x == 0xff ? 0x7fffu : x == 0 ? 0x40u : x << 7; };
    return one(a & 0xff) | one(a >> 8 & 0xff) << 16;
  });
}

TEST(FloatInstructions, FloatsAndIntegers) {
  auto to_int = [](Quad x, Quad low, Quad high) {
    return is_nan(x) ? Quad(0) : x < low ? low : x > high ? high : x;
  };
  check("cvt.rzi.s32.f32 %d, %a;", [&](u32 a, u32, u32) {
    return u32(int64_t(to_int(Quad(std::trunc(static_cast<double>(q(a)))), INT32_MIN, INT32_MAX)));
  });
  check("cvt.rni.s32.f32 %d, %a;", [&](u32 a, u32, u32) {
    return u32(int64_t(to_int(Quad(std::nearbyint(static_cast<double>(q(a)))), INT32_MIN, INT32_MAX)));
  });
  check("cvt.rpi.u32.f32 %d, %a;", [&](u32 a, u32, u32) {
    return u32(int64_t(to_int(Quad(std::ceil(static_cast<double>(q(a)))), 0, 4294967295.0)));
  });
  check("cvt.rmi.f32.f32 %d, %a;", [&](u32 a, u32, u32) {
    float r = std::floor(std::bit_cast<float>(a));
    return r != r ? 0x7fffffffu : std::bit_cast<u32>(r);
  });
  check("cvt.rn.f32.s32 %d, %a;", [](u32 a, u32, u32) { return f32(Quad(int32_t(a))); });
  check("cvt.rz.f32.u32 %d, %a;", [](u32 a, u32, u32) { return f32(Quad(a), Round::zero); });
  check_instruction<u32, u64, u32, u32>("cvt.rn.f32.u64 %d, %a;",
                                        [](u64 a, u32, u32) { return f32(Quad(a)); });
  check_instruction<u64, u64, u32, u32>("cvt.rn.f64.s64 %d, %a;", [](u64 a, u32, u32) {
    return std::bit_cast<u64>(static_cast<double>(int64_t(a)));
  });
  check_instruction<u16, u32, u32, u32>("cvt.rn.f16.s32 %d, %a;",
                                        [](u32 a, u32, u32) { return round_to(Quad(int32_t(a)), kF16); });
  // Which operand's NaN comes through is open: any NaN is as good as the canonical one.
  check_instruction<u64, u64, u64, u64>(
      "fma.rn.f64 %d, %a, %b, %c; setp.nan.f64 %q, %d, %d; @%q mov.b64 %d, 0x7ff8000000000000;",
      [](u64 a, u64 b, u64 c) {
        const double r =
            std::fma(std::bit_cast<double>(a), std::bit_cast<double>(b), std::bit_cast<double>(c));
        return r != r ? u64(0x7ff8000000000000) : std::bit_cast<u64>(r);
      });
}

}  // namespace
}  // namespace rtjit
