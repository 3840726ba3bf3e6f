#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "templates/launch_plan.h"
#include "tests/templates/gemm_fp8_block/fp8_template.h"

namespace rtjit {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::fp8_problem;
using testing::fp8_template;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Fp8Manifest, Loads) {
  const Template tmpl = fp8_template();
  ASSERT_EQ(tmpl.stages.size(), 1u);
  EXPECT_TRUE(tmpl.pack.empty());  // b is used as it is
  EXPECT_TRUE(tmpl.buffers.empty());
  const Variant* reference = tmpl.find_variant("gemm", "reference");
  ASSERT_NE(reference, nullptr);
  EXPECT_TRUE(reference->oracle);
}

TEST(Fp8Manifest, Problems) {
  const Template tmpl = fp8_template();
  EXPECT_EQ(fp8_problem(tmpl, "n=576,k=7168").canonical(),
            "n=576,k=7168,out=bf16,a_scale=f32,a_scale_layout=row_major,b_scale=f32");
  fp8_problem(tmpl, "n=1,k=0,out=f32,a_scale=e8m0,b_scale=e8m0,a_scale_layout=m_major");
  fp8_problem(tmpl, "n=0,k=128");
  Result<Problem> odd = make_problem(tmpl, *parse_key_values("n=64,k=100"));
  ASSERT_FALSE(odd.ok());
  EXPECT_THAT(odd.error().message, HasSubstr("100"));
}

TEST(Fp8Manifest, TheProblemDecidesTheDtypes) {
  const Template tmpl = fp8_template();
  const Problem problem = fp8_problem(tmpl, "n=64,k=128,out=f32,a_scale=e8m0");
  std::map<std::string, std::vector<DType>> accepted;
  for (const ArgumentSpec& argument : tmpl.arguments)
    accepted[argument.name] = accepted_dtypes(argument, problem);
  EXPECT_THAT(accepted["a"], ElementsAre(DType::e4m3));
  EXPECT_THAT(accepted["sa"], ElementsAre(DType::e8m0));
  EXPECT_THAT(accepted["sb"], ElementsAre(DType::f32));
  EXPECT_THAT(accepted["d"], ElementsAre(DType::f32));
}

TEST(Fp8Manifest, SpaceIsSmall) {
  const Template tmpl = fp8_template();
  const Stage& stage = tmpl.stages.at(0);
  const Variant& mma = *tmpl.find_variant("gemm", "mma");
  const Problem problem = fp8_problem(tmpl, "n=4096,k=7168");
  const TargetFacts facts = Target::parse("sm_90a")->facts();
  int allowed = 0;
  for (const char* block_m : {"16", "32", "64", "128"}) {
    for (const char* block_n : {"32", "64", "128"}) {
      for (const char* warps : {"4", "8"}) {
        for (const char* stages : {"3", "4", "6"}) {
          Result<Config> config = make_config(
              mma, {{"block_m", block_m}, {"block_n", block_n}, {"warps", warps}, {"stages", stages}});
          ASSERT_TRUE(config.ok()) << config.error().message;
          Result<VariantFacts> result = evaluate_variant(tmpl, stage, mma, *config, problem, facts);
          ASSERT_TRUE(result.ok()) << result.error().message;
          allowed += result->violated.empty();
        }
      }
    }
  }
  EXPECT_EQ(allowed, 51);
}

