// f32 and f64 arithmetic: add sub mul fma div rcp sqrt rsqrt sin cos lg2 ex2 tanh min max abs neg copysign
// testp. Round-to-nearest forms are vector loops on the host's IEEE arithmetic; the directed roundings take a
// slower exact way. Approximate functions return the correctly rounded value, which lies within the error
// that PTX allows.
#include <cfenv>
#include <cmath>
#include <limits>

#include "emulator/double_nan.h"
#include "emulator/lane_ops.h"
#include "emulator/ops_half.h"

namespace rtjit::emu {
namespace {

using Kind = Type::Kind;

constexpr u32 kFtz = 1, kSat = 2, kNan = 4, kRoundShift = 4;

inline float flush(float x) {
  return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
}

template <u32 Flags>
inline float in(float x) {
  return (Flags & kFtz) ? flush(x) : x;
}
template <u32 Flags>
inline u32 out(float x) {
  if (Flags & kFtz) x = flush(x);
  if (Flags & kSat) {
    x = x > 0.0f ? x : 0.0f;  // NaN and -0 become +0
    x = x < 1.0f ? x : 1.0f;
  }
  return x != x ? kCanonicalNan : as_bits(x);
}

template <u32 Flags, auto F>
void float_unary(Warp& w, const Op& op) {
  const float* a = w.reg<float>(op.a);
  for_lanes(w, w.reg<u32>(op.d), [=](int l) { return out<Flags>(F(in<Flags>(a[l]))); });
}
template <u32 Flags, auto F>
void float_binary(Warp& w, const Op& op) {
  const float *a = w.reg<float>(op.a), *b = w.reg<float>(op.b);
  for_lanes(w, w.reg<u32>(op.d), [=](int l) { return out<Flags>(F(in<Flags>(a[l]), in<Flags>(b[l]))); });
}
template <u32 Flags, auto F>
void float_ternary(Warp& w, const Op& op) {
  const float *a = w.reg<float>(op.a), *b = w.reg<float>(op.b), *c = w.reg<float>(op.c);
  for_lanes(w, w.reg<u32>(op.d),
            [=](int l) { return out<Flags>(F(in<Flags>(a[l]), in<Flags>(b[l]), in<Flags>(c[l]))); });
}
template <auto F>
Handler pick_unary(u32 flags) {
  switch (flags & 3) {
    case 0:
      return float_unary<0, F>;
    case 1:
      return float_unary<1, F>;
    case 2:
      return float_unary<2, F>;
    default:
      return float_unary<3, F>;
  }
}
template <auto F>
Handler pick_binary(u32 flags) {
  switch (flags & 3) {
    case 0:
      return float_binary<0, F>;
    case 1:
      return float_binary<1, F>;
    case 2:
      return float_binary<2, F>;
    default:
      return float_binary<3, F>;
  }
}
template <auto F>
Handler pick_ternary(u32 flags) {
  switch (flags & 3) {
    case 0:
      return float_ternary<0, F>;
    case 1:
      return float_ternary<1, F>;
    case 2:
      return float_ternary<2, F>;
    default:
      return float_ternary<3, F>;
  }
}

// One exact rounding in the given direction. Double holds products of floats exactly, and sums rounded to
// odd.
u32 round_single(double exact, Rounding rounding, bool cancelled) {
  if (exact == 0 && cancelled) return rounding == Rounding::down ? 0x80000000u : 0u;
  if (std::isnan(exact)) return kCanonicalNan;
  return encode_float(exact, kSingle, rounding, false);
}
enum class Arithmetic : u32 { add, sub, mul, fma, div, rcp, sqrt };

// A zero sum of summands with opposite signs, zeros included; it is negative when rounding down.
bool cancels(double x, double y) { return x == -y && std::signbit(x) != std::signbit(y); }

u32 directed_single(Arithmetic what, float a, float b, float c, Rounding rounding) {
  double x = a, y = b, z = c;
  switch (what) {
    case Arithmetic::add:
      return round_single(add_round_to_odd(x, y), rounding, cancels(x, y));
    case Arithmetic::sub:
      return round_single(add_round_to_odd(x, -y), rounding, cancels(x, -y));
    case Arithmetic::mul:
      return round_single(x * y, rounding, false);
    case Arithmetic::fma: {
      double product = x * y;
      return round_single(add_round_to_odd(product, z), rounding, cancels(product, z));
    }
    case Arithmetic::rcp:
      y = x, x = 1;
      [[fallthrough]];
    case Arithmetic::div: {
      double q = x / y;
      if (!std::isfinite(q) || q == 0) return round_single(q, rounding, false);
      double error = std::fma(-q, y, x);  // sign tells on which side of q the quotient lies
      if (error != 0 && !(as_bits(q) & 1))
        q = as_double(as_bits(q) + (((error > 0) == (y > 0)) == (q > 0) ? 1 : u64(-1)));
      return round_single(q, rounding, false);
    }
    case Arithmetic::sqrt: {
      double r = std::sqrt(x);
      if (!std::isfinite(r) || r == 0) return round_single(r, rounding, false);
      double error = std::fma(-r, r, x);
      if (error != 0 && !(as_bits(r) & 1)) r = as_double(as_bits(r) + (error > 0 ? 1 : u64(-1)));
      return round_single(r, rounding, false);
    }
  }
  return 0;
}

void run_directed_single(Warp& w, const Op& op) {
  auto what = static_cast<Arithmetic>(op.imm);
  auto rounding = static_cast<Rounding>(op.mods >> kRoundShift & 7);
  const float* a = w.reg<float>(op.a);
  const float* b = op.b == kNone ? a : w.reg<float>(op.b);
  const float* c = op.c == kNone ? a : w.reg<float>(op.c);
  u32* d = w.reg<u32>(op.d);
  bool ftz = op.mods & kFtz, sat = op.mods & kSat;
  each_lane(w.exec, [&](int l) {
    float x = a[l], y = b[l], z = c[l];
    if (ftz) x = flush(x), y = flush(y), z = flush(z);
    float r = as_float(directed_single(what, x, y, z, rounding));
    d[l] = sat ? (ftz ? out<3>(r) : out<2>(r)) : ftz ? out<1>(r) : out<0>(r);
  });
}

double directed_double(Arithmetic what, double a, double b, double c) {
  // The barrier keeps the compiler from computing before the rounding mode is set.
  volatile double x = a, y = b, z = c;
  volatile double r = 0;
  switch (what) {
    case Arithmetic::add:
      r = x + y;
      return pick_nan(a, b, r);
    case Arithmetic::sub:
      r = x - y;
      return pick_nan(a, b, r);
    case Arithmetic::mul:
      r = x * y;
      return pick_nan(a, b, r);
    case Arithmetic::fma:
      r = std::fma(x, y, z);
      return pick_nan(a, b, c, r);
    case Arithmetic::div:
      r = x / y;
      return pick_nan(b, a, r);  // a subroutine on silicon, which looks at the dividend first
    case Arithmetic::rcp:
      r = 1.0 / x;
      return pick_nan(a, r);
    case Arithmetic::sqrt:
      r = std::sqrt(x);
      return pick_nan(a, r);
  }
  return r;
}

void run_double(Warp& w, const Op& op) {
  static constexpr int kModes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
  auto what = static_cast<Arithmetic>(op.imm);
  const double* a = w.reg<double>(op.a);
  const double* b = op.b == kNone ? a : w.reg<double>(op.b);
  const double* c = op.c == kNone ? a : w.reg<double>(op.c);
  double* d = w.reg<double>(op.d);
  u32 mode = op.mods >> kRoundShift & 3;
  if (mode) std::fesetround(kModes[mode]);
  each_lane(w.exec, [&](int l) { d[l] = directed_double(what, a[l], b[l], c[l]); });
  if (mode) std::fesetround(FE_TONEAREST);
}

struct FloatModifiers {
  u32 flags = 0;
  Rounding rounding = Rounding::nearest;
  bool approximate = false, full = false;
};

// Reads rounding, .ftz, .sat and the like in any order; stops at the type.
FloatModifiers take_float_modifiers(Decoder& d) {
  FloatModifiers m;
  while (true) {
    if (d.take("rn"))
      m.rounding = Rounding::nearest;
    else if (d.take("rz"))
      m.rounding = Rounding::zero;
    else if (d.take("rm"))
      m.rounding = Rounding::down;
    else if (d.take("rp"))
      m.rounding = Rounding::up;
    else if (d.take("ftz"))
      m.flags |= kFtz;
    else if (d.take("sat"))
      m.flags |= kSat;
    else if (d.take("approx"))
      m.approximate = true;
    else if (d.take("full"))
      m.full = m.approximate = true;
    else if (d.take("NaN"))
      m.flags |= kNan;
    else
      break;
  }
  return m;
}

// min and max order -0 below +0 and ignore NaN unless .NaN is given.
template <bool Max, bool PropagateNan>
inline float min_max(float a, float b) {
  float ordered = Max ? (a > b ? a : b) : (a < b ? a : b);
  u32 zeros = Max ? (as_bits(a) & as_bits(b)) : (as_bits(a) | as_bits(b));
  ordered = a == b ? as_float(zeros) : ordered;
  float other = a != a ? b : a;
  bool any_nan = (a != a) | (b != b);
  return any_nan ? (PropagateNan ? as_float(kCanonicalNan) : other) : ordered;
}
template <bool Max>
inline float xorsign_abs(float a, float b) {
  float magnitude = min_max<Max, false>(std::fabs(a), std::fabs(b));
  return as_float((as_bits(magnitude) & 0x7fffffff) | ((as_bits(a) ^ as_bits(b)) & 0x80000000));
}
double min_max_double(bool max, double a, double b) {
  if (std::isnan(a)) return std::isnan(b) ? quiet(b) : b;
  if (std::isnan(b)) return a;
  if (a == b) return max ? as_double(as_bits(a) & as_bits(b)) : as_double(as_bits(a) | as_bits(b));
  return max ? (a > b ? a : b) : (a < b ? a : b);
}

void decode_float_min_max(Decoder& d, bool max) {
  FloatModifiers m = take_float_modifiers(d);
  bool xorsign = d.take("xorsign") && d.take("abs");
  Type type = d.take_type();
  decode_operands(d, type.bits, type);
  if (type.bits == 64) {
    d.op.run = max ? binary<double, double, [](double a, double b) { return min_max_double(true, a, b); }>
                   : binary<double, double, [](double a, double b) { return min_max_double(false, a, b); }>;
    return;
  }
  bool nan = m.flags & kNan;
  if (xorsign) {
    // The magnitude of the smaller or larger one, negative where the signs differ.
    if (nan || d.operand_count() != 3) return d.fail("this form of .xorsign.abs is not supported");
    d.op.run = max ? pick_binary<xorsign_abs<true>>(m.flags) : pick_binary<xorsign_abs<false>>(m.flags);
    return;
  }
  if (d.operand_count() == 4) {
    if (max)
      d.op.run = nan ? pick_ternary<[](float a, float b, float c) {
        return min_max<true, true>(min_max<true, true>(a, b), c);
      }>(m.flags)
                     : pick_ternary<[](float a, float b, float c) {
                         return min_max<true, false>(min_max<true, false>(a, b), c);
                       }>(m.flags);
    else
      d.op.run = nan ? pick_ternary<[](float a, float b, float c) {
        return min_max<false, true>(min_max<false, true>(a, b), c);
      }>(m.flags)
                     : pick_ternary<[](float a, float b, float c) {
                         return min_max<false, false>(min_max<false, false>(a, b), c);
                       }>(m.flags);
  } else if (max) {
    d.op.run = nan ? pick_binary<min_max<true, true>>(m.flags) : pick_binary<min_max<true, false>>(m.flags);
  } else {
    d.op.run = nan ? pick_binary<min_max<false, true>>(m.flags) : pick_binary<min_max<false, false>>(m.flags);
  }
}

// abs and neg leave NaNs canonical in f32, and as they are but quiet in f64 (PTX leaves both open).
void decode_float_sign(Decoder& d, bool absolute) {
  FloatModifiers m = take_float_modifiers(d);
  Type type = d.take_type();
  decode_operands(d, type.bits, type);
  if (type.bits == 64)
    d.op.run = absolute ? unary<double, double, [](double a) { return a != a ? quiet(a) : std::fabs(a); }>
                        : unary<double, double, [](double a) { return a != a ? quiet(a) : -a; }>;
  else
    d.op.run = absolute ? pick_unary<[](float a) { return std::fabs(a); }>(m.flags)
                        : pick_unary<[](float a) { return -a; }>(m.flags);
}

// add.f32x2 and so on: two floats in a 64-bit register.
template <auto F, u32 Flags>
void float_pair(Warp& w, const Op& op) {
  const u64 *a = w.reg<u64>(op.a), *b = w.reg<u64>(op.b), *c = op.c == kNone ? b : w.reg<u64>(op.c);
  for_lanes(w, w.reg<u64>(op.d), [=](int l) {
    auto low = [](u64 x) { return in<Flags>(as_float(static_cast<u32>(x))); };
    auto high = [](u64 x) { return in<Flags>(as_float(static_cast<u32>(x >> 32))); };
    u32 first = out<Flags>(F(low(a[l]), low(b[l]), low(c[l]))),
        second = out<Flags>(F(high(a[l]), high(b[l]), high(c[l])));
    return static_cast<u64>(second) << 32 | first;
  });
}

void decode_float_pair(Decoder& d, std::string_view root) {
  FloatModifiers m = take_float_modifiers(d);
  d.skip_modifiers();
  if (m.rounding != Rounding::nearest) return d.fail("only .rn is supported for f32x2");
  decode_operands(d, 64, Type{Kind::bits, 64});
  bool ftz = m.flags & kFtz;
  constexpr auto add = [](float a, float b, float) { return a + b; };
  constexpr auto sub = [](float a, float b, float) { return a - b; };
  constexpr auto mul = [](float a, float b, float) { return a * b; };
  constexpr auto fma = [](float a, float b, float c) { return std::fma(a, b, c); };
  if (root == "add")
    d.op.run = ftz ? float_pair<add, 1> : float_pair<add, 0>;
  else if (root == "sub")
    d.op.run = ftz ? float_pair<sub, 1> : float_pair<sub, 0>;
  else if (root == "mul")
    d.op.run = ftz ? float_pair<mul, 1> : float_pair<mul, 0>;
  else if (root == "fma")
    d.op.run = ftz ? float_pair<fma, 1> : float_pair<fma, 0>;
  else
    d.fail("f32x2 is not supported here");
}

// rcp.approx.ftz.f64 and rsqrt.approx.ftz.f64 read and write the upper 32 bits only.
template <auto F>
double upper_half(double a) {
  constexpr u64 kUpper = 0xffffffff00000000;
  auto flushed = [](double x) {
    return std::fabs(x) < std::numeric_limits<double>::min() ? std::copysign(0.0, x) : x;
  };
  double result = flushed(F(flushed(as_double(as_bits(a) & kUpper))));
  return as_double((result != result ? 0x7fffffffffffffff : as_bits(result)) & kUpper);
}

Arithmetic arithmetic_of(std::string_view root) {
  if (root == "add") return Arithmetic::add;
  if (root == "sub") return Arithmetic::sub;
  if (root == "mul") return Arithmetic::mul;
  if (root == "fma" || root == "mad") return Arithmetic::fma;
  if (root == "div") return Arithmetic::div;
  if (root == "rcp") return Arithmetic::rcp;
  return Arithmetic::sqrt;
}

void decode_arithmetic(Decoder& d) {
  std::string_view root = d.in().parts[0];
  FloatModifiers m = take_float_modifiers(d);
  Type type = d.take_type();
  Arithmetic what = arithmetic_of(root);
  size_t operands = what == Arithmetic::fma ? 4 : what == Arithmetic::rcp || what == Arithmetic::sqrt ? 2 : 3;
  d.expect_operands(operands, operands);
  decode_operands(d, type.bits, type);
  d.op.imm = static_cast<u64>(what);
  d.op.mods = m.flags | static_cast<u32>(m.rounding) << kRoundShift;
  if (type.bits == 64) {
    d.op.run = run_double;
    if (m.approximate && what == Arithmetic::rcp) {
      d.op.run =
          unary<double, double, [](double a) { return upper_half<[](double x) { return 1.0 / x; }>(a); }>;
      return;
    }
    if (m.rounding == Rounding::nearest) {
      switch (what) {
        case Arithmetic::add:
          d.op.run = binary<double, double, [](double a, double b) { return pick_nan(a, b, a + b); }>;
          break;
        case Arithmetic::sub:
          d.op.run = binary<double, double, [](double a, double b) { return pick_nan(a, b, a - b); }>;
          break;
        case Arithmetic::mul:
          d.op.run = binary<double, double, [](double a, double b) { return pick_nan(a, b, a * b); }>;
          break;
        case Arithmetic::fma:
          d.op.run = ternary<double, double, double, [](double a, double b, double c) {
            return pick_nan(a, b, c, std::fma(a, b, c));
          }>;
          break;
        default:
          break;
      }
    }
    return;
  }
  if (m.rounding != Rounding::nearest) {
    d.op.run = run_directed_single;
    return;
  }
  switch (what) {
    case Arithmetic::add:
      d.op.run = pick_binary<[](float a, float b) { return a + b; }>(m.flags);
      break;
    case Arithmetic::sub:
      d.op.run = pick_binary<[](float a, float b) { return a - b; }>(m.flags);
      break;
    case Arithmetic::mul:
      d.op.run = pick_binary<[](float a, float b) { return a * b; }>(m.flags);
      break;
    case Arithmetic::fma:
      d.op.run = pick_ternary<[](float a, float b, float c) { return std::fma(a, b, c); }>(m.flags);
      break;
    case Arithmetic::div:
      d.op.run = pick_binary<[](float a, float b) { return a / b; }>(m.flags);
      break;
    case Arithmetic::rcp:
      d.op.run = pick_unary<[](float a) { return 1.0f / a; }>(m.flags);
      break;
    case Arithmetic::sqrt:
      d.op.run = pick_unary<[](float a) { return std::sqrt(a); }>(m.flags);
      break;
  }
}

// Functions that PTX only approximates. Double precision makes the single result correctly rounded in
// practice.
template <auto F>
void decode_function(Decoder& d) {
  if (parse_type(d.in().parts.back()) && parse_type(d.in().parts.back())->kind != Kind::f)
    return decode_half_arithmetic(d);
  FloatModifiers m = take_float_modifiers(d);
  Type type = d.take_type();
  d.expect_operands(2, 2);
  decode_operands(d, type.bits, type);
  if (type.bits == 64)
    d.op.run = (m.flags & kFtz) ? unary<double, double, [](double a) { return upper_half<F>(a); }>
                                : unary<double, double, [](double a) { return F(a); }>;
  else
    d.op.run = pick_unary<[](float a) { return static_cast<float>(F(static_cast<double>(a))); }>(m.flags);
}

// copysign d, a, b: the magnitude of b with the sign of a.
void decode_copysign(Decoder& d) {
  Type type = d.take_type();
  decode_operands(d, type.bits, type);
  if (type.bits == 64)
    d.op.run = binary<u64, u64, [](u64 a, u64 b) { return (b & ~(u64(1) << 63)) | (a & u64(1) << 63); }>;
  else
    d.op.run = binary<u32, u32, [](u32 a, u32 b) { return (b & 0x7fffffff) | (a & 0x80000000); }>;
}

void decode_testp(Decoder& d) {
  int test = d.take_one_of({"finite", "infinite", "number", "notanumber", "normal", "subnormal"});
  Type type = d.take_type();
  if (test < 0) return d.fail("this test is not known");
  d.expect_operands(2, 2);
  d.op.d = d.predicate_destination(d.operand(0));
  d.op.a = d.source(1, type);
  d.op.mods = static_cast<u32>(test) | (type.bits == 64 ? 8 : 0);
  d.op.run = [](Warp& w, const Op& op) {
    u32 bits = 0;
    each_lane(w.exec, [&](int l) {
      int c = op.mods & 8 ? std::fpclassify(w.reg<double>(op.a)[l]) : std::fpclassify(w.reg<float>(op.a)[l]);
      bool results[] = {c != FP_NAN && c != FP_INFINITE, c == FP_INFINITE, c != FP_NAN, c == FP_NAN,
                        c == FP_NORMAL || c == FP_ZERO,  c == FP_SUBNORMAL};
      bits |= u32(results[op.mods & 7]) << l;
    });
    w.write_pred(op.d, bits);
  };
}

}  // namespace

void decode_float_arithmetic(Decoder& d) {
  std::string_view root = d.in().parts[0];
  std::optional<Type> type = parse_type(d.in().parts.back());
  if (type && type->kind != Kind::f) return decode_half_arithmetic(d);
  if (root == "min" || root == "max") return decode_float_min_max(d, root == "max");
  if (root == "abs" || root == "neg") return decode_float_sign(d, root == "abs");
  decode_arithmetic(d);
}

void decode_packed_single(Decoder& d) { decode_float_pair(d, d.in().parts[0]); }

void add_float_instructions(InstructionTable& table) {
  auto fma = [](Decoder& d) {
    if (d.in().parts.back() == "f32x2")
      decode_float_pair(d, "fma");
    else
      decode_float_arithmetic(d);
  };
  table["fma"] = fma;
  table["rcp"] = table["sqrt"] = decode_float_arithmetic;
  table["rsqrt"] = decode_function<[](double x) { return 1.0 / std::sqrt(x); }>;
  table["sin"] = decode_function<[](double x) { return std::sin(x); }>;
  table["cos"] = decode_function<[](double x) { return std::cos(x); }>;
  table["lg2"] = decode_function<[](double x) { return std::log2(x); }>;
  table["ex2"] = decode_function<[](double x) { return std::exp2(x); }>;
  table["tanh"] = decode_function<[](double x) { return std::tanh(x); }>;
  table["copysign"] = decode_copysign;
  table["testp"] = decode_testp;
}

}  // namespace rtjit::emu
