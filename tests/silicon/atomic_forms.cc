// Atomics and reductions. Each thread has an address of its own, so that the value before is known; the last
// ones collide, where the order does not matter.
#include "tests/silicon/forms.h"

namespace rtjit::silicon {

void add_atomic_cases(std::vector<Case>* cases) {
  auto form = [&](std::string_view text, std::string_view types = "") { add_forms(cases, text, types); };
  for (const char* where : {"global", "shared"}) {
    std::string at = where == std::string("global") ? "[%m]" : "[%s]", space = where;
    auto atomic = [&](const std::string& operation, const std::string& width, const std::string& types) {
      form("st." + space + "." + width + " " + at + ", %a; atom." + space + "." + operation + " %d, " + at +
               ", %b; ld." + space + "." + width + " %e, " + at + ";",
           types);
    };
    const std::string w32 = "a=b32 b=b32 c=b32 d=b32 e=b32", w64 = "a=b64 b=b64 c=b64 d=b64 e=b64";
    atomic(
        "<add.u32|add.s32|min.s32|min.u32|max.s32|max.u32|inc.u32|dec.u32|and.b32|or.b32|xor.b32|exch.b32>",
        "b32", w32);
    atomic("<add.u64|min.s64|min.u64|max.s64|max.u64|and.b64|or.b64|xor.b64|exch.b64>", "b64", w64);
    atomic("add.f32", "b32", "a=f32 b=f32 d=f32 e=f32");
    atomic("add.f64", "b64", "a=f64 b=f64 d=f64 e=f64");
    atomic("add.noftz.<f16x2>", "b32", "a=f16x2 b=f16x2 d=b32 e=b32");
    atomic("add.noftz.<bf16x2>", "b32", "a=bf16x2 b=bf16x2 d=b32 e=b32");
    atomic("add.noftz.f16", "b16", "a=f16 b=f16 d=b16 e=b16");
    atomic("add.noftz.bf16", "b16", "a=bf16 b=bf16 d=b16 e=b16");
    form("st." + space + ".b32 " + at + ", %a; atom." + space + ".cas.b32 %d, " + at + ", %b, %c; ld." +
             space + ".b32 %e, " + at + ";",
         w32);
    form("st." + space + ".b64 " + at + ", %a; atom." + space + ".cas.b64 %d, " + at + ", %b, %c; ld." +
             space + ".b64 %e, " + at + ";",
         w64);
  }
  form("st.global.b16 [%m], %a; atom.global.cas.b16 %d, [%m], %b, %c; ld.global.b16 %e, [%m];",
       "a=b16 b=b16 c=b16 d=b16 e=b16");
  form(
      "st.global.b32 [%m], %a; atom.<relaxed|acquire|release|acq_rel>.<cta|gpu|sys>.global.add.u32 %d, [%m], "
      "%b; ld.global.b32 %e, [%m];",
      "a=b32 b=b32 d=b32 e=b32");
  form("st.global.v2.b32 [%m], {%a,%b}; red.global.add.v2.f32 [%m], {%b,%c}; ld.global.v2.b32 {%d,%e}, [%m];",
       "a=f32 b=f32 c=f32 d=b32 e=b32");
  form(
      "st.global.v4.b32 [%m], {%a,%b,%c,%b}; red.global.add.v4.f32 [%m], {%b,%c,%a,%a}; ld.global.v2.b32 "
      "{%d,%e}, [%m+8];",
      "a=f32 b=f32 c=f32 d=b32 e=b32");
  form(
      "st.global.v2.b32 [%m], {%a,%b}; atom.global.add.v2.f32 {%d,%t0}, [%m], {%b,%c}; ld.global.b32 %e, "
      "[%m+4]; add.u32 %d, %d, %t0;",
      "a=f32 b=f32 c=f32 d=b32 e=b32");
  form(
      "st.global.v2.b32 [%m], {%a,%b}; red.global.<add|min|max>.noftz.v2.f16x2 [%m], {%b,%c}; "
      "ld.global.v2.b32 {%d,%e}, [%m];",
      "a=f16x2 b=f16x2 c=f16x2 d=b32 e=b32");
  form(
      "st.global.v2.b32 [%m], {%a,%b}; red.global.<add|min|max>.noftz.v2.bf16x2 [%m], {%b,%c}; "
      "ld.global.v2.b32 {%d,%e}, [%m];",
      "a=bf16x2 b=bf16x2 c=bf16x2 d=b32 e=b32");
  form(
      "st.global.v4.b32 [%m], {%a,%b,%c,%b}; red.global.add.noftz.v4.bf16x2 [%m], {%b,%c,%a,%a}; "
      "ld.global.v2.b32 {%d,%e}, [%m+8];",
      "a=bf16x2 b=bf16x2 c=bf16x2 d=b32 e=b32");
  form(
      "red.global.<add.u32|min.s32|max.u32|and.b32|or.b32|xor.b32> [%block_m], %a; bar.sync 0; "
      "ld.volatile.global.b32 %d, [%block_m];",
      "a=b32 d=b32");
  form(
      "st.shared.b32 [%s], 77; bar.sync 0; red.shared.<add.u32|min.s32|max.u32|or.b32|xor.b32> [%block_s], "
      "%a; bar.sync 0; ld.volatile.shared.b32 %d, [%block_s];",
      "a=b32 d=b32");
}

}  // namespace rtjit::silicon
