// Bits: and or xor not cnot lop3 shl shr shf prmt bfe bfi brev popc clz bfind fns bmsk szext.
#include <algorithm>
#include <bit>

#include "emulator/lane_ops.h"

namespace rtjit::emu {
namespace {

using Kind = Type::Kind;

template <auto F32, auto F64, auto Bits>
void decode_bitwise(Decoder& d) {
  Type type = d.take_type();
  d.expect_operands(3, 3);
  if (type.kind == Kind::pred) {
    bool na = false, nb = false;
    d.op.a = d.predicate_source(d.operand(1), &na);
    d.op.b = d.predicate_source(d.operand(2), &nb);
    d.op.d = d.predicate_destination(d.operand(0));
    d.op.mods = na | nb << 1;
    d.op.run = [](Warp& w, const Op& op) {
      uint32_t a = w.pred(op.a), b = w.pred(op.b);
      w.write_pred(op.d, Bits(op.mods & 1 ? ~a : a, op.mods & 2 ? ~b : b));
    };
    return;
  }
  decode_operands(d, type.bits, type);
  d.op.run = type.bits == 64 ? binary<u64, u64, F64> : binary<u32, u32, F32>;
}

constexpr auto and32 = [](u32 a, u32 b) { return a & b; };
constexpr auto or32 = [](u32 a, u32 b) { return a | b; };
constexpr auto xor32 = [](u32 a, u32 b) { return a ^ b; };
constexpr auto and64 = [](u64 a, u64 b) { return a & b; };
constexpr auto or64 = [](u64 a, u64 b) { return a | b; };
constexpr auto xor64 = [](u64 a, u64 b) { return a ^ b; };

void decode_not(Decoder& d) {
  bool logical = d.in().parts[0] == "cnot";
  Type type = d.take_type();
  d.expect_operands(2, 2);
  if (type.kind == Kind::pred) {
    bool negated = false;
    d.op.a = d.predicate_source(d.operand(1), &negated);
    d.op.d = d.predicate_destination(d.operand(0));
    d.op.mods = negated;
    d.op.run = [](Warp& w, const Op& op) { w.write_pred(op.d, op.mods ? w.pred(op.a) : ~w.pred(op.a)); };
    return;
  }
  decode_operands(d, type.bits, type);
  if (logical)
    d.op.run = type.bits == 64 ? unary<u64, u64, [](u64 a) { return u64(a == 0); }>
                               : unary<u32, u32, [](u32 a) { return u32(a == 0); }>;
  else if (type.bits == 16)
    d.op.run = unary<u32, u32, [](u32 a) { return ~a & 0xffff; }>;
  else
    d.op.run = type.bits == 64 ? unary<u64, u64, [](u64 a) { return ~a; }>
                               : unary<u32, u32, [](u32 a) { return ~a; }>;
}

// lop3.or, lop3.and: also whether the result, combined with a predicate, holds anything. The list: the
// predicate written, the one read. mods: 0 and instead of or, 1 the one read is negated.
void run_lop3_predicate(Warp& w, const Op& op) {
  const u32 *a = w.reg<u32>(op.a), *b = w.reg<u32>(op.b), *c = w.reg<u32>(op.c);
  const u32* list = w.program().lists.data() + op.list;
  u32 other = w.pred(list[1]), set = 0, results[32];
  if (op.mods & 2) other = ~other;
  for (u32 l = 0; l < 32; ++l) {
    u32 result = 0;
    for (u32 i = 0; i < 8; ++i) {
      if (op.imm >> i & 1) result |= (i & 4 ? a[l] : ~a[l]) & (i & 2 ? b[l] : ~b[l]) & (i & 1 ? c[l] : ~c[l]);
    }
    results[l] = result;
    set |= u32(result != 0) << l;
  }
  if (op.d != kNone) for_lanes(w, w.reg<u32>(op.d), [&](int l) { return results[l]; });
  w.write_pred(list[0], op.mods & 1 ? set & other : set | other);
}
void run_lop3(Warp& w, const Op& op) {
  const u32 *a = w.reg<u32>(op.a), *b = w.reg<u32>(op.b), *c = w.reg<u32>(op.c);
  u32* d = w.reg<u32>(op.d);
  u32 m[8];
  for (int i = 0; i < 8; ++i) m[i] = (op.imm >> i & 1) ? ~0u : 0u;
  for_lanes(w, d, [=](int l) {
    u32 x = a[l], y = b[l], z = c[l];
    return (~x & ~y & ~z & m[0]) | (~x & ~y & z & m[1]) | (~x & y & ~z & m[2]) | (~x & y & z & m[3]) |
           (x & ~y & ~z & m[4]) | (x & ~y & z & m[5]) | (x & y & ~z & m[6]) | (x & y & z & m[7]);
  });
}

void decode_lop3(Decoder& d) {
  int combine = d.take_one_of({"or", "and"});
  const size_t operands = combine < 0 ? 5 : 6;
  d.take_type();
  d.expect_operands(operands, operands);
  const ptx::Operand& to = d.operand(0);
  if (combine < 0 || to.kind != ptx::Operand::Kind::sink) d.op.d = d.destination(0, 32);
  d.op.a = d.source(1, 32);
  d.op.b = d.source(2, 32);
  d.op.c = d.source(3, 32);
  auto table = d.immediate(4);
  if (!table) return d.fail("lop3 needs a constant table");
  d.op.imm = static_cast<uint64_t>(*table);
  if (combine >= 0) {
    if (to.elements.size() != 1) return d.fail("lop3 with .or or .and writes d|p");
    bool negated = false;
    d.add_list(d.predicate_destination(to.elements[0]));
    d.add_list(d.predicate_source(d.operand(5), &negated));
    d.op.mods = static_cast<u32>(combine) | u32(negated) << 1;
    d.op.run = run_lop3_predicate;
    return;
  }
  switch (d.op.imm & 0xff) {  // the forms compilers use most
    case 0xc0:
      d.op.run = binary<u32, u32, and32>;
      return;
    case 0xfc:
      d.op.run = binary<u32, u32, or32>;
      return;
    case 0x3c:
      d.op.run = binary<u32, u32, xor32>;
      return;
    case 0xea:
      d.op.run = ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) { return (a & b) | c; }>;
      return;
    case 0xf8:
      d.op.run = ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) { return a | (b & c); }>;
      return;
    case 0x96:
      d.op.run = ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) { return a ^ b ^ c; }>;
      return;
    case 0x6a:
      d.op.run = ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) { return (a & b) ^ c; }>;
      return;
    case 0xfe:
      d.op.run = ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) { return a | b | c; }>;
      return;
    case 0x80:
      d.op.run = ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) { return a & b & c; }>;
      return;
    default:
      d.op.run = run_lop3;
  }
}

