// The template's manifest: what a problem may be, sizes, defaults and which targets get scatter4.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "compiler/features.h"
#include "compiler/target.h"
#include "templates/launch_plan.h"
#include "templates/registry.h"

namespace rtjit {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kGptOss = "hidden=2880,intermediate=2880,experts=32,top_k=4,bias=bf16,limited=1";
constexpr const char* kDeepSeek =
    "hidden=4096,intermediate=2048,experts=256,top_k=6,layout=halves_gate_up,activation=silu,limited=1,limit="
    "10";
constexpr const char* kTensorParallel =
    "hidden=2880,intermediate=192,experts=128,top_k=4,bias=bf16,limited=1";

std::shared_ptr<const Template> moe() {
  static const auto registry = *TemplateRegistry::create();
  return *registry->find("moe_mxfp4");
}

Problem problem(const char* keys) { return *make_problem(*moe(), *parse_key_values(keys)); }

TEST(MoeManifest, RefusesWhatTheKernelsCannotDo) {
  for (const char* keys :
       {"hidden=2880,intermediate=2880,experts=32", "hidden=2888,intermediate=2880,experts=32,top_k=4",
        "hidden=2880,intermediate=2880,experts=1025,top_k=4",
        "hidden=2880,intermediate=2880,experts=32,top_k=33",
        "hidden=2880,intermediate=2880,experts=32,top_k=4,activation=relu"}) {
    EXPECT_FALSE(make_problem(*moe(), *parse_key_values(keys)).ok()) << keys;
  }
}

TEST(MoeManifest, PackedWeightsAreAtMostOnePercentLargerThanTheCheckpoint) {
  const TargetFacts facts = Target::parse("sm_90a")->facts();
  for (const char* keys : {kGptOss, kDeepSeek, kTensorParallel}) {
    const Problem p = problem(keys);
    auto plan = LaunchPlan::create(moe(), p, {}, facts, true);
    ASSERT_TRUE(plan.ok()) << plan.error().message;
    const int64_t hidden = p.integer("hidden"), intermediate = p.integer("intermediate");
    const int64_t bias = to_string(*p.find("bias")) == "bf16" ? 2 : 0;
    const int64_t row1 = hidden / 2 + hidden / 32 + bias, row2 = intermediate / 2 + intermediate / 32 + bias;
    const int64_t checkpoint = p.integer("experts") * (2 * intermediate * row1 + hidden * row2);
    const int64_t packed = *plan->total_bytes(BufferSpec::Kind::packed, 1);
    EXPECT_LE(static_cast<double>(packed), 1.01 * static_cast<double>(checkpoint)) << keys;
  }
}

TEST(MoeManifest, DefaultsFitEveryTargetAndBucket) {
  std::vector<std::string> problems;
  for (const char* keys : {kGptOss, kDeepSeek, kTensorParallel}) {
    problems.emplace_back(keys);
    problems.push_back(std::string(keys) + ",activations=mxfp8");
  }
  for (const Target& target : Target::all()) {
    for (const std::string& keys : problems) {
      const Problem p = problem(keys.c_str());
      for (const Stage& stage : moe()->stages) {
        for (const Variant& variant : stage.variants) {
          if (!*target.matches(variant.targets)) continue;
          for (int64_t bucket : moe()->buckets) {
            auto config = default_config(*moe(), stage, variant, p, bucket, target.facts());
            ASSERT_TRUE(config.ok()) << config.error().message;
            if (!*config) continue;
            auto facts = evaluate_variant(*moe(), stage, variant, **config, p, target.facts());
            ASSERT_TRUE(facts.ok()) << facts.error().message;
            EXPECT_THAT(facts->violated, IsEmpty());
            EXPECT_LE(facts->smem, target.limits().smem_per_block);
            EXPECT_LE(facts->threads * facts->predicted_registers, target.limits().registers_per_block);
            for (const std::string& feature : facts->features)
              EXPECT_TRUE(supports(target, feature)) << feature;
          }
        }
      }
    }
  }
}

// The variant that serves an untuned bucket where every variant that covers the target can run.
std::string untuned(const char* stage_name, const char* target_name, const std::string& keys,
                    int64_t bucket) {
  const Stage& stage = *moe()->find_stage(stage_name);
  const Target target = *Target::parse(target_name);
  for (const Variant& variant : stage.variants) {
    if (!*target.matches(variant.targets)) continue;
    auto config = default_config(*moe(), stage, variant, problem(keys.c_str()), bucket, target.facts());
    EXPECT_TRUE(config.ok()) << (config.ok() ? "" : config.error().message);
    if (config.ok() && *config) return variant.name;
  }
  return "";
}

// What the operation needs is no more than what any kernel says that it does.
TEST(MoeManifest, WorkIsBeneathTheCostOfEveryVariant) {
  const TargetFacts facts = Target::parse("sm_90a")->facts();
  for (const char* keys : {kGptOss, kDeepSeek, kTensorParallel}) {
    const Problem p = problem(keys);
    for (const Stage& stage : moe()->stages) {
      if (!stage.tuned) continue;
      for (int64_t tokens : moe()->buckets) {
        const auto work = evaluate_work(*moe(), stage, p, tokens, facts);
        ASSERT_TRUE(work.ok()) << work.error().message;
        EXPECT_GT(work->flops, 0);
        for (const Variant& variant : stage.variants) {
          const auto config = *default_config(*moe(), stage, variant, p, tokens, facts);
          if (!config) continue;
          const auto cost = evaluate_cost(*moe(), stage, variant, *config, p, tokens, facts);
          ASSERT_TRUE(cost.ok()) << cost.error().message;
          EXPECT_LE(work->flops, cost->flops) << stage.name << " " << variant.name << " " << tokens;
          EXPECT_LE(work->bytes, cost->dram_bytes) << stage.name << " " << variant.name << " " << tokens;
        }
      }
    }
  }
}

TEST(MoeManifest, UntunedBucketsGetTheVariantThatSuitsTheirTokensPerExpert) {
  const std::string gpt_oss_120b = "hidden=2880,intermediate=2880,experts=128,top_k=4,bias=bf16,limited=1";
  for (const char* stage : {"gemm1", "gemm2"}) {
    EXPECT_EQ(untuned(stage, "sm_90a", gpt_oss_120b, 1), "stream");
    EXPECT_EQ(untuned(stage, "sm_90a", gpt_oss_120b, 32), "stream");
    EXPECT_EQ(untuned(stage, "sm_90a", gpt_oss_120b, 128), "stream");
    EXPECT_EQ(untuned(stage, "sm_100a", gpt_oss_120b, 128), "mma");
    EXPECT_EQ(untuned(stage, "sm_90a", gpt_oss_120b, 256), "wgmma");
    EXPECT_EQ(untuned(stage, "sm_90a", gpt_oss_120b, 8192), "wgmma");
    EXPECT_EQ(untuned(stage, "sm_100a", gpt_oss_120b, 1), "stream");
    EXPECT_EQ(untuned(stage, "sm_100a", gpt_oss_120b, 8192), "mma");
    EXPECT_EQ(untuned(stage, "sm_120a", gpt_oss_120b, 1), "mma");
    EXPECT_EQ(untuned(stage, "sm_75", gpt_oss_120b, 1), "reference");
    const std::string mxfp8 = gpt_oss_120b + ",activations=mxfp8";
    for (int64_t bucket : {1, 128, 8192}) {
      EXPECT_EQ(untuned(stage, "sm_120a", mxfp8, bucket), "mxf8f6f4");
      EXPECT_EQ(untuned(stage, "sm_121a", mxfp8, bucket), "mxf8f6f4");
      EXPECT_EQ(untuned(stage, "sm_100a", mxfp8, bucket), "tcgen05");
      EXPECT_EQ(untuned(stage, "sm_103a", mxfp8, bucket), "tcgen05");
      EXPECT_EQ(untuned(stage, "sm_90a", mxfp8, bucket), "wgmma_fp8");
      EXPECT_EQ(untuned(stage, "sm_80", mxfp8, bucket), "mma_mxfp8");
      EXPECT_EQ(untuned(stage, "sm_120", mxfp8, bucket), "mma_mxfp8");
      EXPECT_EQ(untuned(stage, "sm_75", mxfp8, bucket), "reference");
    }
    // Wider than a warp's registers hold.
    EXPECT_EQ(untuned(stage, "sm_90a", "hidden=7168,intermediate=7168,experts=128,top_k=4", 1), "mma");
  }
}

// The launches, "align gemm1 gemm2 combine", that run with the variants that serve untuned buckets. The
// reference, which is for comparing, may take more.
std::vector<std::string> untuned_launches(const char* target_name, const std::string& keys, int64_t tokens) {
  const TargetFacts facts = Target::parse(target_name)->facts();
  const Problem p = problem(keys.c_str());
  std::vector<StageChoice> choices;
  for (const Stage& stage : moe()->stages) {
    const std::string name =
        stage.tuned ? untuned(stage.name.c_str(), target_name, keys, tokens) : stage.variants.front().name;
    const Variant& variant = *moe()->find_variant(stage.name, name);
    choices.push_back({stage.name, name, **default_config(*moe(), stage, variant, p, tokens, facts)});
  }
  const auto plan = LaunchPlan::create(moe(), p, choices, facts);
  EXPECT_TRUE(plan.ok()) << (plan.ok() ? "" : plan.error().message);
  if (!plan.ok()) return {};
  std::vector<int64_t> values = plan->base_values();
  values[static_cast<size_t>(plan->scalar_slot("tokens"))] = tokens;
  std::vector<std::string> stages;
  for (const PlanLaunch& launch : plan->launches()) {
    if (*launch.when.evaluate(values) != 0)
      stages.push_back(moe()->stages[static_cast<size_t>(launch.stage)].name);
  }
  return stages;
}

std::string launches_after_align(const char* target_name, const std::string& keys, int64_t tokens) {
  std::vector<std::string> stages = untuned_launches(target_name, keys, tokens);
  std::erase(stages, "align");
  return join(stages, " ");
}

TEST(MoeManifest, ThreeLaunchesFollowAlign) {
  const std::string mxfp8 = std::string(kGptOss) + ",activations=mxfp8";
  for (int64_t tokens : {1, 128, 1024, 1025, 8192}) {
    for (const char* target : {"sm_80", "sm_90a", "sm_100a", "sm_120a"})
      EXPECT_EQ(launches_after_align(target, kGptOss, tokens), "gemm1 gemm2 combine") << target << tokens;
    for (const char* target : {"sm_80", "sm_90a", "sm_100a", "sm_103a", "sm_120a", "sm_121a"})
      EXPECT_EQ(launches_after_align(target, mxfp8, tokens), "gemm1 gemm2 combine") << target << tokens;
  }
}

// Where both GEMMs are stream, up to 64 slots.
TEST(MoeManifest, AFewSlotsNeedNoAlignWhereBothGemmsSortThem) {
  using ::testing::ElementsAre;
  for (int64_t tokens : {1, 16})
    EXPECT_THAT(untuned_launches("sm_90a", kGptOss, tokens), ElementsAre("gemm1", "gemm2", "combine"));
  EXPECT_THAT(untuned_launches("sm_90a", kGptOss, 17), ElementsAre("align", "gemm1", "gemm2", "combine"));
  EXPECT_THAT(untuned_launches("sm_120a", kGptOss, 1), ElementsAre("align", "gemm1", "gemm2", "combine"));
}

TEST(MoeManifest, OnlyScatter4NeedsTheFeatureThatSm121aLacks) {
  const Stage& stage = *moe()->find_stage("gemm2");
  const Variant& mma = *moe()->find_variant("gemm2", "mma");
  const Problem p = problem(kGptOss);
  const Target spark = *Target::parse("sm_121a"), datacenter = *Target::parse("sm_100a");
  KeyValues values = {{"block_m", "32"}, {"block_n", "128"}, {"block_k", "64"},
                      {"warps", "4"},    {"stages", "3"},    {"store", "scatter4"}};
  auto scatter = evaluate_variant(*moe(), stage, mma, *make_config(mma, values), p, spark.facts());
  ASSERT_TRUE(scatter.ok()) << scatter.error().message;
  EXPECT_THAT(scatter->violated, IsEmpty());
  EXPECT_THAT(scatter->features, Contains("tma.tile.scatter4"));
  EXPECT_FALSE(supports(spark, "tma.tile.scatter4"));
  EXPECT_TRUE(supports(datacenter, "tma.tile.scatter4"));
  values.back().second = "plain";
  auto plain = evaluate_variant(*moe(), stage, mma, *make_config(mma, values), p, spark.facts());
  ASSERT_TRUE(plain.ok()) << plain.error().message;
  EXPECT_THAT(plain->features, Not(Contains("tma.tile.scatter4")));
}

TEST(MoeManifest, ASmallProblemKeepsTheRemainders) {
  for (const auto& [key, text] : moe()->verify.small) {
    if (key != "hidden" && key != "intermediate") continue;
    SymbolTable symbols;
    symbols.add(key);
    auto formula = Formula::parse(text, symbols);
    ASSERT_TRUE(formula.ok()) << formula.error().message;
    for (int64_t width : {32, 192, 736, 1440, 2048, 2880, 4096}) {
      const int64_t small = *formula->evaluate({&width, 1});
      EXPECT_EQ(small % 128, width % 128);
      EXPECT_LE(small, std::min<int64_t>(width, 383));
    }
  }
}

// Whether a config of gemm2 adds into out, where the formulas and the target allow any that does.
bool may_add(const char* target_name, const std::string& keys) {
  const Target target = *Target::parse(target_name);
  const Stage& stage = *moe()->find_stage("gemm2");
  const Variant& mma = *moe()->find_variant("gemm2", "mma");
  const Config config =
      *make_config(mma, *parse_key_values("block_m=16,block_n=128,block_k=128,warps=4,stages=3,store=add"));
  auto facts = evaluate_variant(*moe(), stage, mma, config, problem(keys.c_str()), target.facts());
  EXPECT_TRUE(facts.ok()) << (facts.ok() ? "" : facts.error().message);
  EXPECT_THAT(facts->features, Contains("red.bf16x2"));
  return facts->violated.empty() && supports(target, "red.bf16x2");
}

TEST(MoeManifest, ResultsAreAddedIntoOutOnlyWhereTheCallerAllowsIt) {
  const std::string keys = "hidden=2880,intermediate=2880,experts=32,top_k=";
  EXPECT_FALSE(may_add("sm_90a", keys + "4"));
  EXPECT_TRUE(may_add("sm_90a", keys + "4,sums=any_order"));
  EXPECT_TRUE(may_add("sm_121a", keys + "8,sums=any_order"));
  EXPECT_FALSE(may_add("sm_90a", keys + "9,sums=any_order")) << "sums in bf16 would be too far off";
  EXPECT_FALSE(may_add("sm_89", keys + "4,sums=any_order")) << "it has no such instruction";
}

// The other epilogue needs no y and no launch of combine, but zeroes in out.
TEST(MoeManifest, AddingIntoOutReplacesCombine) {
  const TargetFacts facts = Target::parse("sm_90a")->facts();
  const Problem p = problem("hidden=2880,intermediate=2880,experts=32,top_k=4,sums=any_order");
  auto plan_with = [&](const std::string& store) {
    std::vector<StageChoice> choices = {{"align", "count", Config()}};
    for (const char* stage : {"gemm1", "gemm2"}) {
      const Variant& variant = *moe()->find_variant(stage, "wgmma");
      const std::string config =
          "block_m=16,block_n=576,stages=8" + (stage == std::string("gemm2") ? ",store=" + store : "");
      choices.push_back({stage, "wgmma", *make_config(variant, *parse_key_values(config))});
    }
    choices.push_back({"combine", "rows", Config()});
    return *LaunchPlan::create(moe(), p, choices, facts);
  };
  auto kernels_of = [](const LaunchPlan& plan) {
    std::string names;
    for (const PlanLaunch& launch : plan.launches()) names += launch.kernel + " ";
    return names;
  };
  const LaunchPlan stored = plan_with("plain"), added = plan_with("add");
  EXPECT_THAT(kernels_of(stored), HasSubstr("::combine"));
  EXPECT_THAT(kernels_of(stored), HasSubstr("::gemm2_wgmma<"));
  EXPECT_THAT(kernels_of(added), Not(HasSubstr("::combine")));
  EXPECT_THAT(kernels_of(added), HasSubstr("::gemm2_wgmma_add<"));
  const int64_t slots = 8192 * 4;
  EXPECT_EQ(*stored.total_bytes(BufferSpec::Kind::workspace, 8192) -
                *added.total_bytes(BufferSpec::Kind::workspace, 8192),
            slots * (2880 * 2 - 8))
      << "y is not there, a token and a weight per slot are";
  auto blocks_of_align = [&](const LaunchPlan& plan, int64_t tokens) {
    std::vector<int64_t> values = plan.base_values();
    values[static_cast<size_t>(plan.scalar_slot("tokens"))] = tokens;
    return *plan.launches().front().grid[0].evaluate(values);
  };
  EXPECT_EQ(blocks_of_align(stored, 1), 1);
  EXPECT_EQ(blocks_of_align(added, 1), 2);        // 360 pieces of 16 bytes, 2,048 per block
  EXPECT_EQ(blocks_of_align(added, 64), 1 + 12);  // 23,040
  EXPECT_EQ(blocks_of_align(added, 1024), 1 + 180);
}

TEST(MoeManifest, GEMM2IsTimedWithWhatItsEpilogueSaves) {
  const std::string keys = "hidden=2880,intermediate=2880,experts=32,top_k=4,sums=";
  for (const bool any_order : {false, true}) {
    const StageSet timed =
        timed_stages(*moe(), 2, problem((keys + (any_order ? "any_order" : "ordered")).c_str()));
    EXPECT_EQ(timed.has(0), any_order);
    EXPECT_FALSE(timed.has(1));
    EXPECT_TRUE(timed.has(2));
    EXPECT_EQ(timed.has(3), any_order);
  }
}

}  // namespace
}  // namespace rtjit
