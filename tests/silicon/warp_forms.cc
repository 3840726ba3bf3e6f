// Instructions among the lanes of a warp, barriers with results, mbarriers, ldmatrix, stmatrix, movmatrix.
#include "tests/silicon/forms.h"

namespace rtjit::silicon {

void add_warp_cases(std::vector<Case>* cases) {
  auto form = [&](std::string_view text, std::string_view types = "") { add_forms(cases, text, types); };
  form("shfl.sync.<up|down|bfly|idx>.b32 %d|%p0, %a, %b, <0|0x1f|0x1807|0x101f>, -1; selp.b32 %e, 1, 0, %p0;",
       "b=index");
  form("shfl.sync.idx.b32 %d|%p0, %a, %b, %c, -1; selp.b32 %e, 1, 0, %p0;", "b=index c=index");
  form(
      "and.b32 %t0, %lane, 1; setp.eq.u32 %p1, %t0, 1; mov.b32 %d, 0; @%p1 shfl.sync.bfly.b32 %d, %a, 6, "
      "0x1f, 0xaaaaaaaa;",
      "a=b32 d=b32");
  form("setp.lt.s32 %p0, %a, 99; vote.sync.ballot.b32 %d, %p0, -1;", "a=b32 d=b32");
  form(
      "setp.lt.s32 %p0, %a, <99|-2147483648>; vote.sync.<all|any|uni>.pred %p1, %p0, -1; selp.b32 %d, 1, 0, "
      "%p1;",
      "a=b32 d=b32");
  form("and.b32 %a, %a, 3; match.any.sync.b32 %d, %a, -1;", "a=b32 d=b32");
  form("and.b64 %a, %a, 3; match.any.sync.b64 %d, %a, -1;", "a=b64 d=b32");
  form("and.b32 %a, %a, <0|1>; match.all.sync.b32 %d|%p0, %a, -1; selp.b32 %e, 1, 0, %p0;",
       "a=b32 d=b32 e=b32");
  form("and.b64 %a, %a, 0; match.all.sync.b64 %d|%p0, %a, -1; selp.b32 %e, 1, 0, %p0;", "a=b64 d=b32 e=b32");
  form("redux.sync.<add.s32|add.u32|min.s32|min.u32|max.s32|max.u32|and.b32|or.b32|xor.b32> %d, %a, -1;");
  form("setp.ge.u32 %p1, %lane, 20; mov.b32 %d, 5; @%p1 redux.sync.add.u32 %d, %a, 0xfff00000;",
       "a=b32 d=b32");
  form("elect.sync %d|%p0, -1; selp.b32 %e, 1, 0, %p0; add.u32 %d, %d, %a;", "a=b32 d=b32 e=b32");
  form("activemask.b32 %d; add.u32 %d, %d, %a;", "a=b32 d=b32");
  form("setp.lt.s32 %p0, %a, 99; barrier.cta.red.popc.u32 %d, 0, %p0;", "a=b32 d=b32");
  form(
      "setp.lt.s32 %p0, %a, <99|-2147483648>; barrier.cta.red.<and|or>.pred %p1, 0, %p0; selp.b32 %d, 1, 0, "
      "%p1;",
      "a=b32 d=b32");
  form(
      "shr.u32 %t0, %thread, 7; add.u32 %t0, %t0, 1; st.shared.b32 [%s], %a; bar.sync %t0, 128; sub.u32 %t1, "
      "%s, %block_s; xor.b32 %t1, %t1, 1024; add.u32 %t1, %t1, %block_s; ld.shared.b32 %d, [%t1];",
      "a=b32 d=b32");
  form(
      "setp.eq.u32 %p0, %thread, 0; @%p0 mbarrier.init.shared::cta.b64 [bar], 256; bar.sync 0; st.shared.b32 "
      "[%s], %a; mbarrier.arrive.shared::cta.b64 %q0, [bar]; W: mbarrier.try_wait.shared::cta.b64 %p1, "
      "[bar], %q0; @!%p1 bra W; sub.u32 %t1, %s, %block_s; xor.b32 %t1, %t1, 1056; add.u32 %t1, %t1, "
      "%block_s; ld.shared.b32 %d, [%t1];",
      "a=b32 d=b32");
  form(
      "setp.eq.u32 %p0, %thread, 0; @%p0 mbarrier.init.shared::cta.b64 [bar], 512; bar.sync 0; st.shared.b32 "
      "[%s], %a; mbarrier.arrive.shared::cta.b64 _, [bar], 2; W: "
      "mbarrier.<test_wait|try_wait>.parity.shared::cta.b64 %p1, [bar], 0; @!%p1 bra W; sub.u32 %t1, %s, "
      "%block_s; xor.b32 %t1, %t1, 1056; add.u32 %t1, %t1, %block_s; ld.shared.b32 %d, [%t1];",
      "a=b32 d=b32");

  const std::string fill = "st.shared.v4.b32 [%s], {%a,%b,%a,%b}; bar.warp.sync -1; ";
  form(fill + "ldmatrix.sync.aligned.m8n8.x1<.trans|>.shared.b16 {%d}, [%s];", "a=b32 b=b32 d=b32");
  form(fill + "ldmatrix.sync.aligned.m8n8.x2<.trans|>.shared.b16 {%d,%e}, [%s];", "a=b32 b=b32 d=b32 e=b32");
  form(fill +
           "ldmatrix.sync.aligned.m8n8.x4<.trans|>.shared.b16 {%t0,%t1,%t2,%t3}, [%s]; mad.lo.u32 %d, %t0, "
           "31, %t1; mad.lo.u32 %e, %t2, 31, %t3;",
       "a=b32 b=b32 d=b32 e=b32");
  const std::string clear = "st.shared.v4.b32 [%s], {1,2,3,4}; bar.warp.sync -1; ";
  const std::string read =
      "bar.warp.sync -1; ld.shared.v4.b32 {%t0,%t1,%t2,%t3}, [%s]; mad.lo.u32 %d, %t0, 31, %t1; mad.lo.u32 "
      "%e, %t2, 31, %t3;";
  form(clear + "stmatrix.sync.aligned.m8n8.x1<.trans|>.shared.b16 [%s], {%a}; " + read, "a=b32 d=b32 e=b32");
  form(clear + "stmatrix.sync.aligned.m8n8.x2<.trans|>.shared.b16 [%s], {%a,%b}; " + read,
       "a=b32 b=b32 d=b32 e=b32");
  form(clear + "stmatrix.sync.aligned.m8n8.x4<.trans|>.shared.b16 [%s], {%a,%b,%a,%c}; " + read,
       "a=b32 b=b32 c=b32 d=b32 e=b32");
  form("movmatrix.sync.aligned.m8n8.trans.b16 %d, %a;", "a=b32 d=b32");
}

}  // namespace rtjit::silicon