void decode_shl(Decoder& d) {
  Type type = d.take_type();
  d.expect_operands(3, 3);
  d.op.d = d.destination(0, type.bits);
  d.op.a = d.source(1, type);
  d.op.b = d.source(2, 32);
  if (type.bits == 64)
    d.op.run = binary_mixed<u64, u64, u32, [](u64 a, u32 b) { return (b > 63) ? u64(0) : a << (b & 63); }>;
  else if (type.bits == 32)
    d.op.run = binary_mixed<u32, u32, u32, [](u32 a, u32 b) { return (b > 31) ? 0u : a << (b & 31); }>;
  else
    d.op.run =
        binary_mixed<u32, u32, u32, [](u32 a, u32 b) { return (b > 15) ? 0u : (a << (b & 15)) & 0xffff; }>;
}

void decode_shr(Decoder& d) {
  Type type = d.take_type();
  d.expect_operands(3, 3);
  d.op.d = d.destination(0, type.bits);
  d.op.a = d.source(1, type);
  d.op.b = d.source(2, 32);
  if (type.is_signed()) {
    if (type.bits == 64)
      d.op.run = binary_mixed<u64, s64, u32,
                              [](s64 a, u32 b) { return static_cast<u64>((a >> ((b > 63) ? 63 : b))); }>;
    else if (type.bits == 32)
      d.op.run = binary_mixed<u32, s32, u32,
                              [](s32 a, u32 b) { return static_cast<u32>((a >> ((b > 31) ? 31 : b))); }>;
    else
      d.op.run = binary_mixed<u32, u32, u32, [](u32 a, u32 b) {
        return static_cast<u32>((static_cast<int16_t>(a) >> ((b > 15) ? 15 : b))) & 0xffff;
      }>;
  } else if (type.bits == 64) {
    d.op.run = binary_mixed<u64, u64, u32, [](u64 a, u32 b) { return (b > 63) ? u64(0) : (a >> (b & 63)); }>;
  } else {
    d.op.run = binary_mixed<u32, u32, u32, [](u32 a, u32 b) { return (b > 31) ? 0u : (a >> (b & 31)); }>;
  }
}

