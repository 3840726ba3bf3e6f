// f16 and bf16 arithmetic, scalar and packed. Every result is the exact value rounded once:
// - f16 sums and products are exact or innocuously double-rounded in float; f16 fma is exact in double (at
// most 41 bits
//   matter where the result is not decided by the larger operand);
// - bf16 results go through a float that is rounded to odd where rounding twice could differ.
#include "emulator/ops_half.h"

#include <cmath>

#include "emulator/lane_ops.h"

namespace rtjit::emu {
namespace {

using Kind = Type::Kind;

constexpr u32 kRelu = 1, kSat = 2, kNan = 4, kFtz = 8;

// A float rounded to odd: rounding it again to fewer bits is rounding the double once.
float narrow_to_odd(double value) {
  auto rounded = static_cast<float>(value);
  if (static_cast<double>(rounded) == value || std::isnan(value)) return rounded;
  u32 bits = as_bits(rounded);
  if (std::isinf(rounded)) return std::isinf(value) ? rounded : as_float(bits - 1);
  if (bits & 1) return rounded;
  return as_float(std::fabs(static_cast<double>(rounded)) < std::fabs(value) ? bits + 1 : bits - 1);
}

struct Half {
  static float to_float(u32 bits) { return half_to_float(bits); }
  static u32 from_float(float value) { return float_to_half(value); }
  static u32 add(u32 a, u32 b) { return float_to_half(half_to_float(a) + half_to_float(b)); }
  static u32 sub(u32 a, u32 b) { return float_to_half(half_to_float(a) - half_to_float(b)); }
  static u32 mul(u32 a, u32 b) { return float_to_half(half_to_float(a) * half_to_float(b)); }
  static u32 fma(u32 a, u32 b, u32 c) {
    double product = static_cast<double>(half_to_float(a)) * half_to_float(b);
    return float_to_half(narrow_to_odd(product + half_to_float(c)));
  }
  static constexpr u32 kInfinity = 0x7c00, kSmallestNormal = 0x0400, kOne = 0x3c00;
};
struct Bfloat {
  static float to_float(u32 bits) { return bf16_to_float(bits); }
  static u32 from_float(float value) { return float_to_bf16(value); }
  static u32 add(u32 a, u32 b) { return float_to_bf16(bf16_to_float(a) + bf16_to_float(b)); }
  static u32 sub(u32 a, u32 b) { return float_to_bf16(bf16_to_float(a) - bf16_to_float(b)); }
  static u32 mul(u32 a, u32 b) {
    return float_to_bf16(narrow_to_odd(static_cast<double>(bf16_to_float(a)) * bf16_to_float(b)));
  }
  static u32 fma(u32 a, u32 b, u32 c) {
    // A single rounding to 24 bits and another to 8 agree unless the first lands on a tie of the second, or
    // is subnormal.
    float quick = std::fma(bf16_to_float(a), bf16_to_float(b), bf16_to_float(c));
    u32 bits = as_bits(quick);
    if ((bits & 0xffff) != 0x8000 && (bits & 0x7f800000) != 0) [[likely]]
      return float_to_bf16(quick);
    double product = static_cast<double>(bf16_to_float(a)) * bf16_to_float(b);
    return float_to_bf16(narrow_to_odd(add_round_to_odd(product, static_cast<double>(bf16_to_float(c)))));
  }
  static constexpr u32 kInfinity = 0x7f80, kSmallestNormal = 0x0080, kOne = 0x3f80;
};

template <class N>
bool is_nan(u32 bits) {
  return (bits & 0x7fff) > N::kInfinity;
}
template <class N>
u32 flush(u32 bits) {
  return (bits & 0x7fff) < N::kSmallestNormal ? bits & 0x8000 : bits;
}
template <class N>
u32 finish(u32 bits, u32 flags) {
  if (flags & kFtz) bits = flush<N>(bits);
  if ((flags & kSat) && is_nan<N>(bits)) return 0;
  if ((flags & (kRelu | kSat)) && (bits & 0x8000) && !is_nan<N>(bits)) bits = 0;
  if ((flags & kSat) && bits > N::kOne) bits = N::kOne;
  return bits;
}

template <class N, bool Max>
u32 min_max(u32 a, u32 b, u32 flags) {
  if (is_nan<N>(a) || is_nan<N>(b)) {
    if ((flags & kNan) || (is_nan<N>(a) && is_nan<N>(b))) return kCanonicalHalfNan;
    return is_nan<N>(a) ? b : a;
  }
  float x = N::to_float(a), y = N::to_float(b);
  if (x == y) return Max ? (a & b) : (a | b);
  return (Max ? x > y : x < y) ? a : b;
}

enum class Operation { add, sub, mul, fma, min, max, abs, neg, ex2, tanh, copysign };

template <class N, Operation What>
u32 compute(u32 a, u32 b, u32 c, u32 flags) {
  if (flags & kFtz) a = flush<N>(a), b = flush<N>(b), c = flush<N>(c);
  u32 r = 0;
  if constexpr (What == Operation::add) r = N::add(a, b);
  if constexpr (What == Operation::sub) r = N::sub(a, b);
  if constexpr (What == Operation::mul) r = N::mul(a, b);
  if constexpr (What == Operation::fma) r = N::fma(a, b, c);
  if constexpr (What == Operation::min) r = min_max<N, false>(a, b, flags);
  if constexpr (What == Operation::max) r = min_max<N, true>(a, b, flags);
  if constexpr (What == Operation::abs) r = is_nan<N>(a) ? kCanonicalHalfNan : a & 0x7fff;
  if constexpr (What == Operation::neg) r = is_nan<N>(a) ? kCanonicalHalfNan : a ^ 0x8000;
  if constexpr (What == Operation::ex2)
    r = N::from_float(narrow_to_odd(std::exp2(static_cast<double>(N::to_float(a)))));
  if constexpr (What == Operation::tanh)
    r = N::from_float(narrow_to_odd(std::tanh(static_cast<double>(N::to_float(a)))));
  return finish<N>(r, flags);
}

template <class N, Operation What, bool Packed, bool Plain>
void run(Warp& w, const Op& op) {
  const u32* a = w.reg<u32>(op.a);
  const u32* b = op.b == kNone ? a : w.reg<u32>(op.b);
  const u32* c = op.c == kNone ? a : w.reg<u32>(op.c);
  u32 flags = Plain ? 0 : op.mods;
  for_lanes(w, w.reg<u32>(op.d), [=](int l) {
    u32 low = compute<N, What>(a[l] & 0xffff, b[l] & 0xffff, c[l] & 0xffff, flags);
    if (!Packed) return low;
    return low | compute<N, What>(a[l] >> 16, b[l] >> 16, c[l] >> 16, flags) << 16;
  });
}

template <Operation What>
Handler pick(Type type, u32 flags) {
  switch (type.kind) {
    case Kind::half:
      return flags ? run<Half, What, false, false> : run<Half, What, false, true>;
    case Kind::half2:
      return flags ? run<Half, What, true, false> : run<Half, What, true, true>;
    case Kind::bfloat:
      return flags ? run<Bfloat, What, false, false> : run<Bfloat, What, false, true>;
    case Kind::bfloat2:
      return flags ? run<Bfloat, What, true, false> : run<Bfloat, What, true, true>;
    default:
      return nullptr;
  }
}

}  // namespace

void decode_half_arithmetic(Decoder& d) {
  std::string_view root = d.in().parts[0];
  u32 flags = 0;
  while (true) {
    if (d.take("rn") || d.take("approx")) continue;
    if (d.take("ftz"))
      flags |= kFtz;
    else if (d.take("sat"))
      flags |= kSat;
    else if (d.take("relu"))
      flags |= kRelu;
    else if (d.take("NaN"))
      flags |= kNan;
    else
      break;
  }
  Type type = d.take_type();
  if (d.has_modifier("f16") || d.has_modifier("bf16"))
    return d.fail("mixed-precision forms are not supported");
  decode_operands(d, type.bits, Type{Kind::bits, type.bits});
  d.op.mods = flags;
  if (root == "add")
    d.op.run = pick<Operation::add>(type, flags);
  else if (root == "sub")
    d.op.run = pick<Operation::sub>(type, flags);
  else if (root == "mul")
    d.op.run = pick<Operation::mul>(type, flags);
  else if (root == "fma")
    d.op.run = pick<Operation::fma>(type, flags);
  else if (root == "min")
    d.op.run = pick<Operation::min>(type, flags);
  else if (root == "max")
    d.op.run = pick<Operation::max>(type, flags);
  else if (root == "abs")
    d.op.run = pick<Operation::abs>(type, flags);
  else if (root == "neg")
    d.op.run = pick<Operation::neg>(type, flags);
  else if (root == "ex2")
    d.op.run = pick<Operation::ex2>(type, flags);
  else if (root == "tanh")
    d.op.run = pick<Operation::tanh>(type, flags);
  else
    d.fail("this instruction has no half-precision form in the emulator");
  if (d.op.run == nullptr) d.fail("this type is not supported here");
  if (d.operand_count() == 4 && root != "fma") d.fail("three-operand forms are not supported");
}

}  // namespace rtjit::emu
