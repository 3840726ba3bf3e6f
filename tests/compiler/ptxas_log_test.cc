#include "compiler/ptxas_log.h"

#include <gtest/gtest.h>

namespace rtjit {
namespace {

using Kind = PtxasRefusal::Kind;

TEST(PtxasLog, ReadsFactsPerKernel) {
  std::vector<PtxasKernelFacts> kernels = parse_ptxas_log(
      "ptxas info    : 0 bytes gmem\n"
      "ptxas info    : Compiling entry function '_Z1aPf' for 'sm_75'\n"
      "ptxas info    : Function properties for _Z6helperv\n"
      "ptxas         .     16 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
      "ptxas info    : Function properties for _Z1aPf\n"
      "ptxas         .     672 bytes stack frame, 924 bytes spill stores, 956 bytes spill loads\n"
      "ptxas info    : Used 64 registers, used 3 barriers, 672 bytes cumulative stack size, 4000 bytes smem, "
      "360 bytes "
      "cmem[0]\n"
      "ptxas info    : Compiling entry function 'b' for 'sm_75'\n"
      "ptxas info    : Function properties for b\n"
      "ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
      "ptxas info    : Used 8 registers, used 0 barriers\n");
  ASSERT_EQ(kernels.size(), 2u);
  EXPECT_EQ(kernels[0].symbol, "_Z1aPf");
  EXPECT_EQ(kernels[0].stack, 672);
  EXPECT_EQ(kernels[0].spill_stores, 924);
  EXPECT_EQ(kernels[0].spill_loads, 956);
  EXPECT_EQ(kernels[0].registers, 64);
  EXPECT_EQ(kernels[0].barriers, 3);
  EXPECT_EQ(kernels[0].smem, 4000);
  EXPECT_EQ(kernels[1].symbol, "b");
  EXPECT_EQ(kernels[1].registers, 8);
  EXPECT_EQ(kernels[1].smem, 0);
}

PtxasRefusal refusal(const char* line) {
  return parse_ptxas_refusal(std::string("ptxas info : x\n") + line +
                             "\nptxas fatal : aborted due to errors\n");
}

TEST(PtxasLog, KnowsEveryKindOfRefusal) {
  PtxasRefusal smem =
      refusal("ptxas error   : Entry function 'k' uses too much shared data (0x18c01 bytes, 0x18c00 max)");
  EXPECT_EQ(smem.kind, Kind::smem);
  EXPECT_EQ(smem.number, 101377);
  EXPECT_EQ(smem.limit, 101376);
  PtxasRefusal registers = refusal(
      "ptxas error   : (C7600) Register allocation failed with register count of '255'. Compile the program "
      "with a "
      "higher register target");
  EXPECT_EQ(registers.kind, Kind::registers);
  EXPECT_EQ(registers.number, 255);
  registers = refusal(
      "ptxas fatal   : (C7602) Insufficient registers (64) to compile instruction at line 155 in function "
      "_Z1kPf. Try "
      "to compile with register target of 154 or higher.");
  EXPECT_EQ(registers.kind, Kind::registers);
  EXPECT_EQ(registers.number, 64);
  for (const char* words : {"Feature '.tile::scatter4' not supported on .target 'sm_121a'",
                            "Instruction '.tile::scatter4' not supported on .target 'sm_121a'",
                            "Feature '.tile::scatter4' requires .target sm_90 or higher",
                            "Modifier '.tile::scatter4' requires .target sm_90 or higher",
                            "Instruction '.tile::scatter4' cannot be compiled for architecture 'sm_120a'"}) {
    std::string line = std::string("ptxas application ptx input, line 33; error   : ") + words;
    PtxasRefusal feature = refusal(line.c_str());
    EXPECT_EQ(feature.kind, Kind::feature) << words;
    EXPECT_EQ(feature.words, ".tile::scatter4") << words;
    EXPECT_EQ(feature.line, 33);
  }
  EXPECT_EQ(refusal("ptxas application ptx input, line 7; error : Unknown symbol").kind, Kind::other);
  EXPECT_EQ(parse_ptxas_refusal("k.cu(3): error: expected a \";\"\n").kind, Kind::none);
  EXPECT_EQ(parse_ptxas_refusal("").kind, Kind::none);
}

}  // namespace
}  // namespace rtjit