TEST(Fp8Manifest, DefaultsFitEveryTargetAndBucket) {
  const Template tmpl = fp8_template();
  const Stage& stage = tmpl.stages.at(0);
  for (const char* keys : {"n=4096,k=7168", "n=576,k=192,out=f32", "n=1,k=0,a_scale=e8m0,b_scale=e8m0"}) {
    const Problem problem = fp8_problem(tmpl, keys);
    for (const Target& target : Target::all()) {
      const TargetFacts facts = target.facts();
      for (const Variant& variant : stage.variants) {
        if (!*target.matches(variant.targets)) continue;
        for (int64_t bucket : tmpl.buckets) {
          auto found = default_config(tmpl, stage, variant, problem, bucket, facts);
          ASSERT_TRUE(found.ok()) << found.error().message;
          const Config config = found->value();
          Result<VariantFacts> result = evaluate_variant(tmpl, stage, variant, config, problem, facts);
          ASSERT_TRUE(result.ok()) << result.error().message;
          EXPECT_THAT(result->violated, IsEmpty()) << target.name() << " " << config.canonical();
          EXPECT_LE(result->smem, facts.smem_per_block) << target.name() << " " << config.canonical();
          EXPECT_LE(result->predicted_registers * result->threads, 65536) << config.canonical();
          ASSERT_TRUE(evaluate_cost(tmpl, stage, variant, config, problem, bucket, facts).ok());
        }
      }
    }
  }
}

TEST(Fp8Manifest, WorkIsThatOfTheProductWithoutPadding) {
  const Template tmpl = fp8_template();
  const Problem problem = fp8_problem(tmpl, "n=4096,k=7168");
  const auto work = evaluate_work(tmpl, tmpl.stages[0], problem, 3, Target::parse("sm_90a")->facts());
  ASSERT_TRUE(work.ok()) << work.error().message;
  EXPECT_EQ(work->flops, 2.0 * 3 * 4096 * 7168);
  EXPECT_EQ(work->bytes, 4096.0 * 7168 + 3 * 7168 + 3 * 4096 * 2 + 3 * 56 * 4 + 32 * 56 * 4);
}

TEST(Fp8Manifest, TensorCoresByTargetAndOutput) {
  const Template tmpl = fp8_template();
  const Variant& mma = *tmpl.find_variant("gemm", "mma");
  const Config config =
      *make_config(mma, {{"block_m", "64"}, {"block_n", "128"}, {"warps", "8"}, {"stages", "4"}});
  const auto facts = [&](const char* target, const char* keys) {
    return *evaluate_variant(tmpl, tmpl.stages[0], mma, config, fp8_problem(tmpl, keys),
                             Target::parse(target)->facts());
  };
  const VariantFacts native = facts("sm_89", "n=4096,k=7168,a_scale=e8m0");
  EXPECT_THAT(native.features, Contains("mma.fp8"));
  ASSERT_EQ(native.kernels.size(), 1u);
  EXPECT_THAT(native.kernels[0].name_expression, HasSubstr("gemm_mma<1, rtjit::gemm_fp8_block::Format::bf16, "
                                                           "rtjit::gemm_fp8_block::Format::e8m0"));
  EXPECT_EQ(native.smem, 4 * (64 + 128) * 128);
  EXPECT_THAT(facts("sm_86", "n=4096,k=7168").features, Contains("mma.bf16"));
  const VariantFacts exact = facts("sm_120a", "n=4096,k=7168,out=f32");
  EXPECT_THAT(exact.features, Contains("mma.bf16"));
  EXPECT_THAT(exact.kernels.at(0).name_expression, HasSubstr("gemm_mma<0,"));
}

// Problems of one kind share a binary: N and K are not in its name.
TEST(Fp8Manifest, DimensionsAreNotInTheKernelName) {
  const Template tmpl = fp8_template();
  std::set<std::string> names;
  for (const char* keys : {"n=4096,k=7168", "n=576,k=192", "n=1,k=16"}) {
    for (const Variant& variant : tmpl.stages[0].variants) {
      const TargetFacts target = Target::parse("sm_90a")->facts();
      const Problem problem = fp8_problem(tmpl, keys);
      const Config config = default_config(tmpl, tmpl.stages[0], variant, problem, 8, target)->value();
      const VariantFacts facts = *evaluate_variant(tmpl, tmpl.stages[0], variant, config, problem, target);
      for (const VariantFacts::Kernel& kernel : facts.kernels) names.insert(kernel.name_expression);
    }
  }
  EXPECT_EQ(names.size(), 2u);
}

}  // namespace
}  // namespace rtjit
