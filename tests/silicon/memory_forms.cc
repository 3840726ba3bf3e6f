// Loads and stores of every width, vector and cache hint, address spaces, moves between register widths,
// cp.async.
#include "tests/silicon/forms.h"

namespace rtjit::silicon {

void add_memory_cases(std::vector<Case>* cases) {
  auto form = [&](std::string_view text, std::string_view types = "") { add_forms(cases, text, types); };
  // %a lies first in the input, so %in reads other threads' values.
  form("mad.wide.u32 %q0, %i, 4, %in; ld.global.<s8|u8> %d, [%q0+1]; add.u32 %d, %d, %a;", "a=b32 d=b32");
  form(
      "mad.wide.u32 %q0, %i, 4, %in; ld.global.<s16|u16|b16> %h0, [%q0+2]; cvt.s32.s16 %d, %h0; add.u32 %d, "
      "%d, %a;",
      "a=b32 d=b32");
  form(
      "and.b32 %t0, %i, 255; mad.wide.u32 %q0, %t0, 16, %in; "
      "ld.global<|.ca|.cg|.cs|.lu|.nc|.L1::evict_last|.L2::128B|.nc.L1::no_allocate>.v4.b32 "
      "{%t0,%t1,%t2,%t3}, [%q0]; mad.lo.u32 %d, %t0, %t1, %t2; xor.b32 %d, %d, %t3; add.u32 %d, %d, %a;",
      "a=b32 d=b32");
  form(
      "and.b32 %t0, %i, 255; mad.wide.u32 %q0, %t0, 16, %in; "
      "ld.<volatile|relaxed.gpu|acquire.sys|weak>.global.b64 %q1, [%q0+8]; mov.b64 {%d,%e}, %q1; add.u32 %d, "
      "%d, %a;",
      "a=b32 d=b32 e=b32");
  form(
      "and.b32 %t0, %i, 255; mad.wide.u32 %q0, %t0, 16, %in; ld.global.v2.<b64|u64|f64> {%d,%e}, [%q0]; "
      "add.u64 %d, %d, %a;",
      "a=b64 d=b64 e=b64");
  form(
      "and.b32 %t0, %i, 255; mad.wide.u32 %q0, %t0, 8, %in; ld.global.v4.u16 {%h0,%h1,%h2,%h3}, [%q0]; "
      "mov.b32 %d, {%h0,%h3}; mov.b32 %e, {%h2,%h1}; add.u32 %d, %d, %a;",
      "a=b32 d=b32 e=b32");
  form(
      "mad.wide.u32 %q0, %i, 4, %in; ld.global.v4.u8 {%h0,%h1,%h2,%h3}, [%q0]; mov.b32 %d, {%h0,%h3}; "
      "mov.b32 %e, {%h2,%h1}; add.u32 %d, %d, %a;",
      "a=b32 d=b32 e=b32");
  form(
      "st.global<|.wb|.cg|.cs|.wt|.L1::no_allocate>.v2.b32 [%m+8], {%a,%b}; ld.global.v2.b32 {%d,%e}, "
      "[%m+8];",
      "a=b32 b=b32 d=b32 e=b32");
  form(
      "st.<volatile|relaxed.gpu|release.sys>.global.b32 [%m], %a; ld.<volatile|relaxed.sys>.global.b32 %d, "
      "[%m];",
      "a=b32 d=b32");
  form("st.global.<b8|u8> [%m+3], %a; ld.global.b32 %d, [%m];", "a=b32 d=b32");
  form("st.global.v4.b8 [%m+4], {%a,%b,%c,%a}; ld.global.b32 %d, [%m+4];", "a=b16 b=b16 c=b16 d=b32");
  form("st.global.v2.b64 [%m], {%a,%b}; ld.global.v2.b64 {%e,%d}, [%m];", "a=b64 b=b64 d=b64 e=b64");
  form("st.shared.v4.b32 [%s], {%a,%b,%a,%c}; ld.shared.v2.b32 {%d,%e}, [%s+8];",
       "a=b32 b=b32 c=b32 d=b32 e=b32");
  form("st.shared.b8 [%s], %a; ld.shared.<s8|u8> %d, [%s];", "a=b32 d=b32");
  form("st.shared.b32 [%s], %a; bar.sync 0; xor.b32 %t0, %s, 32; ld.shared.b32 %d, [%t0];", "a=b32 d=b32");
  form(
      "cvt.u64.u32 %q0, %s; cvta.shared.u64 %q0, %q0; st.b32 [%q0], %a; ld.shared.b32 %d, [%s]; "
      "isspacep.shared %p0, %q0; selp.b32 %e, 1, 0, %p0;",
      "a=b32 d=b32 e=b32");
  form("st.local.v2.b32 [own+8], {%a,%b}; st.local.b16 [own+10], 7; ld.local.v2.b32 {%d,%e}, [own+8];",
       "a=b32 b=b32 d=b32 e=b32");
  form(
      "and.b32 %t0, %a, 12; mov.u32 %t1, own; add.u32 %t1, %t1, %t0; st.local.v4.b32 [own], {%a,%b,%b,%a}; "
      "ld.local.b32 %d, [%t1];",
      "a=b32 b=b32 d=b32");
  form("mov.b64 %q0, {%a,%b}; mov.b64 {%d,%e}, %q0;", "a=b32 b=b32 d=b32 e=b32");
  form("mov.b32 {%h0,%h1}, %a; mov.b64 %q0, {%h1,%h0,%h1,%h1}; mov.b64 {%d,%e}, %q0;", "a=b32 d=b32 e=b32");
  form(
      "mov.u32 %d, "
      "%<tid.x|ntid.x|ctaid.x|nctaid.x|laneid|lanemask_eq|lanemask_le|lanemask_lt|lanemask_ge|lanemask_gt>; "
      "add.u32 %d, %d, %a;",
      "a=b32 d=b32");
  form(
      "cp.async.<ca|cg>.shared.global [%s], [%m], 16; cp.async.commit_group; cp.async.wait_group 0; "
      "ld.shared.v2.b32 {%d,%e}, [%s+8]; add.u32 %d, %d, %a;",
      "a=b32 d=b32 e=b32");
  form(
      "and.b32 %t0, %i, 255; mad.wide.u32 %q0, %t0, 16, %in; cp.async.cg.shared.global [%s], [%q0], 16; "
      "cp.async.wait_all; ld.shared.v4.b32 {%t0,%t1,%t2,%t3}, [%s]; mad.lo.u32 %d, %t0, %t1, %a; mad.lo.u32 "
      "%e, %t2, %t3, %b;",
      "a=b32 b=b32 d=b32 e=b32");
  form(
      "and.b32 %t0, %i, 255; mad.wide.u32 %q0, %t0, 16, %in; and.b32 %t1, %b, 15; cp.async.cg.shared.global "
      "[%s], [%q0], 16, %t1; cp.async.wait_all; ld.shared.v4.b32 {%t0,%t1,%t2,%t3}, [%s]; mad.lo.u32 %d, "
      "%t0, %t1, %a; mad.lo.u32 %e, %t2, %t3, %b;",
      "a=b32 b=b32 d=b32 e=b32");
  form(
      "and.b32 %t0, %i, 255; mad.wide.u32 %q0, %t0, 16, %in; cp.async.ca.shared.global [%s], [%q0], 8; "
      "cp.async.commit_group; cp.async.wait_group 0; ld.shared.v2.b32 {%d,%e}, [%s]; add.u32 %d, %d, %a;",
      "a=b32 d=b32 e=b32");
  form(
      "and.b32 %t0, %i, 255; mad.wide.u32 %q0, %t0, 16, %in; and.b32 %t1, %b, 3; cp.async.ca.shared.global "
      "[%s], [%q0], 4, %t1; cp.async.wait_all; ld.shared.b32 %d, [%s]; add.u32 %d, %d, %a;",
      "a=b32 b=b32 d=b32");
}

}  // namespace rtjit::silicon