void decode_shf(Decoder& d) {
  bool left = d.take("l");
  if (!left && !d.take("r")) return d.fail("shf needs .l or .r");
  bool clamp = d.take("clamp");
  if (!clamp && !d.take("wrap")) return d.fail("shf needs .clamp or .wrap");
  d.take_type();
  d.expect_operands(4, 4);
  decode_operands(d, 32, Type{Kind::bits, 32});
  if (left)
    d.op.run = clamp ? ternary<u32, u32, u32,
                               [](u32 a, u32 b, u32 c) {
                                 u32 n = std::min(c, 32u);
                                 return static_cast<u32>((((u64(b) << 32 | a) << n) >> 32));
                               }>
                     : ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) {
                         return static_cast<u32>((((u64(b) << 32 | a) << (c & 31)) >> 32));
                       }>;
  else
    d.op.run = clamp ? ternary<u32, u32, u32,
                               [](u32 a, u32 b, u32 c) {
                                 u32 n = std::min(c, 32u);
                                 return static_cast<u32>(((u64(b) << 32 | a) >> n));
                               }>
                     : ternary<u32, u32, u32, [](u32 a, u32 b, u32 c) {
                         return static_cast<u32>(((u64(b) << 32 | a) >> (c & 31)));
                       }>;
}

u32 permute(u32 a, u32 b, u32 selector) {
  u64 bytes = u64(b) << 32 | a;
  u32 result = 0;
  for (int i = 0; i < 4; ++i) {
    u32 s = selector >> (4 * i) & 0xf;
    u32 byte = static_cast<u32>(bytes >> ((s & 7) * 8)) & 0xff;
    if (s & 8) byte = (byte & 0x80) ? 0xff : 0;
    result |= byte << (8 * i);
  }
  return result;
}
// The named modes: the selector of each result for the two low bits of c.
u32 permute_mode(int mode, u32 c) {
  static constexpr u32 kTable[6][4] = {
      {0x3210, 0x4321, 0x5432, 0x6543},  // f4e
      {0x5670, 0x6701, 0x7012, 0x0123},  // b4e
      {0x0000, 0x1111, 0x2222, 0x3333},  // rc8
      {0x3210, 0x3211, 0x3222, 0x3333},  // ecl
      {0x0000, 0x1110, 0x2210, 0x3210},  // ecr
      {0x1010, 0x3232, 0x1010, 0x3232},  // rc16
  };
  return kTable[mode][c & 3];
}

void decode_prmt(Decoder& d) {
  d.take_type();
  int mode = d.take_one_of({"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"});
  d.expect_operands(4, 4);
  decode_operands(d, 32, Type{Kind::bits, 32});
  d.op.mods = static_cast<u32>(mode);
  if (mode < 0)
    d.op.run = ternary<u32, u32, u32, permute>;
  else
    d.op.run = [](Warp& w, const Op& op) {
      const u32 *a = w.reg<u32>(op.a), *b = w.reg<u32>(op.b), *c = w.reg<u32>(op.c);
      for_lanes(w, w.reg<u32>(op.d),
                [&](int l) { return permute(a[l], b[l], permute_mode(static_cast<int>(op.mods), c[l])); });
    };
}

