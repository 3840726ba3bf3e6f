// moe_mxfp4 where a token's results may be added up in any order: every variant of gemm2 that can add into
// out, on the problems in which it matters what is added where.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <ostream>

#include "base/text.h"
#include "emulator/emulated_device.h"
#include "tests/device/cases/config_plan.h"
#include "tests/device/cases/moe_test_case.h"

namespace rtjit::testing {
namespace {

using check::Case;

// Few different problems, whose kernels are compiled once. `all`: not only some of them, for the targets that
// run code which others do not.
std::vector<Case> any_order_cases(bool mxfp8, bool all) {
  using Ids = Case::Ids;
  std::vector<Case> cases = {
      {.name = "some skipped", .tokens = 9, .ids = Ids::some_skipped},
      {.name = "tokens 17", .tokens = 17},
      {.name = "one token", .tokens = 1},
      {.name = "no tokens", .tokens = 0},
      {.name = "one expert", .tokens = 70, .ids = Ids::one_expert},
      {.name = "all skipped", .tokens = 4, .ids = Ids::all_skipped, .nan_x = true},
      {.name = "an expert twice", .tokens = 7, .ids = Ids::duplicates},
      {.name = "rows beyond num_valid_tokens", .tokens = 9, .valid_tokens = 5},
      {.name = "no valid tokens", .tokens = 4, .valid_tokens = 0},
      {.name = "scale byte 255", .tokens = 6, .scales = Case::Scales::some_nan},
      {.name = "i16 ids, bf16 weights", .tokens = 5, .id_bytes = 2, .weight_bytes = 2},
  };
  if (!all) cases.resize(2);
  for (Case& c : cases) {
    c.hidden = 96, c.intermediate = 160, c.experts = 6;  // both widths end in half a tile
  }
  // More slots than one block of align takes, and as many numbers per sum as are allowed.
  cases.push_back({.name = "two launches of align",
                   .hidden = 32,
                   .intermediate = 32,
                   .experts = 9,
                   .top_k = 8,
                   .tokens = 514,
                   .ids = Ids::some_skipped});
  for (Case& c : cases) c.mxfp8 = mxfp8, c.any_order = true;
  return cases;
}

// A config per variant of gemm2 that adds into out, of those in the middle: neither the least nor the
// largest.
std::vector<std::string> adding_configs(const StageConfigs& gemm2) {
  std::map<std::string, std::vector<std::string>> by_variant;
  for (const std::string& config : gemm2.all) {
    if (config.ends_with("store=add")) by_variant[variant_of(config)].push_back(config);
  }
  std::vector<std::string> chosen;
  for (const auto& [variant, configs] : by_variant) chosen.push_back(configs[configs.size() / 2]);
  return chosen;
}

struct Where {
  const char* target;
  bool mxfp8, all;
  std::vector<std::string> variants;
};

void PrintTo(const Where& where, std::ostream* out) { *out << where.target; }

class AnyOrder : public ::testing::TestWithParam<Where> {
 protected:
  void SetUp() override {
    auto device = make_emulated_device(*Target::parse(GetParam().target));
    ASSERT_TRUE(device.ok()) << device.error().message;
    ContextOptions options;
    options.database = ":memory:";
    auto opened = Context::open(std::move(options), std::move(*device));
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    context = *opened;
  }
  std::shared_ptr<Context> context;
};

TEST_P(AnyOrder, EveryVariantThatAddsIsRight) {
  double worst = 0;
  for (Case& c : any_order_cases(GetParam().mxfp8, GetParam().all)) {
    SCOPED_TRACE(c.name);
    TestCase test = make_moe_case(c);
    auto stages = feasible_configs(*context, test);
    ASSERT_TRUE(stages.ok()) << stages.error().message;
    const std::vector<std::string> configs = adding_configs(stages->back());
    std::vector<std::string> variants;
    for (const std::string& config : configs) variants.push_back(variant_of(config));
    EXPECT_EQ(variants, GetParam().variants);
    const std::string problem = test.problem;
    auto on_device = CaseOnDevice::create(context->device(), std::move(test));
    ASSERT_TRUE(on_device.ok()) << on_device.error().message;
    for (const std::string& config : configs) {
      SCOPED_TRACE(config);
      OpenOptions open;
      open.miss_policy = MissPolicy::use_default;
      open.max_bucket = std::max(c.tokens, 1);
      open.configs = {"gemm1=reference:acc=f32", config};
      auto handle = KernelHandle::open(context, "moe_mxfp4", problem, open);
      ASSERT_TRUE(handle.ok()) << handle.error().message;
      auto judgement = (*on_device)->run(**handle);
      ASSERT_TRUE(judgement.ok()) << judgement.error().message;
      EXPECT_EQ(judgement->wrong, "");
      worst = std::max(worst, judgement->rel_l2);
    }
  }
  RecordProperty("worst_rel_l2", fmt::format("{:.2e}", worst));
}

INSTANTIATE_TEST_SUITE_P(
    Targets, AnyOrder,
    ::testing::Values(Where{"sm_90a", false, true, {"gemm2=mma", "gemm2=stream", "gemm2=wgmma"}},
                      Where{"sm_100a", true, true, {"gemm2=mma_mxfp8", "gemm2=tcgen05"}},
                      Where{"sm_120a", false, false, {"gemm2=mma"}},
                      Where{"sm_121a", true, false, {"gemm2=mxf8f6f4"}}),
    [](const ::testing::TestParamInfo<Where>& where) {
      return fmt::format("{}_{}", where.param.target, where.param.mxfp8 ? "mxfp8" : "bf16");
    });

}  // namespace
}  // namespace rtjit::testing
