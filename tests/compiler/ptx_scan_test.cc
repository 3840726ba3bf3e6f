#include "compiler/ptx_scan.h"

#include <gmock/gmock.h>

#include <random>

#include "compiler/features.h"
#include "compiler/ptx_statements.h"
#include "tests/compiler/nvrtc_fixture.h"

namespace rtjit {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> names(std::string_view ptx) {
  std::vector<std::string> found;
  for (const FeatureUse& use : scan_ptx(ptx)) found.push_back(use.feature);
  return found;
}

TEST(PtxScan, ReportsFirstUseWithItsLine) {
  std::vector<FeatureUse> uses = scan_ptx(
      ".version 9.0\n.target sm_100a\n.visible .entry k(\n.param .u64 p\n)\n.maxntid 128, 1, 1\n{\n.reg .b32 "
      "%r<4>;\n"
      "$L__BB0_1: @!%p1 cp.async.cg.shared.global [%r1], [%rd1], 16;\n"
      "cp.async.commit_group;\n"
      "cp.async.bulk.tensor.2d.global.shared::cta.tile::scatter4.bulk_group [%rd1, {%r1,%r2,%r3,%r4,%r5}], "
      "[%r6];\n}\n");
  ASSERT_EQ(uses.size(), 2u);
  EXPECT_EQ(uses[0].feature, "cp.async");
  EXPECT_EQ(uses[0].line, 9);
  EXPECT_EQ(uses[1].feature, "tma.tile.scatter4");
  EXPECT_EQ(uses[1].line, 11);
  EXPECT_EQ(uses[1].instruction, "cp.async.bulk.tensor.2d.global.shared::cta.tile::scatter4.bulk_group");
}

TEST(PtxScan, SkipsCommentsStringsAndNames) {
  EXPECT_THAT(
      names("// wgmma.fence;\n/* elect.sync\n cp.async.cg; */ .file 1 \"wgmma.mma_async; elect.sync\"\n"
            ".loc 1 2 3\nmov.u32 wgmma, elect;\n.pragma \"griddepcontrol.wait;\";\nwgmma_label: ret;"),
      IsEmpty());
  EXPECT_THAT(names("/**/elect.sync a|p, -1;"), ElementsAre("elect.sync"));
}

TEST(PtxScan, TellsFormsApart) {
  EXPECT_THAT(names("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {a};"), ElementsAre("mma.f16"));
  EXPECT_THAT(names("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {a};"), ElementsAre("mma.f16.k8"));
  EXPECT_THAT(names("mma.sync.aligned.m16n8k32.row.col.f32.e5m2.e4m3.f32 {a};"), ElementsAre("mma.fp8"));
  EXPECT_THAT(names("cvt.rn.bf16x2.f32 a, b, c;"), ElementsAre("cvt.f32.bf16x2"));
  EXPECT_THAT(names("cvt.rn.f32.f16 a, b;"), IsEmpty());
  EXPECT_THAT(names("ld.global.v4.b32 {a}, [b]; st.global.v4.f32 [a], {b};"), IsEmpty());
  EXPECT_THAT(names("ld.global.nc.v8.f32 {a}, [b];"), ElementsAre("ld.global.v8"));
  EXPECT_THAT(names("st.global.v4.b64 [b], {a};"), ElementsAre("st.global.v8"));
  EXPECT_THAT(names("mapa.shared::cluster.u32 a, b, c;"), ElementsAre("cluster"));
  EXPECT_THAT(names("ld.shared::cluster.u32 a, [b];"), ElementsAre("cluster"));
  EXPECT_THAT(names("mov.u32 a, %cluster_ctarank;"), ElementsAre("cluster"));
  EXPECT_THAT(names(".entry k() .explicitcluster .reqnctapercluster 2, 1, 1\n{ ret; }"),
              ElementsAre("cluster"));
  EXPECT_THAT(names("cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0;"), IsEmpty());
  EXPECT_THAT(names("red.relaxed.gpu.global.add.v2.f32 [a], {b, c};"), ElementsAre("red.v4.f32"));
  EXPECT_THAT(names("@p red.global.add.noftz.v2.bf16x2 [a], {b, c};"), ElementsAre("red.bf16x2"));
  EXPECT_THAT(names("red.global.add.noftz.v4.bf16x2 [a], {b, c, d, e};"), ElementsAre("red.bf16x2"));
  EXPECT_THAT(names("atom.global.add.u32 a, [b], c;"), IsEmpty());
  EXPECT_THAT(names("tcgen05.ld.sync.aligned.32x32b.x8.b32 {a}, [b];"), ElementsAre("tcgen05.alloc"));
  EXPECT_THAT(names("add.rn.f32x2 a, b, c; mul.bf16x2 a, b, c;"), ElementsAre("fma.f32x2", "add.bf16x2"));
}

TEST(PtxScan, FindsEveryFeatureInItsOwnProbe) {
  for (const Feature& feature : all_features()) {
    std::vector<std::string> found = names(feature.ptx);
    EXPECT_THAT(found, Contains(std::string(feature.name)));
    for (const std::string& other : found) EXPECT_NE(find_feature(other), nullptr) << other;
  }
}

TEST(PtxScan, AnyTextIsAccepted) {
  std::string seed = "L: @%p wgmma.fence; /* x */ \"s\\\"\" .loc 1\n{ cp.async.bulk [a]; } // e\n";
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    std::string text = seed.substr(0, random() % (seed.size() + 1));
    for (unsigned flips = random() % 6; flips-- > 0 && !text.empty();)
      text[random() % text.size()] = "\"/*:.;{}@!%\\\n x\0"[random() % 16];
    for (const FeatureUse& use : scan_ptx(text)) ASSERT_GT(use.line, 0);
  }
}

class PtxScanNvrtc : public NvrtcTest {};

// What the scanner says of a program must be what the assembler says of it.
TEST_F(PtxScanNvrtc, AgreesWithTheAssembler) {
  for (const char* target : {"sm_80", "sm_90a", "sm_100f", "sm_121a"}) {
    for (const char* name : {"cp.async", "wgmma", "tma.tile.scatter4", "mma.fp8", "redux.f32", "cluster"}) {
      std::string source = probe_source(*find_feature(name));
      NvrtcOutput ptx = compile(source, "compute_" + std::string(target).substr(3));
      ASSERT_TRUE(ptx.ok) << ptx.log;
      bool all_supported = true;
      for (const std::string& found : names(ptx.ptx))
        all_supported &= supports(*Target::parse(target), found);
      EXPECT_EQ(compile(source, target).ok, all_supported) << target << " " << name;
    }
  }
}

}  // namespace
}  // namespace rtjit