template <class T, bool Signed>
T extract_bits(T a, u32 b, u32 c) {
  constexpr u32 kBits = sizeof(T) * 8;
  u32 position = b & 0xff, length = c & 0xff;
  if (length == 0) return 0;
  u32 top = position + length - 1 < kBits - 1 ? position + length - 1 : kBits - 1;
  T sign = Signed ? (a >> top & 1) : 0;
  if (position >= kBits) return sign ? ~T(0) : 0;
  T field = a >> position;
  u32 kept = top - position + 1;
  T mask = kept >= kBits ? ~T(0) : (T(1) << kept) - 1;
  return (field & mask) | (sign ? ~mask : 0);
}

void decode_bfe(Decoder& d) {
  Type type = d.take_type();
  d.expect_operands(4, 4);
  d.op.d = d.destination(0, type.bits);
  d.op.a = d.source(1, type);
  d.op.b = d.source(2, 32);
  d.op.c = d.source(3, 32);
  auto set = [&](auto handler) { d.op.run = handler; };
  if (type.bits == 64)
    set([](Warp& w, const Op& op) {
      const u64* a = w.reg<u64>(op.a);
      const u32 *b = w.reg<u32>(op.b), *c = w.reg<u32>(op.c);
      for_lanes(w, w.reg<u64>(op.d), [&](int l) {
        return op.mods ? extract_bits<u64, true>(a[l], b[l], c[l])
                       : extract_bits<u64, false>(a[l], b[l], c[l]);
      });
    });
  else if (type.is_signed())
    d.op.run = ternary<u32, u32, u32, extract_bits<u32, true>>;
  else
    d.op.run = ternary<u32, u32, u32, extract_bits<u32, false>>;
  d.op.mods = type.is_signed();
}

template <class T>
void insert_bits(Warp& w, const Op& op) {
  const T *a = w.reg<T>(op.a), *b = w.reg<T>(op.b);
  const u32 *c = w.reg<u32>(op.c), *e = w.reg<u32>(w.program().lists[op.list]);
  for_lanes(w, w.reg<T>(op.d), [&](int l) -> T {
    constexpr u32 kBits = sizeof(T) * 8;
    u32 position = c[l] & 0xff, length = e[l] & 0xff;
    if (length == 0 || position >= kBits) return b[l];
    T mask = (length >= kBits ? ~T(0) : (T(1) << length) - 1) << position;
    return (b[l] & ~mask) | ((a[l] << position) & mask);
  });
}

void decode_bfi(Decoder& d) {
  Type type = d.take_type();
  d.expect_operands(5, 5);
  d.op.d = d.destination(0, type.bits);
  d.op.a = d.source(1, type);
  d.op.b = d.source(2, type);
  d.op.c = d.source(3, 32);
  d.add_list(d.source(4, 32));
  d.op.run = type.bits == 64 ? insert_bits<u64> : insert_bits<u32>;
}

u32 reverse_bits(u32 x) {
  x = (x >> 1 & 0x55555555) | (x & 0x55555555) << 1;
  x = (x >> 2 & 0x33333333) | (x & 0x33333333) << 2;
  x = (x >> 4 & 0x0f0f0f0f) | (x & 0x0f0f0f0f) << 4;
  return __builtin_bswap32(x);
}

void decode_bit_query(Decoder& d) {
  std::string_view root = d.in().parts[0];
  bool shift_amount = d.take("shiftamt");
  Type type = d.take_type();
  d.expect_operands(2, 2);
  d.op.d = d.destination(0, root == "brev" ? type.bits : 32);
  d.op.a = d.source(1, type);
  bool wide = type.bits == 64;
  if (root == "popc")
    d.op.run = wide ? unary<u32, u64, [](u64 a) { return u32(std::popcount(a)); }>
                    : unary<u32, u32, [](u32 a) { return u32(std::popcount(a)); }>;
  else if (root == "clz")
    d.op.run = wide ? unary<u32, u64, [](u64 a) { return u32(std::countl_zero(a)); }>
                    : unary<u32, u32, [](u32 a) { return u32(std::countl_zero(a)); }>;
  else if (root == "brev")
    d.op.run = wide
                   ? unary<u64, u64,
                           [](u64 a) { return u64(reverse_bits(u32(a))) << 32 | reverse_bits(u32(a >> 32)); }>
                   : unary<u32, u32, reverse_bits>;
  else {  // bfind: the most significant bit that differs from the sign
    d.op.mods = shift_amount | type.is_signed() << 1 | wide << 2;
    d.op.run = [](Warp& w, const Op& op) {
      bool is_wide = op.mods & 4, is_signed = op.mods & 2, shift = op.mods & 1;
      for_lanes(w, w.reg<u32>(op.d), [&](int l) -> u32 {
        u64 value = is_wide ? w.reg<u64>(op.a)[l] : w.reg<u32>(op.a)[l];
        if (is_signed) {
          s64 x = is_wide ? s64(value) : s32(value);
          value = static_cast<u64>(x < 0 ? ~x : x);
        }
        if (!value) return ~0u;
        u32 bit = 63 - static_cast<u32>(std::countl_zero(value));
        return shift ? (is_wide ? 63 : 31) - bit : bit;
      });
    };
  }
}

