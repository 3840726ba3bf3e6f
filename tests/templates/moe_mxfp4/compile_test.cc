// The kernels for MXFP8 activations through the real compiler: what the manifest says of features, shared
// memory and registers holds, and nothing spills. (The others: tests/compiler/builtin_templates_test.cc.)
#include "compiler/compile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "templates/launch_plan.h"
#include "templates/registry.h"
#include "tests/compiler/nvrtc_fixture.h"

namespace rtjit {
namespace {

using ::testing::IsEmpty;

class MoeCompile : public NvrtcTest {
 protected:
  MoeCompile() : registry_(*TemplateRegistry::create()), tmpl_(*registry_->find("moe_mxfp4")) {}

  void check(const Target& target, const Stage& stage, const Variant& variant, const Config& config,
             const Problem& problem) {
    SCOPED_TRACE(target.name() + " " + stage.name + "=" + variant.name + ":" + config.canonical());
    const auto facts = evaluate_variant(*tmpl_, stage, variant, config, problem, target.facts());
    ASSERT_TRUE(facts.ok()) << facts.error().message;
    ASSERT_THAT(facts->violated, IsEmpty());
    CompileRequest request;
    request.tmpl = tmpl_;
    request.source = variant.source;
    request.target = target;
    for (const auto& kernel : facts->kernels) request.name_expressions.push_back(kernel.name_expression);
    request.smem_bytes = facts->smem;
    const Result<CompileOutcome> outcome = rtjit::compile(*nvrtc_, request);
    ASSERT_TRUE(outcome.ok()) << outcome.error().message;
    ASSERT_NE(outcome->binary, nullptr) << outcome->reject.reason << "\n" << outcome->reject.log;
    std::set<std::string> used;
    for (const FeatureUse& use : outcome->binary->features) used.insert(use.feature);
    EXPECT_EQ(used, std::set<std::string>(facts->features.begin(), facts->features.end()));
    for (const auto& kernel : outcome->binary->kernels) {
      if (facts->predicted_registers > 0) {
        EXPECT_LE(kernel.resources.registers, facts->predicted_registers);
      }
      EXPECT_EQ(kernel.resources.spill_stores + kernel.resources.spill_loads, 0);
    }
    times_.push_back(outcome->binary->compile_ms);
  }

  // The default configs of a variant in both GEMMs for these bucket sizes.
  void check_defaults(const char* target_name, const char* variant_name,
                      const std::vector<int64_t>& buckets) {
    const Target target = *Target::parse(target_name);
    const Problem problem = *make_problem(
        *tmpl_, *parse_key_values("hidden=2880,intermediate=2880,experts=128,top_k=4,bias=bf16,limited=1,"
                                  "activations=mxfp8"));
    for (const char* name : {"gemm1", "gemm2"}) {
      const Stage& stage = *tmpl_->find_stage(name);
      const Variant& variant = *tmpl_->find_variant(name, variant_name);
      std::set<std::string> done;
      for (int64_t bucket : buckets) {
        const auto config = default_config(*tmpl_, stage, variant, problem, bucket, target.facts());
        ASSERT_TRUE(config.ok()) << config.error().message;
        ASSERT_TRUE(config->has_value());
        if (done.insert((*config)->canonical()).second) check(target, stage, variant, **config, problem);
      }
    }
  }

  std::shared_ptr<const TemplateRegistry> registry_;
  std::shared_ptr<const Template> tmpl_;
  std::vector<double> times_;
};

TEST_F(MoeCompile, DefaultsForMxfp8) {
  check_defaults("sm_120a", "mxf8f6f4", {1, 512, 2048});
  check_defaults("sm_121a", "mxf8f6f4", {1});
  check_defaults("sm_100a", "tcgen05", {1, 2048, 8192});
  check_defaults("sm_103a", "tcgen05", {8192});
  check_defaults("sm_90a", "wgmma_fp8", {1, 1024, 8192});
  check_defaults("sm_80", "mma_mxfp8", {64, 8192});
  check_defaults("sm_120", "mma_mxfp8", {1});
  std::sort(times_.begin(), times_.end());
  std::cout << times_.size() << " configs, compile time median " << times_[times_.size() / 2] << " ms\n";
}

TEST_F(MoeCompile, ReferenceForMxfp8RunsAnywhere) {
  for (const char* target : {"sm_75", "sm_80", "sm_90a", "sm_120a"}) check_defaults(target, "reference", {1});
}

TEST_F(MoeCompile, ScatterStoreOfTcgen05) {
  const Problem problem = *make_problem(
      *tmpl_, *parse_key_values("hidden=2880,intermediate=2880,experts=128,top_k=4,activations=mxfp8"));
  const Variant& variant = *tmpl_->find_variant("gemm2", "tcgen05");
  check(*Target::parse("sm_100a"), *tmpl_->find_stage("gemm2"), variant,
        *make_config(variant, *parse_key_values("block_m=64,block_n=256,stages=3,store=scatter4")), problem);
}

}  // namespace
}  // namespace rtjit
