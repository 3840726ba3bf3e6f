#include "runtime/gates.h"

#include <gtest/gtest.h>

namespace rtjit {
namespace {

Target target(const char* name) { return *Target::parse(name); }

GateResult gate(const Variant& variant, const VariantFacts& facts, const char* name) {
  Target t = target(name);
  auto result = static_gate(variant, facts, t, t.limits());
  EXPECT_TRUE(result.ok());
  return *result;
}

Variant variant() {
  Variant v;
  v.name = "mma";
  v.targets = "sm_80+";
  return v;
}

VariantFacts facts(int64_t threads, int64_t smem, int64_t registers = 0) {
  VariantFacts f;
  f.threads = threads;
  f.smem = smem;
  f.predicted_registers = registers;
  return f;
}

TEST(StaticGate, PassesWhatFits) {
  GateResult result = gate(variant(), facts(128, 101376, 128), "sm_120a");
  EXPECT_EQ(result.verdict, Verdict::ok);
  EXPECT_EQ(result.reason, "");
}

TEST(StaticGate, Smem) {
  GateResult result = gate(variant(), facts(128, 139264), "sm_120a");
  EXPECT_EQ(result.verdict, Verdict::smem);
  EXPECT_EQ(result.reason, "smem: needs 139,264 B, sm_120a allows 101,376 B per block");
  EXPECT_EQ(gate(variant(), facts(128, 139264), "sm_90a").verdict, Verdict::ok);
  EXPECT_EQ(gate(variant(), facts(128, 101377), "sm_120a").verdict, Verdict::smem);
}

TEST(StaticGate, FeatureOfTheTarget) {
  VariantFacts f = facts(128, 0);
  f.features = {"mma.bf16", "tma.tile.scatter4"};
  GateResult result = gate(variant(), f, "sm_121a");
  EXPECT_EQ(result.verdict, Verdict::feature);
  EXPECT_EQ(result.reason, "feature: tma.tile.scatter4 is not supported by sm_121a");
  EXPECT_EQ(gate(variant(), f, "sm_100a").verdict, Verdict::ok);
}

TEST(StaticGate, TargetListOfTheVariant) {
  Variant v;
  v.name = "wgmma";
  v.targets = "sm_90a";
  GateResult result = gate(v, facts(128, 0), "sm_120a");
  EXPECT_EQ(result.verdict, Verdict::feature);
  EXPECT_EQ(result.reason, "feature: variant wgmma needs sm_90a, this is sm_120a");
}

TEST(StaticGate, Constraint) {
  VariantFacts f = facts(128, 0);
  f.violated = {"block_k must divide hidden"};
  GateResult result = gate(variant(), f, "sm_90a");
  EXPECT_EQ(result.verdict, Verdict::constraint);
  EXPECT_EQ(result.reason, "constraint: block_k must divide hidden");
}

TEST(StaticGate, Threads) {
  GateResult result = gate(variant(), facts(1152, 0), "sm_90a");
  EXPECT_EQ(result.verdict, Verdict::constraint);
  EXPECT_EQ(result.reason, "constraint: 1,152 threads, sm_90a allows 1,024 per block");
}

TEST(StaticGate, PredictedRegisters) {
  GateResult result = gate(variant(), facts(288, 0, 255), "sm_90a");
  EXPECT_EQ(result.verdict, Verdict::registers);
  EXPECT_EQ(result.reason, "registers: 288 threads x 255 = 73,440 > 65,536");
  EXPECT_EQ(gate(variant(), facts(256, 0, 255), "sm_90a").verdict, Verdict::ok);
  EXPECT_EQ(gate(variant(), facts(128, 0, 300), "sm_90a").reason,
            "registers: about 300 per thread, the limit is 255");
}

TEST(StaticGate, SaysEveryReasonAndTakesTheFirstAsVerdict) {
  VariantFacts f = facts(288, 139264, 255);
  f.features = {"tma.tile.scatter4"};
  f.violated = {"stages must be 3"};
  GateResult result = gate(variant(), f, "sm_121a");
  EXPECT_EQ(result.verdict, Verdict::feature);
  EXPECT_EQ(result.reason,
            "feature: tma.tile.scatter4 is not supported by sm_121a; constraint: stages must be 3; "
            "smem: needs 139,264 B, sm_121a allows 101,376 B per block; registers: 288 threads x 255 = "
            "73,440 > 65,536");
}

TEST(CompileGate, KeepsKindAndFirstLine) {
  GateResult result = compile_gate({"registers", "registers: ptxas could not allocate (255)", "the log"});
  EXPECT_EQ(result.verdict, Verdict::registers);
  EXPECT_EQ(result.reason, "registers: ptxas could not allocate (255)");
  result = compile_gate({"compile", "a.cuh(3): error: no such name\nmore", ""});
  EXPECT_EQ(result.verdict, Verdict::compile);
  EXPECT_EQ(result.reason, "compile: a.cuh(3): error: no such name");
  EXPECT_EQ(compile_gate({"something new", "x", ""}).verdict, Verdict::compile);
  EXPECT_EQ(compile_gate({"ok", "x", ""}).verdict, Verdict::compile);
}

CompiledFacts compiled(int registers, int spills = 0) {
  CompiledFacts c;
  c.registers = registers;
  c.spills = spills;
  return c;
}

TEST(LoadGate, Registers) {
  TargetLimits limits = target("sm_90a").limits();
  GateResult result = load_gate(facts(288, 0), compiled(255), limits, 0);
  EXPECT_EQ(result.verdict, Verdict::registers);
  EXPECT_EQ(result.reason, "registers: 288 threads x 255 = 73,440 > 65,536");
  // 9 warps of 225 registers, allocated as 232 each, do not fit although 288 x 225 = 64,800 would.
  result = load_gate(facts(288, 0), compiled(225), limits, 0);
  EXPECT_EQ(result.reason, "registers: 288 threads x 225, allocated as 66,816 > 65,536");
  EXPECT_TRUE(load_gate(facts(288, 0), compiled(224), limits, 0).ok());
}

TEST(LoadGate, Spill) {
  TargetLimits limits = target("sm_90a").limits();
  GateResult result = load_gate(facts(128, 0), compiled(255, 812), limits, 32);
  EXPECT_EQ(result.verdict, Verdict::spill);
  EXPECT_EQ(result.reason, "spill: 812 B");
  EXPECT_TRUE(load_gate(facts(128, 0), compiled(255, 32), limits, 32).ok());
}

TEST(LoadGate, SmemWithTheReservedPart) {
  TargetLimits limits = target("sm_120a").limits();
  EXPECT_TRUE(load_gate(facts(128, limits.smem_per_block), compiled(64), limits, 0).ok());
  CompiledFacts with_static = compiled(64);
  with_static.static_smem = 512;
  GateResult result = load_gate(facts(128, limits.smem_per_block), with_static, limits, 0);
  EXPECT_EQ(result.verdict, Verdict::smem);
  EXPECT_EQ(result.reason,
            "smem: needs 102,912 B with the 1,024 B that the system reserves, an SM has 102,400 B");
}

TEST(Occupancy, TakesTheScarcestResource) {
  TargetLimits limits = target("sm_90a").limits();
  EXPECT_EQ(blocks_per_sm(128, 32, 0, limits), 16);      // threads: 2,048 / 128
  EXPECT_EQ(blocks_per_sm(128, 128, 0, limits), 4);      // registers: 65,536 / (128 x 128)
  EXPECT_EQ(blocks_per_sm(128, 32, 100000, limits), 2);  // shared memory
  EXPECT_EQ(blocks_per_sm(32, 16, 0, limits), 32);       // blocks
  EXPECT_EQ(blocks_per_sm(0, 16, 0, limits), 0);
}

// 100 KB per SM, of which each block costs 1 KB more than it asks for; a block may ask for 99 KB.
TEST(Occupancy, OfSmallSharedMemoryByHand) {
  for (const char* name : {"sm_120a", "sm_121a"}) {
    const TargetLimits limits = target(name).limits();
    EXPECT_EQ(limits.smem_per_block, 101376);
    EXPECT_EQ(limits.smem_per_sm, 102400);
    EXPECT_EQ(blocks_per_sm(128, 128, 101376, limits), 1);  // 101,376 + 1,024 = 102,400
    EXPECT_EQ(blocks_per_sm(128, 128, 101377, limits), 0);
    EXPECT_EQ(blocks_per_sm(128, 128, 50176, limits), 2);  // 2 x (50,176 + 1,024) = 102,400
    EXPECT_EQ(blocks_per_sm(128, 128, 50177, limits), 1);
    EXPECT_EQ(blocks_per_sm(128, 128, 33109, limits), 3);  // 3 x (33,109 + 1,024) = 102,399
    EXPECT_EQ(blocks_per_sm(128, 128, 33110, limits), 2);  // 3 x (33,110 + 1,024) = 102,402
    EXPECT_EQ(blocks_per_sm(128, 128, 0, limits), 4);      // registers: 65,536 / (128 x 128)
    EXPECT_EQ(blocks_per_sm(128, 40, 0, limits), 12);      // threads: 1,536 / 128
  }
}

TEST(Registers, LimitOfABlockByHand) {
  const TargetLimits limits = target("sm_120a").limits();
  EXPECT_EQ(registers_limit(32, limits), 255);   // what the instruction set can name
  EXPECT_EQ(registers_limit(256, limits), 255);  // 65,536 / 256 = 256
  EXPECT_EQ(registers_limit(257, limits), 224);  // 9 warps: 65,536 / 9 / 256 = 28 units of 8
  EXPECT_EQ(registers_limit(288, limits), 224);
  EXPECT_EQ(registers_limit(384, limits), 168);  // 12 warps: 21 units
  EXPECT_EQ(registers_limit(512, limits), 128);
  EXPECT_EQ(registers_limit(1024, limits), 64);
}

// The gate rejects just what exceeds the limit.
TEST(Registers, LimitAndGateAgree) {
  const TargetLimits limits = target("sm_90a").limits();
  for (int threads = 32; threads <= 1024; threads += 32) {
    const int limit = registers_limit(threads, limits);
    EXPECT_TRUE(load_gate(facts(threads, 0), compiled(limit), limits, 0).ok()) << threads;
    EXPECT_FALSE(load_gate(facts(threads, 0), compiled(limit + 1), limits, 0).ok()) << threads;
  }
}

}  // namespace
}  // namespace rtjit