u32 find_nth_set(u32 mask, u32 base, s32 n) {
  if (n == 0) return mask >> (base & 31) & 1 ? base : ~0u;
  s32 position = s32(base), step = n > 0 ? 1 : -1, left = n > 0 ? n : -n;
  for (; position >= 0 && position < 32; position += step) {
    if ((mask >> position & 1) && --left == 0) return u32(position);
  }
  return ~0u;
}

void decode_fns(Decoder& d) {
  d.take_type();
  d.expect_operands(4, 4);
  decode_operands(d, 32, Type{Kind::bits, 32});
  d.op.run = ternary<u32, u32, u32, [](u32 mask, u32 base, u32 offset) -> u32 {
    return find_nth_set(mask, base, s32(offset));
  }>;
}

void decode_bmsk(Decoder& d) {
  bool clamp = d.take("clamp");
  if (!clamp && !d.take("wrap")) return d.fail("bmsk needs .clamp or .wrap");
  d.take_type();
  decode_operands(d, 32, Type{Kind::bits, 32});
  d.op.run = clamp ? binary<u32, u32,
                            [](u32 a, u32 b) -> u32 {
                              return (a >= 32) ? 0 : (((b >= 32) ? ~0u : (1u << b) - 1) << a);
                            }>
                   : binary<u32, u32, [](u32 a, u32 b) -> u32 { return ((1u << (b & 31)) - 1) << (a & 31); }>;
}

void decode_szext(Decoder& d) {
  bool clamp = d.take("clamp");
  if (!clamp && !d.take("wrap")) return d.fail("szext needs .clamp or .wrap");
  Type type = d.take_type();
  decode_operands(d, 32, Type{Kind::bits, 32});
  d.op.mods = clamp | type.is_signed() << 1;
  d.op.run = [](Warp& w, const Op& op) {
    const u32 *a = w.reg<u32>(op.a), *b = w.reg<u32>(op.b);
    bool clamps = op.mods & 1, is_signed = op.mods & 2;
    for_lanes(w, w.reg<u32>(op.d), [&](int l) -> u32 {
      u32 n = clamps ? (b[l] > 32 ? 32 : b[l]) : b[l] & 31;
      if (n == 32) return a[l];
      u32 mask = (1u << n) - 1;
      bool negative = is_signed && n && (a[l] >> (n - 1) & 1);
      return (a[l] & mask) | (negative ? ~mask : 0);
    });
  };
}

}  // namespace

void add_logic_instructions(InstructionTable& table) {
  table["and"] = decode_bitwise<and32, and64, and32>;
  table["or"] = decode_bitwise<or32, or64, or32>;
  table["xor"] = decode_bitwise<xor32, xor64, xor32>;
  table["not"] = table["cnot"] = decode_not;
  table["lop3"] = decode_lop3;
  table["shl"] = decode_shl;
  table["shr"] = decode_shr;
  table["shf"] = decode_shf;
  table["prmt"] = decode_prmt;
  table["bfe"] = decode_bfe;
  table["bfi"] = decode_bfi;
  table["popc"] = table["clz"] = table["brev"] = table["bfind"] = decode_bit_query;
  table["fns"] = decode_fns;
  table["bmsk"] = decode_bmsk;
  table["szext"] = decode_szext;
}

}  // namespace rtjit::emu
