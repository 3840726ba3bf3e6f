// Integer and logic instructions against oracles written from the PTX ISA's words.
#include "tests/emulator/instruction_harness.h"

namespace rtjit {
namespace {

using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using s32 = int32_t;
using s64 = int64_t;

template <class F>
void check32(const std::string& text, F f) {
  check_instruction<u32, u32, u32, u32>(text, f);
}
template <class F>
void check64(const std::string& text, F f) {
  check_instruction<u64, u64, u64, u64>(text, f);
}
template <class F>
void check16(const std::string& text, F f) {
  check_instruction<u16, u16, u16, u16>(text, f);
}

TEST(IntegerInstructions, AddSubtract) {
  check32("add.s32 %d, %a, %b;", [](u32 a, u32 b, u32) { return a + b; });
  check32("sub.u32 %d, %a, %b;", [](u32 a, u32 b, u32) { return a - b; });
  check16("add.s16 %d, %a, %b;", [](u16 a, u16 b, u16) { return a + b; });
  check16("sub.u16 %d, %a, %b;", [](u16 a, u16 b, u16) { return a - b; });
  check64("add.s64 %d, %a, %b;", [](u64 a, u64 b, u64) { return a + b; });
  check64("sub.s64 %d, %a, -7;", [](u64 a, u64, u64) { return a + 7; });
  auto saturate = [](s64 x) {
    return static_cast<u32>(x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : x);
  };
  check32("add.sat.s32 %d, %a, %b;", [&](u32 a, u32 b, u32) { return saturate(s64(s32(a)) + s32(b)); });
  check32("sub.sat.s32 %d, %a, %b;", [&](u32 a, u32 b, u32) { return saturate(s64(s32(a)) - s32(b)); });
  check32("add.cc.u32 %d, %a, %b; addc.u32 %d, %c, 0;",
          [](u32 a, u32 b, u32 c) { return c + u32((u64(a) + b) >> 32); });
  check32("sub.cc.u32 %d, %a, %b; subc.u32 %d, %c, 3;", [](u32 a, u32 b, u32 c) { return c - 3 - (a < b); });
}

TEST(IntegerInstructions, Multiply) {
  check32("mul.lo.s32 %d, %a, %b;", [](u32 a, u32 b, u32) { return a * b; });
  check32("mul.hi.s32 %d, %a, %b;", [](u32 a, u32 b, u32) { return u32(u64(s64(s32(a)) * s32(b)) >> 32); });
  check32("mul.hi.u32 %d, %a, %b;", [](u32 a, u32 b, u32) { return u32((u64(a) * b) >> 32); });
  check64("mul.hi.u64 %d, %a, %b;",
          [](u64 a, u64 b, u64) { return u64((static_cast<unsigned __int128>(a) * b) >> 64); });
  check64("mul.hi.s64 %d, %a, %b;",
          [](u64 a, u64 b, u64) { return u64((static_cast<__int128>(s64(a)) * s64(b)) >> 64); });
  check16("mul.lo.u16 %d, %a, %b;", [](u16 a, u16 b, u16) { return u32(a) * b; });
  check16("mul.hi.s16 %d, %a, %b;", [](u16 a, u16 b, u16) { return u32(int16_t(a) * int16_t(b)) >> 16; });
  check_instruction<u64, u32, u32, u32>("mul.wide.s32 %d, %a, %b;",
                                        [](u32 a, u32 b, u32) { return u64(s64(s32(a)) * s32(b)); });
  check_instruction<u64, u32, u32, u64>("mad.wide.u32 %d, %a, %b, %c;",
                                        [](u32 a, u32 b, u64 c) { return u64(a) * b + c; });
  check_instruction<u32, u16, u16, u32>("mul.wide.s16 %d, %a, %b;",
                                        [](u16 a, u16 b, u32) { return u32(int16_t(a) * int16_t(b)); });
  check32("mad.lo.s32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) { return a * b + c; });
  check32("mad.hi.u32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) { return u32((u64(a) * b) >> 32) + c; });
  check32("mul24.lo.s32 %d, %a, %b;",
          [](u32 a, u32 b, u32) { return u32((s64(s32(a << 8)) >> 8) * (s64(s32(b << 8)) >> 8)); });
  check32("mad.lo.cc.u32 %d, %a, %b, %c; madc.hi.u32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
    return u32((u64(a) * b) >> 32) + c + u32((u64(u32(u64(a) * b)) + c) >> 32);
  });
}

TEST(IntegerInstructions, DivideAndRemainder) {
  check32("div.s32 %d, %a, %b;", [](u32 a, u32 b, u32) { return b ? u32(s64(s32(a)) / s32(b)) : ~0u; });
  check32("rem.s32 %d, %a, %b;", [](u32 a, u32 b, u32) { return b ? u32(s64(s32(a)) % s32(b)) : a; });
  check32("div.u32 %d, %a, %b;", [](u32 a, u32 b, u32) { return b ? a / b : ~0u; });
  check64("rem.u64 %d, %a, %b;", [](u64 a, u64 b, u64) { return b ? a % b : a; });
  check64("div.s64 %d, %a, %b;",
          [](u64 a, u64 b, u64) { return b ? (s64(b) == -1 ? u64(0) - a : u64(s64(a) / s64(b))) : ~u64(0); });
  check16("div.s16 %d, %a, %b;", [](u16 a, u16 b, u16) { return b ? int16_t(a) / int16_t(b) : 0xffff; });
}

TEST(IntegerInstructions, MinMaxAbsNeg) {
  check32("min.s32 %d, %a, %b;", [](u32 a, u32 b, u32) { return s32(a) < s32(b) ? a : b; });
  check32("max.u32 %d, %a, %b;", [](u32 a, u32 b, u32) { return a > b ? a : b; });
  check64("max.s64 %d, %a, %b;", [](u64 a, u64 b, u64) { return s64(a) > s64(b) ? a : b; });
  check16("min.s16 %d, %a, %b;", [](u16 a, u16 b, u16) { return int16_t(a) < int16_t(b) ? a : b; });
  check32("max.relu.s32 %d, %a, %b;",
          [](u32 a, u32 b, u32) { return std::max(0, std::max(s32(a), s32(b))); });
  check32("min.s16x2 %d, %a, %b;", [](u32 a, u32 b, u32) {
    u32 low = std::min(int16_t(a), int16_t(b)), high = std::min(int16_t(a >> 16), int16_t(b >> 16));
    return (low & 0xffff) | high << 16;
  });
  check32("abs.s32 %d, %a;", [](u32 a, u32, u32) { return s32(a) < 0 ? 0u - a : a; });
  check16("neg.s16 %d, %a;", [](u16 a, u16, u16) { return -a; });
  check64("neg.s64 %d, %a;", [](u64 a, u64, u64) { return u64(0) - a; });
  check32("sad.s32 %d, %a, %b, %c;",
          [](u32 a, u32 b, u32 c) { return c + u32(std::llabs(s64(s32(a)) - s32(b))); });
}

TEST(IntegerInstructions, Shifts) {
  check32("shl.b32 %d, %a, %b;", [](u32 a, u32 b, u32) { return b > 31 ? 0 : a << b; });
  check32("shr.u32 %d, %a, %b;", [](u32 a, u32 b, u32) { return b > 31 ? 0 : a >> b; });
  check32("shr.s32 %d, %a, %b;", [](u32 a, u32 b, u32) { return u32(s64(s32(a)) >> std::min(b, 31u)); });
  check_instruction<u64, u64, u32, u32>("shl.b64 %d, %a, %b;",
                                        [](u64 a, u32 b, u32) { return b > 63 ? 0 : a << b; });
  check_instruction<u64, u64, u32, u32>("shr.s64 %d, %a, %b;",
                                        [](u64 a, u32 b, u32) { return u64(s64(a) >> std::min(b, 63u)); });
  check_instruction<u16, u16, u32, u32>("shl.b16 %d, %a, %b;",
                                        [](u16 a, u32 b, u32) { return b > 15 ? 0 : a << b; });
  check_instruction<u16, u16, u32, u32>("shr.s16 %d, %a, %b;",
                                        [](u16 a, u32 b, u32) { return int16_t(a) >> std::min(b, 15u); });
  check32("shf.l.wrap.b32 %d, %a, %b, %c;",
          [](u32 a, u32 b, u32 c) { return c & 31 ? b << (c & 31) | a >> (32 - (c & 31)) : b; });
  check32("shf.r.clamp.b32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
    return c >= 32 ? b : c ? a >> c | b << (32 - c) : a;
  });
  check32("shf.r.wrap.b32 %d, %a, %b, %c;",
          [](u32 a, u32 b, u32 c) { return c & 31 ? a >> (c & 31) | b << (32 - (c & 31)) : a; });
  check32("shf.l.clamp.b32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
    return c >= 32 ? a : c ? b << c | a >> (32 - c) : b;
  });
}

TEST(IntegerInstructions, Logic) {
  check32("and.b32 %d, %a, %b;", [](u32 a, u32 b, u32) { return a & b; });
  check64("xor.b64 %d, %a, %b;", [](u64 a, u64 b, u64) { return a ^ b; });
  check16("not.b16 %d, %a;", [](u16 a, u16, u16) { return ~a; });
  check32("cnot.b32 %d, %a;", [](u32 a, u32, u32) { return a == 0; });
  for (u32 table :
       {0x00u, 0x6au, 0x96u, 0xcau, 0xe8u, 0xeau, 0xf8u, 0x80u, 0xfeu, 0x1bu, 0xffu, 0xc0u, 0x3cu, 0xfcu}) {
    check32("lop3.b32 %d, %a, %b, %c, " + std::to_string(table) + ";", [table](u32 a, u32 b, u32 c) {
      u32 r = 0;
      for (int i = 0; i < 32; ++i)
        r |= (table >> ((a >> i & 1) * 4 + (b >> i & 1) * 2 + (c >> i & 1)) & 1) << i;
      return r;
    });
  }
}

TEST(IntegerInstructions, LogicOfThreeWithPredicate) {
  for (u32 table : {0x00u, 0x80u, 0x96u, 0xeau, 0x01u}) {
    for (int form = 0; form < 4; ++form) {
      const bool conjunction = form & 1, negated = form & 2;
      check32("setp.lt.u32 %q2, %b, %c;\nlop3." + std::string(conjunction ? "and" : "or") +
                  ".b32 %t|%q, %a, %b, %c, " + std::to_string(table) + ", " + (negated ? "!" : "") +
                  "%q2;\nnot.b32 %n, %t;\nselp.b32 %d, %t, %n, %q;",
              [=](u32 a, u32 b, u32 c) {
                u32 r = 0;
                for (int i = 0; i < 32; ++i)
                  r |= (table >> ((a >> i & 1) * 4 + (b >> i & 1) * 2 + (c >> i & 1)) & 1) << i;
                const bool other = (b < c) != negated, any = r != 0;
                return (conjunction ? any && other : any || other) ? r : ~r;
              });
    }
  }
}

TEST(IntegerInstructions, BitFields) {
  check32("popc.b32 %d, %a;", [](u32 a, u32, u32) { return __builtin_popcount(a); });
  check_instruction<u32, u64, u32, u32>("clz.b64 %d, %a;",
                                        [](u64 a, u32, u32) { return a ? __builtin_clzll(a) : 64; });
  check32("bfind.u32 %d, %a;", [](u32 a, u32, u32) { return a ? 31 - __builtin_clz(a) : ~0u; });
  check32("bfind.shiftamt.s32 %d, %a;", [](u32 a, u32, u32) {
    u32 x = s32(a) < 0 ? ~a : a;
    return x ? __builtin_clz(x) : ~0u;
  });
  check32("brev.b32 %d, %a;", [](u32 a, u32, u32) {
    u32 r = 0;
    for (int i = 0; i < 32; ++i) r |= (a >> i & 1) << (31 - i);
    return r;
  });
  auto extract = [](u32 a, u32 b, u32 c, bool is_signed) {
    u32 position = b & 255, length = c & 255;
    u32 sign = !is_signed || length == 0 ? 0 : a >> std::min(position + length - 1, 31u) & 1, r = 0;
    for (u32 i = 0; i < 32; ++i)
      r |= (i < length && position + i <= 31 ? a >> (position + i) & 1 : sign) << i;
    return r;
  };
  check32("bfe.u32 %d, %a, %b, %c;", [&](u32 a, u32 b, u32 c) { return extract(a, b, c, false); });
  check32("bfe.s32 %d, %a, %b, %c;", [&](u32 a, u32 b, u32 c) { return extract(a, b, c, true); });
  check32("bfi.b32 %d, %a, %b, %c, 7;", [](u32 a, u32 b, u32 c) {
    u32 r = b;
    for (u32 i = 0; i < 7 && (c & 255) + i < 32; ++i)
      r = (r & ~(1u << ((c & 255) + i))) | (a >> i & 1) << ((c & 255) + i);
    return r;
  });
  check32("prmt.b32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
    u32 r = 0;
    for (int i = 0; i < 4; ++i) {
      u32 s = c >> (4 * i) & 7, byte = (s < 4 ? a >> (8 * s) : b >> (8 * (s - 4))) & 0xff;
      if (c >> (4 * i + 3) & 1) byte = byte >> 7 ? 0xff : 0;
      r |= byte << (8 * i);
    }
    return r;
  });
  check32("prmt.b32.b4e %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
    u32 r = 0;
    for (u32 i = 0; i < 4; ++i) {
      u32 s = ((c & 3) - i) & 7;
      r |= ((s < 4 ? a >> (8 * s) : b >> (8 * (s - 4))) & 0xff) << (8 * i);
    }
    return r;
  });
  check32("dp4a.s32.u32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
    for (int i = 0; i < 4; ++i) c += u32(int8_t(a >> 8 * i) * s32(uint8_t(b >> 8 * i)));
    return c;
  });
  check32("szext.wrap.s32 %d, %a, %b;", [](u32 a, u32 b, u32) {
    u32 n = b & 31;
    return n == 0 ? 0 : u32(s32(a << (32 - n)) >> (32 - n));
  });
  check32("bmsk.clamp.b32 %d, %a, %b;", [](u32 a, u32 b, u32) {
    u32 r = 0;
    for (u64 i = a; i < 32 && i < u64(a) + b; ++i) r |= 1u << i;
    return r;
  });
}

