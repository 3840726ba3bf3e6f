// Integer arithmetic: add sub mul mad div rem min max abs neg sad, carries, bit counting, dot products.
#include <algorithm>
#include <limits>

#include "emulator/lane_ops.h"

namespace rtjit::emu {
namespace {

using Kind = Type::Kind;

u32 low16(u32 x) { return x & 0xffff; }
u32 high16(u32 a, u32 b) { return (a * b) >> 16; }
s32 as_s16(u32 x) { return static_cast<int16_t>(x); }
u32 high16_signed(u32 a, u32 b) { return static_cast<u32>(as_s16(a) * as_s16(b)) >> 16; }

template <class T>
T saturate_s32(s64 x) {
  return static_cast<T>(
      static_cast<u32>(std::clamp<s64>(x, std::numeric_limits<s32>::min(), std::numeric_limits<s32>::max())));
}

// One handler per width for operations whose result does not depend on the sign.
template <auto F16, auto F32, auto F64>
Handler by_width(Decoder& d, int bits) {
  if (bits == 16) return binary<u32, u32, F16>;
  if (bits == 32) return binary<u32, u32, F32>;
  if (bits == 64) return binary<u64, u64, F64>;
  d.fail("this width is not supported");
  return nullptr;
}

// add.cc / addc / sub.cc / subc: the carry flag is one bit per lane of the warp.
template <class T, bool Subtract>
void add_with_carry(Warp& w, const Op& op) {
  const T *a = w.reg<T>(op.a), *b = w.reg<T>(op.b);
  T* d = w.reg<T>(op.d);
  bool use = op.mods & 1, set = op.mods & 2;
  u32 carry_out = w.carry;
  each_lane(w.exec, [&](int l) {
    T in = use ? (w.carry >> l & 1) : 0;
    T result, first;
    bool out;
    if (Subtract) {
      out = __builtin_sub_overflow(a[l], b[l], &first);
      out |= __builtin_sub_overflow(first, in, &result);
    } else {
      out = __builtin_add_overflow(a[l], b[l], &first);
      out |= __builtin_add_overflow(first, in, &result);
    }
    d[l] = result;
    carry_out = (carry_out & ~(1u << l)) | (u32(out) << l);
  });
  if (set) w.carry = carry_out;
}

template <class T, class Wide, bool High>
void multiply_add_carry(Warp& w, const Op& op) {
  const T *a = w.reg<T>(op.a), *b = w.reg<T>(op.b), *c = w.reg<T>(op.c);
  T* d = w.reg<T>(op.d);
  bool use = op.mods & 1, set = op.mods & 2, is_signed = op.mods & 4;
  u32 carry_out = w.carry;
  constexpr int kBits = sizeof(T) * 8;
  each_lane(w.exec, [&](int l) {
    using Signed = std::make_signed_t<T>;
    // Sign extension to twice the width, then a product modulo that width, is the signed product.
    Wide x = is_signed ? static_cast<Wide>(static_cast<Signed>(a[l])) : static_cast<Wide>(a[l]);
    Wide y = is_signed ? static_cast<Wide>(static_cast<Signed>(b[l])) : static_cast<Wide>(b[l]);
    Wide product = x * y;
    T part = static_cast<T>(High ? product >> kBits : product), first, result;
    bool out = __builtin_add_overflow(part, c[l], &first);
    out |= __builtin_add_overflow(first, static_cast<T>(use ? (w.carry >> l & 1) : 0), &result);
    d[l] = result;
    carry_out = (carry_out & ~(1u << l)) | (u32(out) << l);
  });
  if (set) w.carry = carry_out;
}

template <bool Subtract>
void decode_add_sub(Decoder& d) {
  if (d.in().parts.back() == "f32x2") return decode_packed_single(d);
  if (is_float_instruction(d)) return decode_float_arithmetic(d);
  bool root_carry = d.in().parts[0] == "addc" || d.in().parts[0] == "subc";
  bool saturate = d.take("sat");
  bool set = d.take("cc");
  if (!Subtract && (d.in().parts.back() == "s16x2" || d.in().parts.back() == "u16x2")) {
    d.skip_modifiers();
    decode_operands(d, 32, Type{Kind::bits, 32});
    if (saturate || set || root_carry) return d.fail("packed 16-bit integers have neither .sat nor .cc");
    d.op.run = binary<u32, u32, [](u32 a, u32 b) { return low16(a + b) | ((a >> 16) + (b >> 16)) << 16; }>;
    return;
  }
  Type type = d.take_type();
  d.expect_operands(3, 3);
  if (type.bits == 32 && d.in().parts.back().ends_with("16x2")) d.fail("packed 16-bit integers");
  decode_operands(d, type.bits, type);
  if (root_carry || set) {
    d.op.mods = (root_carry ? 1 : 0) | (set ? 2 : 0);
    d.op.run = type.bits == 64 ? add_with_carry<u64, Subtract> : add_with_carry<u32, Subtract>;
    if (type.bits == 16) d.fail("carry needs 32 or 64 bits");
    return;
  }
  if (saturate) {
    if (type.kind != Kind::s || type.bits != 32) d.fail(".sat needs .s32");
    if (Subtract)
      d.op.run = binary<u32, s32, [](s32 a, s32 b) { return saturate_s32<u32>(s64(a) - b); }>;
    else
      d.op.run = binary<u32, s32, [](s32 a, s32 b) { return saturate_s32<u32>(s64(a) + b); }>;
    return;
  }
  if (Subtract) {
    d.op.run = by_width<[](u32 a, u32 b) { return low16(a - b); }, [](u32 a, u32 b) { return a - b; },
                        [](u64 a, u64 b) { return a - b; }>(d, type.bits);
  } else {
    d.op.run = by_width<[](u32 a, u32 b) { return low16(a + b); }, [](u32 a, u32 b) { return a + b; },
                        [](u64 a, u64 b) { return a + b; }>(d, type.bits);
  }
}

u64 high_unsigned(u64 a, u64 b) { return static_cast<u64>((static_cast<unsigned __int128>(a) * b) >> 64); }
u64 high_signed(u64 a, u64 b) {
  return static_cast<u64>((static_cast<__int128>(static_cast<s64>(a)) * static_cast<s64>(b)) >> 64);
}

void decode_mul(Decoder& d) {
  if (d.in().parts.back() == "f32x2") return decode_packed_single(d);
  if (is_float_instruction(d)) return decode_float_arithmetic(d);
  int part = d.take_one_of({"lo", "hi", "wide"});
  Type type = d.take_type();
  d.expect_operands(3, 3);
  bool is_signed = type.is_signed();
  int result_bits = part == 2 ? type.bits * 2 : type.bits;
  decode_operands(d, result_bits, type);
  if (part < 0) d.fail("mul needs .lo, .hi or .wide for integers");
  if (part == 0) {
    d.op.run = by_width<[](u32 a, u32 b) { return low16(a * b); }, [](u32 a, u32 b) { return a * b; },
                        [](u64 a, u64 b) { return a * b; }>(d, type.bits);
  } else if (part == 1) {
    if (is_signed)
      d.op.run = by_width<[](u32 a, u32 b) { return low16(high16_signed(a, b)); },
                          [](u32 a, u32 b) { return static_cast<u32>((s64(s32(a)) * s32(b)) >> 32); },
                          [](u64 a, u64 b) { return high_signed(a, b); }>(d, type.bits);
    else
      d.op.run = by_width<[](u32 a, u32 b) { return high16(a, b); },
                          [](u32 a, u32 b) { return static_cast<u32>((u64(a) * b) >> 32); },
                          [](u64 a, u64 b) { return high_unsigned(a, b); }>(d, type.bits);
  } else if (type.bits == 16) {
    d.op.run = is_signed
                   ? binary<u32, u32, [](u32 a, u32 b) { return static_cast<u32>(as_s16(a) * as_s16(b)); }>
                   : binary<u32, u32, [](u32 a, u32 b) { return a * b; }>;
  } else if (type.bits == 32) {
    d.op.run = is_signed
                   ? binary<u64, u32, [](u32 a, u32 b) { return static_cast<u64>(s64(s32(a)) * s32(b)); }>
                   : binary<u64, u32, [](u32 a, u32 b) { return u64(a) * b; }>;
  } else {
    d.fail("mul.wide needs 16 or 32 bits");
  }
}

void decode_mad(Decoder& d) {
  if (is_float_instruction(d)) return decode_float_arithmetic(d);
  bool root_carry = d.in().parts[0] == "madc";
  int part = d.take_one_of({"lo", "hi", "wide"});
  bool saturate = d.take("sat"), set = d.take("cc");
  Type type = d.take_type();
  d.expect_operands(4, 4);
  bool is_signed = type.is_signed();
  int result_bits = part == 2 ? type.bits * 2 : type.bits;
  d.op.d = d.destination(0, result_bits);
  d.op.a = d.source(1, type);
  d.op.b = d.source(2, type);
  d.op.c = d.source(3, result_bits);
  if (root_carry || set) {
    d.op.mods = (root_carry ? 1 : 0) | (set ? 2 : 0) | (is_signed ? 4 : 0);
    bool high = part == 1;
    if (type.bits == 32)
      d.op.run = high ? multiply_add_carry<u32, u64, true> : multiply_add_carry<u32, u64, false>;
    else if (type.bits == 64)
      d.op.run = high ? multiply_add_carry<u64, unsigned __int128, true>
                      : multiply_add_carry<u64, unsigned __int128, false>;
    else
      d.fail("carry needs 32 or 64 bits");
    return;
  }
  if (saturate) {
    if (part != 1 || type.kind != Kind::s || type.bits != 32) d.fail(".sat needs mad.hi.s32");
    d.op.run = ternary<u32, s32, s32,
                       [](s32 a, s32 b, s32 c) { return saturate_s32<u32>(((s64(a) * b) >> 32) + c); }>;
    return;
  }
  if (part == 0) {
    if (type.bits == 16)
      d.op.run = ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) { return low16(a * b + c); }>;
    else if (type.bits == 32)
      d.op.run = ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) { return a * b + c; }>;
    else
      d.op.run = ternary<u64, u64, u64, [](u64 a, u64 b, u64 c) { return a * b + c; }>;
  } else if (part == 1) {
    if (type.bits == 32)
      d.op.run = is_signed ? ternary<u32, u32, u32,
                                     [](u32 a, u32 b, u32 c) {
                                       return static_cast<u32>((s64(s32(a)) * s32(b)) >> 32) + c;
                                     }>
                           : ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) {
                               return static_cast<u32>((u64(a) * b) >> 32) + c;
                             }>;
    else if (type.bits == 64)
      d.op.run = is_signed
                     ? ternary<u64, u64, u64, [](u64 a, u64 b, u64 c) { return high_signed(a, b) + c; }>
                     : ternary<u64, u64, u64, [](u64 a, u64 b, u64 c) { return high_unsigned(a, b) + c; }>;
    else
      d.op.run =
          is_signed
              ? ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) { return low16(high16_signed(a, b) + c); }>
              : ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) { return low16(high16(a, b) + c); }>;
  } else if (part == 2 && type.bits == 32) {
    d.op.run = is_signed
                   ? ternary<u64, u32, u64,
                             [](u32 a, u32 b, u64 c) { return static_cast<u64>(s64(s32(a)) * s32(b)) + c; }>
                   : ternary<u64, u32, u64, [](u32 a, u32 b, u64 c) { return u64(a) * b + c; }>;
  } else if (part == 2 && type.bits == 16) {
    d.op.run = is_signed
                   ? ternary<u32, u32, u32,
                             [](u32 a, u32 b, u32 c) { return static_cast<u32>(as_s16(a) * as_s16(b)) + c; }>
                   : ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) { return a * b + c; }>;
  } else {
    d.fail("mad needs .lo, .hi or .wide");
  }
}

