// f32, f64, f16, bf16 and packed arithmetic, comparisons, and the approximate functions with their bounds.
#include "tests/silicon/forms.h"

namespace rtjit::silicon {

void add_float_cases(std::vector<Case>* cases) {
  auto form = [&](std::string_view text, std::string_view types = "") { add_forms(cases, text, types); };
  form("<add|sub|mul>.<rn|rz|rm|rp>.f32 %d, %a, %b;");
  form("<add|sub|mul>.rn.ftz.f32 %d, %a, %b;");
  form("<add|mul>.<ftz.|>sat.f32 %d, %a, %b;");
  form("fma.<rn|rz|rm|rp>.f32 %d, %a, %b, %c;");
  form("fma.rn.<ftz|sat|ftz.sat>.f32 %d, %a, %b, %c;");
  form("<min|max>.<ftz.|NaN.|ftz.NaN.|>f32 %d, %a, %b;");
  form("<min|max>.xorsign.abs.f32 %d, %a, %b;");
  form("<abs|neg>.<ftz.|>f32 %d, %a;");
  form("copysign.<f32|f64> %d, %a, %b;");
  form("div.<rn|rz|rm|rp>.f32 %d, %a, %b;");
  form("div.rn.ftz.f32 %d, %a, %b;");
  form("<rcp|sqrt>.<rn|rz|rm|rp>.f32 %d, %a;");
  form("<rcp|sqrt>.rn.ftz.f32 %d, %a;");
  form("testp.<finite|infinite|number|notanumber|normal|subnormal>.f32 %p0, %a; selp.b32 %d, 1, 0, %p0;",
       "d=b32");
  form("testp.<finite|normal>.f64 %p0, %a; selp.b32 %d, 1, 0, %p0;", "d=b32");

  form("<add|sub|mul>.<rn|rz|rm|rp>.f64 %d, %a, %b;");
  form("fma.<rn|rz|rm|rp>.f64 %d, %a, %b, %c;");
  form("<min|max>.f64 %d, %a, %b;");
  form("<abs|neg>.f64 %d, %a;");
  form("div.<rn|rz>.f64 %d, %a, %b;");
  form("<rcp|sqrt>.<rn|rm>.f64 %d, %a;");

  form("<add|sub|mul>.<f16|f16x2|bf16|bf16x2> %d, %a, %b;");
  form("<add|mul>.ftz.<f16|f16x2> %d, %a, %b;");
  form("<add|sub|mul>.<sat|ftz.sat>.f16 %d, %a, %b;");
  form("add.sat.f16x2 %d, %a, %b;");
  form("fma.rn.<f16|f16x2|bf16|bf16x2> %d, %a, %b, %c;");
  form("fma.rn.<ftz|sat|relu>.<f16|f16x2> %d, %a, %b, %c;");
  form("fma.rn.relu.<bf16|bf16x2> %d, %a, %b, %c;");
  form("<min|max>.<NaN.|><f16|f16x2|bf16|bf16x2> %d, %a, %b;");
  form("<min|max>.ftz.f16 %d, %a, %b;");
  form("<abs|neg>.<f16|f16x2|bf16|bf16x2> %d, %a;");
  form("<abs|neg>.ftz.f16 %d, %a;");

  form("setp.<eq|ne|lt|le|gt|ge|equ|neu|ltu|leu|gtu|geu|num|nan>.f32 %p0, %a, %b; selp.b32 %d, 1, 0, %p0;",
       "d=b32");
  form("setp.<lt|equ|nan>.ftz.f32 %p0, %a, %b; selp.b32 %d, 1, 0, %p0;", "d=b32");
  form("setp.<lt|geu|num>.f64 %p0, %a, %b; selp.b32 %d, 1, 0, %p0;", "d=b32");
  form("setp.<lt|neu|ge>.<f16|bf16> %p0, %a, %b; selp.b32 %d, 1, 0, %p0;", "d=b32");
  form("setp.<gt|leu>.<f16x2|bf16x2> %p0|%p1, %a, %b; selp.b32 %d, 1, 0, %p0; selp.b32 %e, 1, 0, %p1;",
       "d=b32 e=b32");
  form("set.<lt|geu>.u32.f32 %d, %a, %b;", "a=f32 b=f32 d=b32");
  form("set.<gt|equ>.f16x2.f16x2 %d, %a, %b;");
  form("set.lt.bf16x2.bf16x2 %d, %a, %b;");

  // What PTX only approximates. The emulator rounds the exact value; PTX states the silicon's error.
  auto near = [&](std::string_view text, std::string_view types, double ulps, double absolute,
                  const char* reason, Element element = Element::f32) {
    add_forms(cases, text, types, Bound{ulps, absolute, reason}, element);
  };
  near("rcp.approx.<ftz.|>f32 %d, %a;", "", 1, 0, "rcp.approx: 1 ulp");
  near("sqrt.approx.<ftz.|>f32 %d, %a;", "", 2, 0, "sqrt.approx: relative error 2^-23");
  near("rsqrt.approx.<ftz.|>f32 %d, %a;", "", 2, 0, "rsqrt.approx: relative error 2^-22.9");
  near("rsqrt.approx.<ftz.|>f64 %d, %a;", "", 0x1p34, 0,
       "rsqrt.approx.f64: only the upper 32 bits are computed", Element::f64);
  near("rcp.approx.ftz.f64 %d, %a;", "", 0x1p33, 0, "rcp.approx.ftz.f64: only the upper 32 bits are computed",
       Element::f64);
  near("div.approx.<ftz.|>f32 %d, %a, %b;", "a=moderate b=moderate", 2.5, 0,
       "div.approx: 2 ulp for divisors within 2^-126 to 2^126");
  near("div.full.<ftz.|>f32 %d, %a, %b;", "a=moderate b=moderate", 2.5, 0, "div.full: 2 ulp");
  near("sin.approx.<ftz.|>f32 %d, %a;", "a=angle", 0, 0x1p-17,
       "sin.approx: absolute error 2^-20.5 within 2 pi, 2^-14.7 within 100 pi; inputs here are within 8 pi");
  near("cos.approx.<ftz.|>f32 %d, %a;", "a=angle", 0, 0x1p-17,
       "cos.approx: absolute error 2^-20.5 within 2 pi, 2^-14.7 within 100 pi; inputs here are within 8 pi");
  near("lg2.approx.<ftz.|>f32 %d, %a;", "", 3, 0x1p-22,
       "lg2.approx: absolute error 2^-22 around 1, relative error 2^-22 elsewhere");
  near("ex2.approx.<ftz.|>f32 %d, %a;", "", 2.5, 0, "ex2.approx: 2 ulp");
  near("tanh.approx.f32 %d, %a;", "", 0x1p13, 0, "tanh.approx.f32: relative error 2^-11");
  near("tanh.approx.<f16|f16x2> %d, %a;", "", 2, 0x1p-10, "tanh.approx.f16: absolute error 2^-10.987",
       Element::f16x2);
  near("tanh.approx.<bf16|bf16x2> %d, %a;", "", 2, 0x1p-8, "tanh.approx.bf16: absolute error 2^-8",
       Element::bf16x2);
  near("ex2.approx.<f16|f16x2> %d, %a;", "", 2.5, 0, "ex2.approx.f16: relative error 2^-9.9", Element::f16x2);
  near("ex2.approx.ftz.<bf16|bf16x2> %d, %a;", "", 2.5, 0, "ex2.approx.ftz.bf16: relative error 2^-7",
       Element::bf16x2);
}

}  // namespace rtjit::silicon