TEST(IntegerInstructions, CompareAndSelect) {
  check32("setp.lt.s32 %q, %a, %b; selp.b32 %d, %a, %c, %q;",
          [](u32 a, u32 b, u32 c) { return s32(a) < s32(b) ? a : c; });
  check32("setp.ls.u32 %q, %a, %b; selp.b32 %d, %a, %c, !%q;",
          [](u32 a, u32 b, u32 c) { return !(a <= b) ? a : c; });
  check32(
      "setp.eq.u32 %q, %a, %c; setp.ge.xor.s32 %q|%q2, %a, %b, %q; selp.b32 %d, 1, 0, %q; @%q2 add.u32 %d, "
      "%d, 2;",
      [](u32 a, u32 b, u32 c) {
        return u32((s32(a) >= s32(b)) != (a == c)) + 2 * u32(!(s32(a) >= s32(b)) != (a == c));
      });
  check32("set.gt.u32.s32 %d, %a, %b;", [](u32 a, u32 b, u32) { return s32(a) > s32(b) ? ~0u : 0; });
  check32("set.lt.f32.u32 %d, %a, %b;", [](u32 a, u32 b, u32) { return a < b ? 0x3f800000u : 0; });
  check32("slct.b32.s32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) { return s32(c) >= 0 ? a : b; });
  check_instruction<u16, u16, u16, u16>("setp.lt.s16 %q, %a, %b; selp.b16 %d, %a, %b, %q;",
                                        [](u16 a, u16 b, u16) { return int16_t(a) < int16_t(b) ? a : b; });
  check32("setp.lt.u32 %q, %a, %b; setp.lt.u32 %q2, %b, %c; and.pred %q, %q, !%q2; selp.b32 %d, 1, 0, %q;",
          [](u32 a, u32 b, u32 c) { return a < b && !(b < c); });
}

TEST(IntegerInstructions, MovesAndIntegerConversions) {
  check_instruction<u64, u32, u32, u32>("mov.b64 %d, {%a, %b};",
                                        [](u32 a, u32 b, u32) { return u64(b) << 32 | a; });
  check32("{ .reg .b16 lo, hi; mov.b32 {lo, hi}, %a; mov.b32 %d, {hi, lo}; }",
          [](u32 a, u32, u32) { return a << 16 | a >> 16; });
  check_instruction<u32, u64, u32, u32>("{ .reg .b32 lo; mov.b64 {lo, %d}, %a; }",
                                        [](u64 a, u32, u32) { return a >> 32; });
  check_instruction<u64, u32, u32, u32>("cvt.s64.s32 %d, %a;",
                                        [](u32 a, u32, u32) { return u64(s64(s32(a))); });
  check32("cvt.s32.s8 %d, %a;", [](u32 a, u32, u32) { return u32(s32(int8_t(a))); });
  check32("cvt.u32.u16 %d, %a;", [](u32 a, u32, u32) { return a & 0xffff; });
  check_instruction<u16, u32, u32, u32>("cvt.u16.u32 %d, %a;", [](u32 a, u32, u32) { return a; });
  check32("cvt.sat.u8.s32 %d, %a;", [](u32 a, u32, u32) { return std::min(255, std::max(0, s32(a))); });
  check_instruction<u32, u64, u32, u32>("cvt.sat.s32.s64 %d, %a;", [](u64 a, u32, u32) {
    return u32(std::min<s64>(INT32_MAX, std::max<s64>(INT32_MIN, s64(a))));
  });
}

}  // namespace
}  // namespace rtjit