// Division by zero gives an unspecified value in PTX; hardware gives all ones, and the dividend as remainder.
void decode_div_rem(Decoder& d) {
  if (is_float_instruction(d)) return decode_float_arithmetic(d);
  bool remainder = d.in().parts[0] == "rem";
  Type type = d.take_type();
  d.expect_operands(3, 3);
  decode_operands(d, type.bits, type);
  bool is_signed = type.is_signed();
  if (type.bits == 64) {
    if (remainder)
      d.op.run = is_signed
                     ? binary<u64, s64,
                              [](s64 a, s64 b) { return static_cast<u64>(b == 0    ? a
                                                                         : b == -1 ? 0
                                                                                   : a % b); }>
                     : binary<u64, u64, [](u64 a, u64 b) { return b == 0 ? a : a % b; }>;
    else
      d.op.run = is_signed ? binary<u64, s64,
                                    [](s64 a, s64 b) {
                                      return b == 0    ? ~u64(0)
                                             : b == -1 ? u64(0) - static_cast<u64>(a)
                                                       : static_cast<u64>(a / b);
                                    }>
                           : binary<u64, u64, [](u64 a, u64 b) { return b == 0 ? ~u64(0) : a / b; }>;
  } else if (type.bits == 32) {
    if (remainder)
      d.op.run = is_signed
                     ? binary<u32, s32,
                              [](s32 a, s32 b) { return static_cast<u32>(b == 0    ? a
                                                                         : b == -1 ? 0
                                                                                   : a % b); }>
                     : binary<u32, u32, [](u32 a, u32 b) { return b == 0 ? a : a % b; }>;
    else
      d.op.run =
          is_signed
              ? binary<u32, s32,
                       [](s32 a, s32 b) {
                         return b == 0 ? ~0u : b == -1 ? 0u - static_cast<u32>(a) : static_cast<u32>(a / b);
                       }>
              : binary<u32, u32, [](u32 a, u32 b) { return b == 0 ? ~0u : a / b; }>;
  } else if (type.bits == 16) {
    if (remainder)
      d.op.run = is_signed ? binary<u32, u32,
                                    [](u32 a, u32 b) {
                                      return b == 0 ? a : low16(static_cast<u32>(as_s16(a) % as_s16(b)));
                                    }>
                           : binary<u32, u32, [](u32 a, u32 b) { return b == 0 ? a : a % b; }>;
    else
      d.op.run = is_signed
                     ? binary<u32, u32,
                              [](u32 a, u32 b) {
                                return b == 0 ? 0xffffu : low16(static_cast<u32>(as_s16(a) / as_s16(b)));
                              }>
                     : binary<u32, u32, [](u32 a, u32 b) { return b == 0 ? 0xffffu : a / b; }>;
  } else {
    d.fail("this width is not supported");
  }
}

