// The limits on errors that a problem is judged by.
#include <gtest/gtest.h>

#include "compiler/target.h"
#include "templates/registry.h"
#include "tuner/verify.h"

namespace rtjit {
namespace {

TEST(VerifySpec, HasTheLimitsOfTheFirstCaseThatHolds) {
  const auto registry = TemplateRegistry::create();
  ASSERT_TRUE(registry.ok());
  Template tmpl = **(*registry)->find("moe_mxfp4");
  const auto problem = [&](const std::string& more) {
    return *make_problem(
        tmpl, *parse_key_values("hidden=2880,intermediate=2880,experts=32,top_k=4,activations=" + more));
  };
  const auto on = [](const char* target) { return Target::parse(target)->facts(); };
  EXPECT_EQ(verify_spec(tmpl, problem("bf16"), on("sm_90a")).max_err_per_rms, 5e-2);
  EXPECT_EQ(verify_spec(tmpl, problem("mxfp8"), on("sm_90a")).max_err_per_rms, 0.25);
  EXPECT_EQ(verify_spec(tmpl, problem("mxfp8"), on("sm_90a")).max_rel_l2, 6e-3);
  for (const char* target : {"sm_80", "sm_89", "sm_100a", "sm_120a", "sm_121"}) {
    EXPECT_EQ(verify_spec(tmpl, problem("mxfp8"), on(target)).max_err_per_rms, 5e-2) << target;
  }

  tmpl.verify.cases = {{"hidden / (experts - 32) > 0", 1, 1},  // no number: it does not hold
                       {"hidden > 3000", 2, 2},
                       {"hidden > 2000 && target.smem_per_block < 200000", 6, 6},
                       {"hidden > 2000", 3, 4},
                       {"1", 5, 5}};
  const VerifySpec spec = verify_spec(tmpl, problem("bf16"), on("sm_90a"));
  EXPECT_EQ(spec.max_rel_l2, 3);
  EXPECT_EQ(spec.max_err_per_rms, 4);
  EXPECT_EQ(spec.outputs, tmpl.verify.outputs);
}

TEST(VerifySpec, WantsTheSameBitsOnlyOfProblemsThatPromiseThem) {
  const auto registry = TemplateRegistry::create();
  ASSERT_TRUE(registry.ok());
  Template tmpl = **(*registry)->find("moe_mxfp4");
  const auto problem = [&](const std::string& sums) {
    return *make_problem(tmpl,
                         *parse_key_values("hidden=2880,intermediate=2880,experts=32,top_k=4,sums=" + sums));
  };
  const auto hopper = Target::parse("sm_90a")->facts();
  EXPECT_TRUE(verify_spec(tmpl, problem("ordered"), hopper).deterministic);
  EXPECT_FALSE(verify_spec(tmpl, problem("any_order"), hopper).deterministic);
  tmpl.verify.deterministic_when = "hidden / (experts - 32)";  // no number: nothing is let off
  EXPECT_TRUE(verify_spec(tmpl, problem("any_order"), hopper).deterministic);
  tmpl.verify.deterministic = false;
  tmpl.verify.deterministic_when = "1";
  EXPECT_FALSE(verify_spec(tmpl, problem("ordered"), hopper).deterministic);
}

}  // namespace
}  // namespace rtjit
