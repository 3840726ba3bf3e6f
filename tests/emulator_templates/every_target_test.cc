// Every built-in template, every target that one of its variants names: the variant has a config there, and
// runs right on the emulator. A new target, template or variant is taken in by itself.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "emulator/emulated_device.h"
#include "tests/device/cases/config_plan.h"
#include "tests/device/cases/fp8_test_case.h"
#include "tests/device/cases/moe_test_case.h"
#include "tests/emulator_templates/emulated_targets.h"

namespace rtjit::testing {
namespace {

// Small problems with a tail in every dimension, which between them every variant can take. Nothing for a
// template that has none: that is a failure.
std::vector<TestCase> small_cases(const std::string& tmpl) {
  std::vector<TestCase> cases;
  if (tmpl == "moe_mxfp4") {
    for (const bool mxfp8 : {false, true}) {
      cases.push_back(make_moe_case(
          {.name = "small", .hidden = 96, .intermediate = 160, .experts = 6, .tokens = 5, .mxfp8 = mxfp8}));
    }
  }
  if (tmpl == "gemm_fp8_block") cases.push_back(make_fp8_case({.name = "small", .m = 17, .n = 65, .k = 272}));
  return cases;
}

// Configs of a stage that between them have each variant, and of each variant each value that is a word, but
// for those that `seen` has from another case.
std::vector<std::string> representatives(const StageConfigs& stage, std::set<std::string>& seen) {
  std::vector<std::string> chosen;
  for (const std::string& config : stage.all) {
    std::vector<std::string> traits = {variant_of(config)};
    for (const std::string& setting : split(config.substr(config.find(':') + 1), ',')) {
      const char first = setting.empty() ? '0' : setting[setting.find('=') + 1];
      if (first > '9') traits.push_back(traits.front() + ' ' + setting);
    }
    bool is_new = false;
    for (const std::string& trait : traits) is_new |= seen.insert(trait).second;
    if (is_new) chosen.push_back(config);
  }
  return chosen;
}

class EveryTarget : public ::testing::TestWithParam<std::string> {
 protected:
  // Runs representatives of what is feasible for the problem, and notes their variants.
  static void run_case(const std::shared_ptr<Context>& context, const std::string& name, TestCase test,
                       std::set<std::string>* seen, std::set<std::string>* covered) {
    auto stages = feasible_configs(*context, test);
    ASSERT_TRUE(stages.ok()) << stages.error().message;
    std::vector<std::vector<std::string>> chosen;
    size_t sets = 0;
    for (const StageConfigs& stage : *stages) {
      chosen.push_back(representatives(stage, *seen));
      sets = std::max(sets, chosen.back().size());
      for (const std::string& config : chosen.back()) covered->insert(variant_of(config));
      if (chosen.back().empty()) chosen.back().push_back(stage.all.front());  // for what the others have
    }
    const std::vector<std::string>& mains = main_targets();
    if (std::find(mains.begin(), mains.end(), GetParam()) != mains.end())
      return;  // templates_test.cc runs it

    auto on_device = CaseOnDevice::create(context->device(), std::move(test));
    ASSERT_TRUE(on_device.ok()) << on_device.error().message;
    for (size_t i = 0; i < sets; ++i) {
      OpenOptions open;
      open.miss_policy = MissPolicy::use_default;
      open.max_bucket = (*on_device)->test().value;
      for (const auto& configs : chosen) open.configs.push_back(configs[std::min(i, configs.size() - 1)]);
      SCOPED_TRACE(join(open.configs, " "));
      auto handle = KernelHandle::open(context, name, (*on_device)->test().problem, open);
      ASSERT_TRUE(handle.ok()) << handle.error().message;
      auto judgement = (*on_device)->run(**handle);
      ASSERT_TRUE(judgement.ok()) << judgement.error().message;
      EXPECT_EQ(judgement->wrong, "");
    }
  }
};

TEST_P(EveryTarget, RunsEachVariantThatNamesIt) {
  auto target = Target::parse(GetParam());
  ASSERT_TRUE(target.ok());
  auto device = make_emulated_device(*target);
  ASSERT_TRUE(device.ok()) << device.error().message;
  ContextOptions options;
  options.database = ":memory:";
  auto context = Context::open(std::move(options), std::move(*device));
  ASSERT_TRUE(context.ok()) << context.error().message;

  for (const std::string& name : (*context)->registry().names()) {
    SCOPED_TRACE(name);
    std::vector<TestCase> cases = small_cases(name);
    ASSERT_FALSE(cases.empty()) << "this template needs a case here";
    auto tmpl = (*context)->registry().find(name);
    ASSERT_TRUE(tmpl.ok());
    std::set<std::string> named;
    for (const Stage& stage : (*tmpl)->stages) {
      for (const Variant& variant : stage.variants) {
        auto matches = target->matches(variant.targets);
        ASSERT_TRUE(matches.ok()) << matches.error().message;
        if (stage.tuned && *matches) named.insert(stage.name + '=' + variant.name);
      }
    }
    std::set<std::string> seen, covered;
    for (TestCase& test : cases) run_case(*context, name, std::move(test), &seen, &covered);
    EXPECT_EQ(covered, named) << "a variant names this target but has no config for it";
  }
}

std::vector<std::string> all_targets() {
  std::vector<std::string> names;
  for (const Target& target : Target::all()) names.push_back(target.name());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Targets, EveryTarget, ::testing::ValuesIn(all_targets()),
                         [](const ::testing::TestParamInfo<std::string>& target) { return target.param; });

}  // namespace
}  // namespace rtjit::testing
