// The kernels through the real compiler: the smem formula, the declared features and the resources hold on
// every target.
#include "compiler/compile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "templates/launch_plan.h"
#include "tests/compiler/nvrtc_fixture.h"
#include "tests/templates/gemm_fp8_block/fp8_template.h"

namespace rtjit {
namespace {

using testing::fp8_problem;
using testing::fp8_template;
using ::testing::IsEmpty;

class Fp8Compile : public NvrtcTest {
 protected:
  CompileRequest request(const Variant& variant, const Target& target) const {
    CompileRequest result;
    result.tmpl = tmpl_;
    result.source = variant.source;
    result.target = target;
    return result;
  }

  // Compiles one config and checks what must hold for all.
  void check(const char* target_name, const char* variant_name, const char* config_keys, const char* keys) {
    SCOPED_TRACE(std::string(target_name) + " " + variant_name + " " + config_keys + " " + keys);
    const Variant& variant = *tmpl_->find_variant("gemm", variant_name);
    const Target target = *Target::parse(target_name);
    const Config config = *make_config(variant, *parse_key_values(config_keys));
    const Result<VariantFacts> facts = evaluate_variant(*tmpl_, tmpl_->stages[0], variant, config,
                                                        fp8_problem(*tmpl_, keys), target.facts());
    ASSERT_TRUE(facts.ok()) << facts.error().message;
    ASSERT_THAT(facts->violated, IsEmpty());
    CompileRequest request = this->request(variant, target);
    for (const auto& kernel : facts->kernels) request.name_expressions.push_back(kernel.name_expression);
    request.smem_bytes = facts->smem;
    const Result<CompileOutcome> outcome = rtjit::compile(*nvrtc_, request);
    ASSERT_TRUE(outcome.ok()) << outcome.error().message;
    ASSERT_NE(outcome->binary, nullptr) << outcome->reject.reason << "\n" << outcome->reject.log;
    std::set<std::string> used;
    for (const FeatureUse& use : outcome->binary->features) used.insert(use.feature);
    EXPECT_EQ(used, std::set<std::string>(facts->features.begin(), facts->features.end()));
    for (const auto& kernel : outcome->binary->kernels) {
      EXPECT_LE(kernel.resources.registers * facts->threads, 65536);
      EXPECT_LE(kernel.resources.spill_stores + kernel.resources.spill_loads, 32);
      EXPECT_EQ(kernel.resources.max_threads, facts->threads);
    }
  }

  std::shared_ptr<const Template> tmpl_ = std::make_shared<const Template>(fp8_template());
};

TEST_F(Fp8Compile, ReferenceRunsAnywhere) {
  for (const char* target : {"sm_75", "sm_90a", "sm_121a"}) {
    check(target, "reference", "acc=f64", "n=64,k=128");
    check(target, "reference", "acc=f32",
          "n=64,k=128,out=f32,a_scale=e8m0,b_scale=e8m0,a_scale_layout=m_major");
  }
}

TEST_F(Fp8Compile, DefaultsOnEveryFamily) {
  const Variant& mma = *tmpl_->find_variant("gemm", "mma");
  for (const char* name : {"sm_80", "sm_86", "sm_89", "sm_90a", "sm_100a", "sm_103a", "sm_120a", "sm_121a"}) {
    for (const char* keys : {"n=4096,k=7168", "n=4096,k=7168,out=f32,a_scale=e8m0,b_scale=e8m0"}) {
      std::set<std::string> done;
      for (int64_t bucket : tmpl_->buckets) {
        const auto found = default_config(*tmpl_, tmpl_->stages[0], mma, fp8_problem(*tmpl_, keys), bucket,
                                          Target::parse(name)->facts());
        ASSERT_TRUE(found.ok()) << found.error().message;
        const std::string config = found->value().canonical();
        if (done.insert(config).second) check(name, "mma", config.c_str(), keys);
      }
    }
  }
}

// A kernel compiled with another number than its storage needs must not compile.
TEST_F(Fp8Compile, WrongSharedMemoryIsRefused) {
  const Variant& mma = *tmpl_->find_variant("gemm", "mma");
  CompileRequest request = this->request(mma, *Target::parse("sm_89"));
  const Config config = *make_config(mma, *parse_key_values("block_m=16,block_n=32,warps=4,stages=3"));
  const VariantFacts facts = *evaluate_variant(*tmpl_, tmpl_->stages[0], mma, config,
                                               fp8_problem(*tmpl_, "n=64,k=128"), request.target.facts());
  request.name_expressions = {facts.kernels.at(0).name_expression};
  request.smem_bytes = facts.smem - 128;
  const Result<CompileOutcome> outcome = rtjit::compile(*nvrtc_, request);
  ASSERT_TRUE(outcome.ok()) << outcome.error().message;
  ASSERT_EQ(outcome->binary, nullptr);
  EXPECT_THAT(outcome->reject.log, ::testing::HasSubstr("smem formula"));
}

}  // namespace
}  // namespace rtjit