template <bool Max>
void decode_min_max(Decoder& d) {
  if (is_float_instruction(d)) return decode_float_arithmetic(d);
  bool relu = d.take("relu");
  std::string_view last = d.in().parts.back();
  if (last == "s16x2" || last == "u16x2") {
    d.skip_modifiers();
    decode_operands(d, 32, Type{Kind::bits, 32});
    d.op.mods = relu;
    d.op.run = last == "u16x2"
                   ? binary<u32, u32,
                            [](u32 a, u32 b) {
                              u32 low =
                                  Max ? std::max(a & 0xffff, b & 0xffff) : std::min(a & 0xffff, b & 0xffff);
                              u32 high = Max ? std::max(a >> 16, b >> 16) : std::min(a >> 16, b >> 16);
                              return low | high << 16;
                            }>
                   : binary<u32, u32, [](u32 a, u32 b) {
                       s32 low = Max ? std::max(as_s16(a), as_s16(b)) : std::min(as_s16(a), as_s16(b));
                       s32 high = Max ? std::max(as_s16(a >> 16), as_s16(b >> 16))
                                      : std::min(as_s16(a >> 16), as_s16(b >> 16));
                       return low16(static_cast<u32>(low)) | static_cast<u32>(high) << 16;
                     }>;
    if (relu && last == "u16x2") return d.fail(".relu needs s16x2");
    if (relu)
      d.op.run = binary<u32, u32, [](u32 a, u32 b) {
        auto one = [](u32 x, u32 y) {
          s32 r = Max ? std::max(as_s16(x), as_s16(y)) : std::min(as_s16(x), as_s16(y));
          return static_cast<u32>(std::max(r, 0));
        };
        return one(a, b) | one(a >> 16, b >> 16) << 16;
      }>;
    return;
  }
  Type type = d.take_type();
  decode_operands(d, type.bits, type);
  bool is_signed = type.is_signed();
  if (relu) {
    if (type.bits != 32 || !is_signed) return d.fail(".relu needs .s32 here");
    d.op.run = binary<u32, s32, [](s32 a, s32 b) {
      return static_cast<u32>(std::max(0, Max ? std::max(a, b) : std::min(a, b)));
    }>;
  } else if (type.bits == 64) {
    d.op.run =
        is_signed
            ? binary<u64, s64,
                     [](s64 a, s64 b) { return static_cast<u64>(Max ? std::max(a, b) : std::min(a, b)); }>
            : binary<u64, u64, [](u64 a, u64 b) { return Max ? std::max(a, b) : std::min(a, b); }>;
  } else if (type.bits == 32) {
    d.op.run =
        is_signed
            ? binary<u32, s32,
                     [](s32 a, s32 b) { return static_cast<u32>(Max ? std::max(a, b) : std::min(a, b)); }>
            : binary<u32, u32, [](u32 a, u32 b) { return Max ? std::max(a, b) : std::min(a, b); }>;
  } else {
    d.op.run = is_signed
                   ? binary<u32, u32,
                            [](u32 a, u32 b) {
                              return low16(static_cast<u32>(Max ? std::max(as_s16(a), as_s16(b))
                                                                : std::min(as_s16(a), as_s16(b))));
                            }>
                   : binary<u32, u32, [](u32 a, u32 b) { return Max ? std::max(a, b) : std::min(a, b); }>;
  }
}

