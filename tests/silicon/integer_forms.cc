// Integer arithmetic, logic, bit fields, comparisons and selection. All exact.
#include "tests/silicon/forms.h"

namespace rtjit::silicon {

void add_integer_cases(std::vector<Case>* cases) {
  auto form = [&](std::string_view text, std::string_view types = "") { add_forms(cases, text, types); };
  form("<add|sub|mul.lo|min|max>.<s16|u16|s32|u32|s64|u64> %d, %a, %b;");
  form("mul.hi.<s16|u16|s32|u32|s64|u64> %d, %a, %b;");
  form("<add|sub>.sat.s32 %d, %a, %b;");
  form("<add|min|max>.<u16x2|s16x2> %d, %a, %b;", "a=b32 b=b32 d=b32");
  form("min.relu.s32 %d, %a, %b;");
  form("max.relu.s16x2 %d, %a, %b;", "a=b32 b=b32 d=b32");
  form("mul.wide.<s16|u16> %d, %a, %b;", "d=b32");
  form("mul.wide.<s32|u32> %d, %a, %b;", "d=b64");
  form("mad.lo.<s16|u16|s32|u32|s64|u64> %d, %a, %b, %c;");
  form("mad.hi.<s16|s32|u32|s64|u64> %d, %a, %b, %c;");
  form("mad.hi.sat.s32 %d, %a, %b, %c;");
  form("mad.wide.<s16|u16> %d, %a, %b, %c;", "d=b32 c=b32");
  form("mad.wide.<s32|u32> %d, %a, %b, %c;", "d=b64 c=b64");
  form("mul24.<lo|hi>.<s32|u32> %d, %a, %b;");
  form("mad24.<lo|hi>.<s32|u32> %d, %a, %b, %c;");
  form("mad24.hi.sat.s32 %d, %a, %b, %c;");
  form("sad.<s16|u16|s32|u32|s64|u64> %d, %a, %b, %c;");
  // Division by zero is left open by the ISA, as is the quotient that overflows.
  form("or.b32 %b, %b, 1; shr.u32 %b, %b, 1; or.b32 %b, %b, 1; <div|rem>.<s32|u32> %d, %a, %b;");
  form("shr.u64 %b, %b, 1; or.b64 %b, %b, 1; <div|rem>.<s64|u64> %d, %a, %b;", "a=b64 b=b64 d=b64");
  form("shr.u16 %b, %b, 1; or.b16 %b, %b, 1; <div|rem>.<s16|u16> %d, %a, %b;", "a=b16 b=b16 d=b16");
  form("<abs|neg>.<s16|s32|s64> %d, %a;");
  form("add.cc.u32 %d, %a, %b; addc.cc.u32 %e, %b, %c; addc.u32 %d, %d, %e;");
  form("sub.cc.u32 %d, %a, %b; subc.cc.u32 %e, %b, %c; subc.u32 %d, %d, %e;");
  form("add.cc.u64 %d, %a, %b; addc.u64 %e, %b, %c;");
  form("sub.cc.u64 %d, %a, %b; subc.u64 %e, %b, %c;");
  form("mad.lo.cc.u32 %d, %a, %b, %c; madc.hi.u32 %e, %a, %b, %c;");
  form("dp4a.<s32|u32>.<s32|u32> %d, %a, %b, %c;");
  form("dp2a.<lo|hi>.<s32|u32>.<s32|u32> %d, %a, %b, %c;");

  form("<and|or|xor>.<b16|b32|b64> %d, %a, %b;");
  form("<not|cnot>.<b16|b32|b64> %d, %a;");
  form("lop3.b32 %d, %a, %b, %c, <0x1b|0x96|0xe8|0xca>;");
  form("shl.<b16|b32> %d, %a, %b;", "b=b32");
  form("shr.<s16|u16|s32|u32|s64|u64> %d, %a, %b;", "b=b32");
  form("shl.b64 %d, %a, %b;", "b=b32");
  form("shf.<l|r>.<clamp|wrap>.b32 %d, %a, %b, %c;");
  form("prmt.b32 %d, %a, %b, %c;");
  form("prmt.b32.<f4e|b4e|rc8|ecl|ecr|rc16> %d, %a, %b, %c;");
  form("<popc|clz>.b32 %d, %a;");
  form("<popc|clz>.b64 %d, %a;", "d=b32");
  form("brev.<b32|b64> %d, %a;");
  form("bfind.<s32|u32> %d, %a;");
  form("bfind.<s64|u64> %d, %a;", "d=b32");
  form("bfind.shiftamt.<s32|u32> %d, %a;");
  form("bfe.<s32|u32|s64|u64> %d, %a, %b, %c;", "b=index c=index");
  form("and.b32 %t0, %lane, 15; shr.u32 %t1, %c, 1; bfi.b32 %d, %a, %b, %t1, %t0;", "c=index");
  form("bfi.b64 %d, %a, %b, %c, 11;", "c=index");
  form("bfi.b32 %d, %a, %b, %c, 9;", "c=index");
  form("and.b32 %b, %b, 31; fns.b32 %d, %a, %b, 3;", "b=index");
  form("bmsk.<clamp|wrap>.b32 %d, %a, %b;");
  form("szext.<clamp|wrap>.<s32|u32> %d, %a, %b;");

  form("setp.<eq|ne|lt|le|gt|ge>.<s16|s32|s64> %p0, %a, %b; selp.b32 %d, 1, 0, %p0;", "d=b32");
  form("setp.<lo|ls|hi|hs>.<u16|u32|u64> %p0, %a, %b; selp.b32 %d, 1, 0, %p0;", "d=b32");
  form(
      "setp.gt.u32 %p1, %c, 99; setp.lt.<and|or|xor>.s32 %p0|%p2, %a, %b, %p1; selp.b32 %d, 1, 0, %p0; "
      "selp.b32 %e, 3, 2, %p2;");
  form("set.<lt|ge>.u32.s32 %d, %a, %b;");
  form("set.eq.f32.u32 %d, %a, %b;");
  form("slct.<b32|s32|f32>.s32 %d, %a, %b, %c;");
  form("slct.b64.f32 %d, %a, %b, %c;", "a=b64 b=b64 c=f32 d=b64");
  form("setp.lt.s32 %p0, %c, 5; selp.b32 %d, %a, %b, %p0;");
  form("setp.lt.s32 %p0, %c, 5; selp.b64 %d, %a, %b, %p0;", "a=b64 b=b64 c=b32 d=b64");
  form(
      "setp.lt.s32 %p0, %a, %b; setp.lt.u32 %p1, %a, %c; <and|or|xor>.pred %p2, %p0, %p1; not.pred %p3, %p2; "
      "selp.b32 %d, 1, 0, %p3;");
}

}  // namespace rtjit::silicon
