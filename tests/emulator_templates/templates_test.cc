// The built-in templates on the emulator: small problems of every kind, for every target, against the fp64
// oracle.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/text.h"
#include "emulator/emulated_device.h"
#include "tests/device/cases/config_plan.h"
#include "tests/device/cases/fp8_test_case.h"
#include "tests/device/cases/moe_test_case.h"
#include "tests/emulator_templates/emulated_targets.h"

namespace rtjit::testing {
namespace {

using check::BiasType;
using check::Case;
using oracle::MoeActivation;
using oracle::MoeLayout;

// Besides the library's choice and the references. Nearly all of the time goes into compiling.
constexpr size_t kConfigsPerCase = 1;

const std::vector<std::string>& kTargets = main_targets();

std::vector<Case> moe_cases() {
  using Ids = Case::Ids;
  using Scales = Case::Scales;
  std::vector<Case> cases = {
      {.name = "tokens 0", .tokens = 0},
      {.name = "tokens 1", .tokens = 1},
      {.name = "tokens 17", .tokens = 17},
      {.name = "width 160", .hidden = 160, .intermediate = 160, .tokens = 3},
      {.name = "width 192, top_k 6 of 32",
       .hidden = 192,
       .intermediate = 192,
       .experts = 32,
       .top_k = 6,
       .tokens = 2},
      {.name = "silu, no bias",
       .tokens = 5,
       .layout = MoeLayout::halves_gate_up,
       .activation = MoeActivation::silu,
       .bias = BiasType::none,
       .limited = false},
      {.name = "gelu, f32 bias",
       .tokens = 5,
       .layout = MoeLayout::halves_up_gate,
       .activation = MoeActivation::gelu_tanh,
       .bias = BiasType::f32,
       .limited = false},
      {.name = "per expert", .tokens = 6, .limited = false, .per_expert = true},
      {.name = "one expert", .tokens = 17, .ids = Ids::one_expert},
      {.name = "some skipped", .tokens = 9, .expert_offset = 16, .ids = Ids::some_skipped},
      {.name = "all skipped", .tokens = 4, .ids = Ids::all_skipped},
      {.name = "an expert twice", .tokens = 7, .ids = Ids::duplicates},
      {.name = "i64 ids", .tokens = 3, .expert_offset = 64, .id_bytes = 8},
      {.name = "i64 ids that fit 32 bits when cut", .tokens = 6, .id_bytes = 8, .ids = Ids::beyond_32_bits},
      {.name = "NaN in skipped rows of x", .tokens = 6, .ids = Ids::all_skipped, .nan_x = true},
      {.name = "NaN beyond num_valid_tokens", .tokens = 6, .valid_tokens = 3, .nan_x = true},
      {.name = "no valid tokens", .tokens = 4, .valid_tokens = 0},
      {.name = "i16 ids, bf16 weights, padded x",
       .tokens = 5,
       .id_bytes = 2,
       .weight_bytes = 2,
       .x_padding = 64},
      {.name = "rows beyond num_valid_tokens", .tokens = 9, .valid_tokens = 5},
      {.name = "NaN in x", .tokens = 4, .nan_x = true},
      {.name = "every scale", .tokens = 3, .bias = BiasType::none, .scales = Scales::every},
      {.name = "tiny scales", .tokens = 3, .bias = BiasType::none, .scales = Scales::tiny},
      {.name = "subnormal weights", .tokens = 3, .bias = BiasType::none, .scales = Scales::subnormal},
      {.name = "huge scales", .tokens = 3, .bias = BiasType::none, .scales = Scales::huge},
      {.name = "scale byte 255", .tokens = 6, .scales = Scales::some_nan},
      {.name = "zero blocks", .tokens = 3, .scales = Scales::zero_rows},
      {.name = "top_k 1", .top_k = 1, .tokens = 5},
  };
  for (Case& c : cases) {
    if (c.experts == 8) c.experts = 6;
    if (c.hidden == 256) c.hidden = 96;
    if (c.intermediate == 256) c.intermediate = 64;
  }
  // More slots than one block of align takes.
  cases.push_back({.name = "two launches of align",
                   .hidden = 32,
                   .intermediate = 32,
                   .experts = 9,
                   .top_k = 8,
                   .tokens = 514,
                   .ids = Ids::some_skipped});
  return cases;
}

// The variant of moe_mxfp4 that takes MXFP8 activations on an untuned target.
std::string mxfp8_variant(const std::string& target) {
  if (target == "sm_90a") return "wgmma_fp8";
  if (target == "sm_120a" || target == "sm_121a") return "mxf8f6f4";
  return target == "sm_100a" || target == "sm_103a" ? "tcgen05" : "mma_mxfp8";
}

// Activations as MXFP8. Of targets that share their code one runs every case, the others some.
std::vector<Case> mxfp8_cases(const std::string& target) {
  using Ids = Case::Ids;
  using Scales = Case::Scales;
  std::vector<Case> cases = {
      {.name = "mxfp8", .hidden = 160, .intermediate = 96, .tokens = 5},
      {.name = "mxfp8, NaN in x", .hidden = 96, .intermediate = 64, .tokens = 4, .nan_x = true},
      {.name = "mxfp8, no tokens", .tokens = 0},
  };
  if (target != "sm_86" && target != "sm_89") {
    const std::vector<Case> more = {
        {.name = "mxfp8, hidden 2880", .hidden = 2880, .intermediate = 32, .tokens = 2},
        {.name = "mxfp8, intermediate 1440", .hidden = 32, .intermediate = 1440, .tokens = 2},
        {.name = "mxfp8, intermediate 736", .hidden = 64, .intermediate = 736, .tokens = 2},
        {.name = "mxfp8, intermediate 672", .hidden = 96, .intermediate = 672, .tokens = 2},
        {.name = "mxfp8, intermediate 192", .hidden = 224, .intermediate = 192, .tokens = 3},
        {.name = "mxfp8, one expert",
         .hidden = 128,
         .intermediate = 64,
         .tokens = 70,
         .ids = Ids::one_expert},
        {.name = "mxfp8, some skipped",
         .hidden = 96,
         .intermediate = 64,
         .tokens = 9,
         .expert_offset = 16,
         .ids = Ids::some_skipped},
        {.name = "mxfp8, all skipped",
         .hidden = 96,
         .intermediate = 64,
         .tokens = 4,
         .ids = Ids::all_skipped},
        {.name = "mxfp8, silu, f32 bias",
         .hidden = 64,
         .intermediate = 96,
         .tokens = 5,
         .layout = MoeLayout::halves_gate_up,
         .activation = MoeActivation::silu,
         .bias = BiasType::f32,
         .limited = false,
         .x_padding = 64},
        {.name = "mxfp8, per expert",
         .hidden = 96,
         .intermediate = 64,
         .tokens = 6,
         .limited = false,
         .per_expert = true,
         .valid_tokens = 4},
        {.name = "mxfp8, every scale",
         .hidden = 96,
         .intermediate = 64,
         .tokens = 3,
         .bias = BiasType::none,
         .scales = Scales::every},
        {.name = "mxfp8, tiny scales",
         .hidden = 96,
         .intermediate = 64,
         .tokens = 3,
         .bias = BiasType::none,
         .scales = Scales::tiny},
        {.name = "mxfp8, huge scales",
         .hidden = 96,
         .intermediate = 64,
         .tokens = 3,
         .bias = BiasType::none,
         .scales = Scales::huge},
        {.name = "mxfp8, scale byte 255",
         .hidden = 96,
         .intermediate = 64,
         .tokens = 6,
         .scales = Scales::some_nan},
        {.name = "mxfp8, zero blocks",
         .hidden = 96,
         .intermediate = 64,
         .tokens = 3,
         .scales = Scales::zero_rows},
    };
    // sm_90a's kernels take long to compile: a width that is no multiple of anything, and those below.
    const size_t step = target == "sm_90a" ? more.size() : target == "sm_100a" || target == "sm_120a" ? 1 : 5;
    for (size_t i = target == "sm_90a" ? 3 : 0; i < more.size(); i += step) cases.push_back(more[i]);
  }
  // Tiles of 96 tokens in both GEMMs, for which a power of two is shared by more of h than a thread block of
  // GEMM1 makes at once; what is left of h is no multiple of it.
  if (target == "sm_90a")
    cases.push_back({.name = "mxfp8, tiles of 96", .hidden = 32, .intermediate = 416, .tokens = 86});
  for (Case& c : cases) c.experts = 6, c.mxfp8 = true;
  if (target == "sm_90a")
    cases.push_back({.name = "mxfp8, more tiles than thread blocks",
                     .hidden = 288,
                     .intermediate = 416,
                     .experts = 48,
                     .tokens = 40,
                     .x_padding = 64,
                     .mxfp8 = true,
                     .max_per_rms = 2.5e-1});  // Hopper's sums of fp8: a value of h rounds to the next code
  // More slots than one block of align takes, and two that quantise beside those that sort.
  if (target == "sm_90a" || target == "sm_120a") {
    cases.push_back({.name = "mxfp8, two launches of align",
                     .hidden = 32,
                     .intermediate = 32,
                     .experts = 9,
                     .top_k = 8,
                     .tokens = 520,
                     .valid_tokens = 514,
                     .ids = Ids::some_skipped,
                     .mxfp8 = true});
  }
  return cases;
}

std::vector<gemm_fp8_oracle::Case> fp8_cases() {
  using gemm_fp8_oracle::ScaleType;
  return {
      {.name = "m1", .n = 64, .k = 128},
      {.name = "tails", .m = 17, .n = 65, .k = 272},
      {.name = "e8m0", .m = 5, .n = 40, .k = 144, .a_scale = ScaleType::e8m0, .b_scale = ScaleType::e8m0},
      {.name = "f32 out, m major", .m = 9, .n = 130, .k = 128, .out_f32 = true, .m_major = true, .d_gap = 3},
      {.name = "gaps", .m = 7, .n = 24, .k = 80, .a_gap = 16, .b_gap = 16, .sa_gap = 1, .d_gap = 1},
      {.name = "NaN", .m = 21, .n = 24, .k = 144, .a_scale = ScaleType::e8m0, .nans = true},
      {.name = "all codes", .m = 16, .n = 32, .k = 128, .all_codes = true},
      {.name = "k0", .m = 2, .n = 10, .k = 0},
      {.name = "m0", .m = 0},
      {.name = "n0", .m = 5, .n = 0},
      {.name = "extreme scales",
       .m = 3,
       .n = 24,
       .k = 144,
       .a_scale = ScaleType::e8m0,
       .b_scale = ScaleType::e8m0,
       .extreme_scales = true},
  };
}

class Emulated : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto target = Target::parse(GetParam());
    ASSERT_TRUE(target.ok());
    auto device = make_emulated_device(*target);
    ASSERT_TRUE(device.ok()) << device.error().message;
    ContextOptions options;
    options.database = ":memory:";
    auto opened = Context::open(std::move(options), std::move(*device));
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    context = *opened;
  }
  // Each target takes another share of the configs.
  void run(TestCase test, size_t turn, size_t turns) {
    const std::string name = test.name;
    const size_t target =
        static_cast<size_t>(std::find(kTargets.begin(), kTargets.end(), GetParam()) - kTargets.begin());
    const auto failures = run_case(context, std::move(test), target * turns + turn, turns * kTargets.size(),
                                   kConfigsPerCase, &coverage);
    EXPECT_TRUE(failures.empty()) << name << ": " << join(failures, "\n");
  }
  // Of each variant of each tuned stage at least one config ran, and the named ones exist.
  void expect_every_variant(const std::vector<std::string>& must_exist) {
    auto variants_of = [](const std::set<std::string>& configs) {
      std::set<std::string> variants;
      for (const std::string& config : configs) variants.insert(variant_of(config));
      return variants;
    };
    EXPECT_EQ(variants_of(coverage.ran), variants_of(coverage.feasible));
    EXPECT_THAT(variants_of(coverage.ran), ::testing::IsSupersetOf(must_exist));
    EXPECT_TRUE(coverage.refused.empty()) << coverage.refused.begin()->second;
  }
  std::shared_ptr<Context> context;
  Coverage coverage;
};