template <bool Absolute>
void decode_abs_neg(Decoder& d) {
  if (is_float_instruction(d)) return decode_float_arithmetic(d);
  Type type = d.take_type();
  decode_operands(d, type.bits, type);
  constexpr auto f16 = [](u32 a) { return Absolute && as_s16(a) >= 0 ? a : low16(0u - a); };
  constexpr auto f32 = [](u32 a) { return Absolute && s32(a) >= 0 ? a : 0u - a; };
  constexpr auto f64 = [](u64 a) { return Absolute && s64(a) >= 0 ? a : u64(0) - a; };
  d.op.run = type.bits == 64   ? unary<u64, u64, f64>
             : type.bits == 32 ? unary<u32, u32, f32>
                               : unary<u32, u32, f16>;
}

void decode_sad(Decoder& d) {
  Type type = d.take_type();
  decode_operands(d, type.bits, type);
  if (type.bits == 32)
    d.op.run = type.is_signed()
                   ? ternary<u32, u32, u32,
                             [](u32 a, u32 b, u32 c) { return c + (s32(a) < s32(b) ? b - a : a - b); }>
                   : ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) { return c + (a < b ? b - a : a - b); }>;
  else if (type.bits == 64)
    d.op.run = type.is_signed()
                   ? ternary<u64, u64, u64,
                             [](u64 a, u64 b, u64 c) { return c + (s64(a) < s64(b) ? b - a : a - b); }>
                   : ternary<u64, u64, u64, [](u64 a, u64 b, u64 c) { return c + (a < b ? b - a : a - b); }>;
  else
    d.op.run =
        type.is_signed()
            ? ternary<u32, u32, u32,
                      [](u32 a, u32 b, u32 c) { return low16(c + (as_s16(a) < as_s16(b) ? b - a : a - b)); }>
            : ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) { return low16(c + (a < b ? b - a : a - b)); }>;
}

