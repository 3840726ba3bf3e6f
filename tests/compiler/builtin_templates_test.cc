// The built-in templates, each variant's default config on several targets: they compile, and their manifests
// declare exactly the features that their PTX uses. What compiling costs is compile_bench's to say.
#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "compiler/compile_pool.h"
#include "compiler/features.h"
#include "templates/launch_plan.h"
#include "templates/registry.h"
#include "tests/compiler/nvrtc_fixture.h"

namespace rtjit {
namespace {

struct Case {
  std::string name;
  std::string targets;  // what the variant covers
  std::set<std::string> declared;
  std::shared_future<Result<CompileOutcome>> outcome;
};

bool everywhere(const std::string& feature, const std::string& pattern) {
  return std::all_of(Target::all().begin(), Target::all().end(), [&](const Target& target) {
    Result<bool> covered = target.matches(pattern);
    return !covered || !*covered || supports(target, feature);
  });
}

class BuiltinTemplates : public NvrtcTest {
 protected:
  // Every variant that covers `target` and whose default config fits it, for the first preset of each
  // template.
  std::vector<Case> cases(const std::string& target_name, CompilePool& pool) {
    std::vector<Case> made;
    Target target = *Target::parse(target_name);
    auto registry = TemplateRegistry::create();
    EXPECT_TRUE(registry.ok()) << registry.error().message;
    if (!registry) return made;
    for (const std::string& name : (*registry)->names()) {
      auto tmpl = (*registry)->find(name);
      auto preset = std::find_if((*registry)->presets().begin(), (*registry)->presets().end(),
                                 [&](const Preset& each) { return each.problems.count(name) != 0; });
      if (!tmpl || preset == (*registry)->presets().end()) continue;
      auto problem = make_problem(**tmpl, preset->problems.find(name)->second);
      EXPECT_TRUE(problem.ok()) << problem.error().message;
      if (!problem) continue;
      for (const Stage& stage : (*tmpl)->stages)
        for (const Variant& variant : stage.variants)
          add(target, *tmpl, stage, variant, *problem, pool, made);
    }
    return made;
  }

 private:
  void add(const Target& target, const std::shared_ptr<const Template>& tmpl, const Stage& stage,
           const Variant& variant, const Problem& problem, CompilePool& pool, std::vector<Case>& made) {
    Result<bool> covered = target.matches(variant.targets);
    ASSERT_TRUE(covered.ok()) << covered.error().message;
    if (!*covered) return;
    std::set<std::string> seen;  // buckets may share a default
    for (int64_t bucket : {tmpl->buckets.front(), tmpl->buckets.back()}) {
      auto config = default_config(*tmpl, stage, variant, problem, bucket, target.facts());
      ASSERT_TRUE(config.ok()) << config.error().message;
      if (!*config || !seen.insert((*config)->canonical()).second) continue;
      auto facts = evaluate_variant(*tmpl, stage, variant, **config, problem, target.facts());
      ASSERT_TRUE(facts.ok()) << facts.error().message;
      Case each;
      each.name = fmt::format("{} {}/{}[{}] on {}", tmpl->name, stage.name, variant.name,
                              (*config)->canonical(), target.name());
      each.targets = variant.targets;
      each.declared.insert(facts->features.begin(), facts->features.end());
      bool missing = std::any_of(facts->features.begin(), facts->features.end(),
                                 [&](const std::string& feature) { return !supports(target, feature); });
      if (missing || facts->smem > target.limits().smem_per_block || !facts->violated.empty()) continue;
      CompileRequest request;
      request.tmpl = tmpl;
      request.source = variant.source;
      for (const auto& kernel : facts->kernels) request.name_expressions.push_back(kernel.name_expression);
      request.smem_bytes = facts->smem;
      request.target = target;
      each.outcome = pool.submit(std::move(request));
      made.push_back(std::move(each));
    }
  }
};

TEST_F(BuiltinTemplates, DeclareTheFeaturesTheyUse) {
  CompilePool pool(nvrtc_, 2);
  for (const char* target : {"sm_75", "sm_80", "sm_89", "sm_90a", "sm_100a", "sm_120a", "sm_121a"}) {
    std::vector<Case> all = cases(target, pool);
    EXPECT_FALSE(all.empty() && std::string(target) != "sm_75");
    for (const Case& each : all) {
      SCOPED_TRACE(each.name);
      const Result<CompileOutcome>& outcome = each.outcome.get();
      ASSERT_TRUE(outcome.ok()) << outcome.error().message;
      ASSERT_TRUE(outcome->binary) << outcome->reject.reason << "\n" << outcome->reject.log;
      std::set<std::string> used;
      for (const FeatureUse& use : outcome->binary->features) used.insert(use.feature);
      for (const std::string& feature : each.declared)
        EXPECT_TRUE(used.count(feature)) << feature << " is not used";
      for (const std::string& feature : used)
        EXPECT_TRUE(each.declared.count(feature) || everywhere(feature, each.targets))
            << feature << " is not declared";
    }
  }
}

}  // namespace
}  // namespace rtjit