TEST_P(Emulated, MoeMxfp4) {
  const std::vector<Case> cases = moe_cases();
  for (size_t i = 0; i < cases.size(); ++i) run(make_moe_case(cases[i]), i, cases.size());
  expect_every_variant({"gemm1=mma", "gemm1=reference", "gemm2=mma", "gemm2=reference"});
}

TEST_P(Emulated, MoeMxfp4WithMxfp8) {
  const std::vector<Case> cases = mxfp8_cases(GetParam());
  for (size_t i = 0; i < cases.size(); ++i) run(make_moe_case(cases[i]), i, cases.size());
  const std::string variant = mxfp8_variant(GetParam());
  expect_every_variant({"gemm1=" + variant, "gemm1=reference", "gemm2=" + variant, "gemm2=reference"});
}

TEST_P(Emulated, GemmFp8Block) {
  const std::vector<gemm_fp8_oracle::Case> cases = fp8_cases();
  for (size_t i = 0; i < cases.size(); ++i) run(make_fp8_case(cases[i]), i, cases.size());
  expect_every_variant({"gemm=mma", "gemm=reference"});
}

INSTANTIATE_TEST_SUITE_P(Targets, Emulated, ::testing::ValuesIn(kTargets),
                         [](const ::testing::TestParamInfo<std::string>& target) { return target.param; });

}  // namespace
}  // namespace rtjit::testing