s64 product_s(u32 a, u32 b) { return s64(s32(a << 8) >> 8) * (s32(b << 8) >> 8); }
u64 product_u(u32 a, u32 b) { return u64(a & 0xffffff) * (b & 0xffffff); }

void decode_mul24(Decoder& d) {
  bool mad = d.in().parts[0] == "mad24";
  bool high = d.take("hi");
  if (!high) d.take("lo");
  bool saturate = d.take("sat");
  Type type = d.take_type();
  decode_operands(d, 32, type);
  if (type.bits != 32) return d.fail("24-bit products need 32-bit registers");
  if (!mad) d.op.c = d.constant(0, 32);
  if (saturate) {
    if (!mad || !high || !type.is_signed()) return d.fail(".sat needs mad24.hi.s32");
    d.op.run = ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) {
      return saturate_s32<u32>((product_s(a, b) >> 16) + s64(s32(c)));
    }>;
    return;
  }
  if (type.is_signed())
    d.op.run = high ? ternary<u32, u32, u32,
                              [](u32 a, u32 b, u32 c) { return static_cast<u32>(product_s(a, b) >> 16) + c; }>
                    : ternary<u32, u32, u32,
                              [](u32 a, u32 b, u32 c) { return static_cast<u32>(product_s(a, b)) + c; }>;
  else
    d.op.run = high ? ternary<u32, u32, u32,
                              [](u32 a, u32 b, u32 c) { return static_cast<u32>(product_u(a, b) >> 16) + c; }>
                    : ternary<u32, u32, u32,
                              [](u32 a, u32 b, u32 c) { return static_cast<u32>(product_u(a, b)) + c; }>;
}

template <bool ASigned, bool BSigned>
u32 dot4(u32 a, u32 b, u32 c) {
  u32 sum = c;
  for (int i = 0; i < 4; ++i) {
    s32 x = ASigned ? static_cast<int8_t>(a >> (8 * i)) : static_cast<uint8_t>(a >> (8 * i));
    s32 y = BSigned ? static_cast<int8_t>(b >> (8 * i)) : static_cast<uint8_t>(b >> (8 * i));
    sum += static_cast<u32>(x * y);
  }
  return sum;
}
template <bool ASigned, bool BSigned, int First>
u32 dot2(u32 a, u32 b, u32 c) {
  u32 sum = c;
  for (int i = 0; i < 2; ++i) {
    s32 x = ASigned ? static_cast<int16_t>(a >> (16 * i)) : static_cast<uint16_t>(a >> (16 * i));
    s32 y =
        BSigned ? static_cast<int8_t>(b >> (8 * (i + First))) : static_cast<uint8_t>(b >> (8 * (i + First)));
    sum += static_cast<u32>(x * y);
  }
  return sum;
}

void decode_dot(Decoder& d) {
  bool four = d.in().parts[0] == "dp4a";
  bool high = d.take("hi");
  if (!high) d.take("lo");
  bool a = d.take_type().is_signed(), b = d.take_type().is_signed();
  decode_operands(d, 32, Type{Kind::bits, 32});
  if (four)
    d.op.run =
        a ? (b ? ternary<u32, u32, u32, dot4<true, true>> : ternary<u32, u32, u32, dot4<true, false>>)
          : (b ? ternary<u32, u32, u32, dot4<false, true>> : ternary<u32, u32, u32, dot4<false, false>>);
  else if (high)
    d.op.run =
        a ? (b ? ternary<u32, u32, u32, dot2<true, true, 2>> : ternary<u32, u32, u32, dot2<true, false, 2>>)
          : (b ? ternary<u32, u32, u32, dot2<false, true, 2>>
               : ternary<u32, u32, u32, dot2<false, false, 2>>);
  else
    d.op.run =
        a ? (b ? ternary<u32, u32, u32, dot2<true, true, 0>> : ternary<u32, u32, u32, dot2<true, false, 0>>)
          : (b ? ternary<u32, u32, u32, dot2<false, true, 0>>
               : ternary<u32, u32, u32, dot2<false, false, 0>>);
}

}  // namespace

void add_integer_instructions(InstructionTable& table) {
  table["add"] = table["addc"] = decode_add_sub<false>;
  table["sub"] = table["subc"] = decode_add_sub<true>;
  table["mul"] = decode_mul;
  table["mad"] = table["madc"] = decode_mad;
  table["div"] = table["rem"] = decode_div_rem;
  table["min"] = decode_min_max<false>;
  table["max"] = decode_min_max<true>;
  table["abs"] = decode_abs_neg<true>;
  table["neg"] = decode_abs_neg<false>;
  table["sad"] = decode_sad;
  table["mul24"] = table["mad24"] = decode_mul24;
  table["dp4a"] = table["dp2a"] = decode_dot;
}

}  // namespace rtjit::emu
