#include "templates/launch_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "tests/templates/pipeline_manifest.h"
#include "tests/templates/test_templates.h"

namespace rtjit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kPipelineManifest;
using testing::parse_pipeline;
using testing::pipeline_sources;
using testing::replaced;

TargetFacts hopper() { return {90, 9, 232448, 233472, 132, 2048, 65536, true}; }

class PlanTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto parsed = parse_pipeline();
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
    template_ = std::make_shared<const Template>(std::move(*parsed));
  }

  Problem problem(const KeyValues& given) { return *make_problem(*template_, given); }

  StageChoice choice(const std::string& stage, const std::string& variant, const std::string& config) {
    return {stage, variant,
            *make_config(*template_->find_variant(stage, variant), *parse_key_values(config))};
  }

  Result<LaunchPlan> create(const KeyValues& given, const std::string& variant, const std::string& config,
                            const TargetFacts& target = hopper()) {
    return LaunchPlan::create(template_, problem(given),
                              {choice("sort", "only", ""), choice("mul", variant, config)}, target);
  }

  LaunchPlan plan(const KeyValues& given, const std::string& variant, const std::string& config) {
    auto created = create(given, variant, config);
    EXPECT_TRUE(created.ok()) << created.error().message;
    return *created;
  }

  // The plan's values with the scalars of a launch.
  std::vector<int64_t> launch_values(const LaunchPlan& plan, int64_t tokens) {
    std::vector<int64_t> values = plan.base_values();
    values[plan.scalar_slot("tokens")] = tokens;
    values[plan.scalar_slot("x_stride")] = 72;
    return values;
  }

  std::shared_ptr<const Template> template_;
};

std::vector<int64_t> evaluate_all(const std::array<Formula, 3>& formulas, std::span<const int64_t> values) {
  std::vector<int64_t> out;
  for (const Formula& formula : formulas) out.push_back(formula.evaluate(values).value_or(-999));
  return out;
}

TEST_F(PlanTest, LaunchesOfTheChosenVariants) {
  LaunchPlan p = plan({{"width", "64"}}, "mma", "block_m=64,split=2");
  ASSERT_EQ(p.launches().size(), 3u);  // mma_bulk is never needed with plain stores
  EXPECT_EQ(p.launches()[0].kernel, "ns::sort");
  EXPECT_EQ(p.launches()[0].stage, 0);
  EXPECT_EQ(p.launches()[1].kernel, "ns::mma<64, 4, ns::Store::plain, ns::Layout::rows, 2>");
  EXPECT_EQ(p.launches()[1].stage, 1);
  EXPECT_EQ(p.launches()[2].kernel, "ns::reduce");

  std::vector<int64_t> values = launch_values(p, 100);
  EXPECT_THAT(evaluate_all(p.launches()[1].grid, values), ElementsAre(2, 2, 1));
  EXPECT_THAT(evaluate_all(p.launches()[1].block, values), ElementsAre(128, 1, 1));
  EXPECT_THAT(evaluate_all(p.launches()[1].cluster, values), ElementsAre(1, 1, 1));
  EXPECT_EQ(p.launches()[1].smem.evaluate(values), 128 * 4 + 64 * 32);
  EXPECT_TRUE(p.launches()[1].pdl);
  EXPECT_FALSE(p.launches()[0].pdl);
  EXPECT_THAT(evaluate_all(p.launches()[1].grid, launch_values(p, 0)), ElementsAre(0, 2, 1));
}

TEST_F(PlanTest, ArgumentsResolveToTheirSources) {
  LaunchPlan p = plan({{"width", "64"}}, "mma", "block_m=64");
  const std::vector<PlanArgument>& mma = p.launches()[1].arguments;
  ASSERT_EQ(mma.size(), 7u);
  EXPECT_EQ(mma[0].kind, PlanArgument::Kind::pointer);
  EXPECT_EQ(mma[0].source, p.pointer_index("x"));
  EXPECT_EQ(mma[2].source, p.pointer_index("packed_w"));
  EXPECT_EQ(mma[4].kind, PlanArgument::Kind::f32);
  EXPECT_EQ(mma[4].real, 1.5f);
  EXPECT_EQ(mma[5].kind, PlanArgument::Kind::i64);
  EXPECT_EQ(mma[5].formula.evaluate({}), 64 * 64);  // folded: it needs no values any more
  EXPECT_EQ(mma[6].kind, PlanArgument::Kind::i32);
  EXPECT_EQ(mma[6].formula.evaluate({}), 512);
  EXPECT_EQ(p.pointer_index("nothing"), -1);
  EXPECT_EQ(p.pointer_count(), 9);

  std::vector<int64_t> values = launch_values(p, 100);
  const std::vector<PlanArgument>& sort = p.launches()[0].arguments;
  EXPECT_EQ(sort[2].formula.evaluate(values), 100);
  EXPECT_EQ(sort[3].formula.evaluate(values), 64);  // mul.block_m
  EXPECT_EQ(sort[4].formula.evaluate(values), 2);   // the first dtype, until a launch says otherwise
  EXPECT_EQ(sort[5].formula.evaluate(values), 0);
  values[p.item_bytes_slot(0)] = 4;
  values[p.given_slot(2)] = 1;
  EXPECT_EQ(sort[4].formula.evaluate(values), 4);
  EXPECT_EQ(sort[5].formula.evaluate(values), 1);
}

TEST_F(PlanTest, ProvidedNamesStandInForParameters) {
  LaunchPlan p = plan({{"width", "64"}}, "reference", "");
  EXPECT_EQ(p.launches()[0].arguments[3].formula.evaluate({}), 1);  // mul.block_m in sort
  EXPECT_EQ(p.launches()[1].arguments[3].formula.evaluate({}), 1);  // and in its own launch
  EXPECT_EQ(*p.total_bytes(BufferSpec::Kind::workspace, 100), 512);
}

TEST_F(PlanTest, TensorMaps) {
  LaunchPlan p = plan({{"width", "64"}}, "mma", "block_m=16,warps=2,store=bulk");
  ASSERT_EQ(p.launches().size(), 2u);
  EXPECT_EQ(p.launches()[1].kernel, "ns::mma_bulk<16>");
  EXPECT_EQ(p.launches()[1].arguments[0].kind, PlanArgument::Kind::tensor_map);
  EXPECT_EQ(p.launches()[1].arguments[0].source, 0);
  ASSERT_EQ(p.tensor_maps().size(), 1u);
  const PlanTensorMap& map = p.tensor_maps()[0];
  EXPECT_EQ(map.base, p.pointer_index("x"));
  EXPECT_EQ(map.swizzle, "128");
  std::vector<int64_t> values = launch_values(p, 100);
  EXPECT_EQ(map.dims[0].evaluate(values), 64);
  EXPECT_EQ(map.dims[1].evaluate(values), 100);
  EXPECT_EQ(map.strides[0].evaluate(values), 144);
  EXPECT_EQ(map.box[1].evaluate(values), 16);
  EXPECT_EQ(map.when.evaluate(values), 1);
  LaunchPlan plain = plan({{"width", "64"}}, "mma", "block_m=16,warps=2");
  EXPECT_EQ(plain.tensor_maps()[0].when.evaluate({}), 0);
}

TEST_F(PlanTest, ShapesBindScalarsAndWriteStridesOut) {
  LaunchPlan p = plan({{"width", "64"}}, "reference", "");
  int tokens = p.scalar_slot("tokens"), stride = p.scalar_slot("x_stride");
  EXPECT_EQ(p.scalar_slot("width"), -1);
  const LaunchPlan::ArgumentShape& x = p.argument_shapes()[0];
  EXPECT_THAT(x.shape_binds, ElementsAre(tokens, -1));
  EXPECT_THAT(x.stride_binds, ElementsAre(stride, -1));
  const LaunchPlan::ArgumentShape& bias = p.argument_shapes()[1];
  EXPECT_THAT(bias.strides, IsEmpty());
  EXPECT_EQ(bias.required.evaluate({}), 0);
  EXPECT_EQ(p.base_values()[p.given_slot(1)], 0);
  const LaunchPlan::ArgumentShape& mask = p.argument_shapes()[2];
  EXPECT_EQ(mask.strides.at(0).evaluate({}), 128);
  EXPECT_EQ(mask.strides.at(1).evaluate({}), 64);
  EXPECT_EQ(mask.strides.at(2).evaluate({}), 1);
  EXPECT_EQ(mask.required.evaluate({}), 0);

  LaunchPlan with_bias = plan({{"width", "64"}, {"bias", "f32"}}, "reference", "");
  EXPECT_EQ(with_bias.argument_shapes()[1].required.evaluate({}), 1);
  EXPECT_EQ(with_bias.base_values()[with_bias.given_slot(1)], 1);
  EXPECT_EQ(with_bias.base_values()[with_bias.item_bytes_slot(1)], 4);
}

TEST_F(PlanTest, BuffersAreLaidOutOnePastTheOther) {
  LaunchPlan p = plan({{"width", "64"}}, "mma", "block_m=64,split=2");
  std::vector<int64_t> values = launch_values(p, 100), offsets(p.buffers().size());
  int64_t total = 0;
  ASSERT_TRUE(p.offsets(BufferSpec::Kind::workspace, values, offsets, &total));
  EXPECT_THAT(offsets, ElementsAre(0, 512, -1, -1));
  EXPECT_EQ(total, 512 + 25600);
  EXPECT_EQ(*p.total_bytes(BufferSpec::Kind::workspace, 100), total);
  ASSERT_TRUE(p.offsets(BufferSpec::Kind::packed, values, offsets, &total));
  EXPECT_THAT(offsets, ElementsAre(-1, -1, 0, 4352));  // 4,097 bytes take 4,352
  EXPECT_EQ(total, 4352 + 256);
  EXPECT_EQ(*plan({{"width", "64"}}, "mma", "block_m=64").total_bytes(BufferSpec::Kind::workspace, 100), 512);
}

TEST_F(PlanTest, BufferErrorsAreNotWrapped) {
  LaunchPlan p = plan({{"width", "64"}}, "mma", "block_m=64,split=2");
  EXPECT_THAT(p.total_bytes(BufferSpec::Kind::workspace, INT64_MAX / 8).error().message,
              HasSubstr("buffer partial: formula 'tokens * width * 4': the result does not fit in 64 bits"));
  EXPECT_THAT(p.total_bytes(BufferSpec::Kind::workspace, -500).error().message, HasSubstr("bytes"));
}

TEST_F(PlanTest, Packing) {
  auto packing = LaunchPlan::create(template_, problem({{"width", "512"}}), {}, hopper(), true);
  ASSERT_TRUE(packing.ok()) << packing.error().message;
  ASSERT_EQ(packing->launches().size(), 1u);
  EXPECT_EQ(packing->launches()[0].stage, -1);
  EXPECT_EQ(packing->launches()[0].kernel, "ns::pack<512, ns::Layout::rows>");
  EXPECT_EQ(packing->launches()[0].grid[0].evaluate({}), 2);
  EXPECT_EQ(packing->launches()[0].arguments[1].source, packing->pointer_index("packed_w"));
  EXPECT_EQ(*packing->total_bytes(BufferSpec::Kind::workspace, 1), 0);
  EXPECT_GT(*packing->total_bytes(BufferSpec::Kind::packed, 1), 512 * 512);
  // Neither the bias nor alpha is read, and of the launch scalars and types nothing is known yet.
  EXPECT_EQ(packing->packing_keys(), (KeyValues{{"width", "512"}, {"layout", "rows"}}));
}

TEST_F(PlanTest, PackingKeysAreWhatAnyOfItsFormulasReads) {
  const auto keys = [&](const std::string& from, const std::string& to) {
    auto parsed = parse_manifest(replaced(kPipelineManifest, from, to), "p.toml", pipeline_sources());
    EXPECT_TRUE(parsed.ok()) << parsed.error().message;
    auto tmpl = std::make_shared<const Template>(std::move(*parsed));
    auto plan = LaunchPlan::create(tmpl, *make_problem(*tmpl, {{"width", "512"}}), {}, hopper(), true);
    EXPECT_TRUE(plan.ok()) << plan.error().message;
    return plan->packing_keys();
  };
  const std::pair<std::string, std::string> width{"width", "512"}, layout{"layout", "rows"},
      bias{"bias", "none"};
  const std::string buffer = "kind = \"packed\"\nbytes = \"width\"", argument = "\"i32 w.item_bytes\"]";
  EXPECT_EQ(keys(buffer, buffer + "\nwhen = \"bias != 'none'\""), (KeyValues{width, layout, bias}));
  EXPECT_EQ(keys(argument, "\"f32 alpha\"]"), (KeyValues{width, layout, {"alpha", "1.5"}}));
  EXPECT_EQ(keys(argument, "\"i32 target.cc\"]"), (KeyValues{width, layout, {"target.cc", "90"}}));
  EXPECT_EQ(keys(argument, "\"i32 area\"]"), (KeyValues{width, layout}));
  const std::string weights = "role = \"pack\"\ndtypes = [\"u8\"]";
  EXPECT_EQ(keys(weights, "role = \"pack\"\ndtypes = [\"bf16\", \"f32\"]\ndtype_key = \"bias\""),
            (KeyValues{width, layout, bias}));
  EXPECT_EQ(keys(weights, weights + "\nrequired_when = \"bias != 'none'\""),
            (KeyValues{width, layout, bias}));
  EXPECT_EQ(keys("\nbytes = \"width\"", "\nbytes = \"8\""), (KeyValues{width, layout}));
}

TEST_F(PlanTest, NoProgrammaticLaunchWhereTheTargetHasNone) {
  TargetFacts old = hopper();
  old.has_griddepcontrol = false;
  auto p = create({{"width", "64"}}, "mma", "block_m=64", old);
  EXPECT_FALSE(p->launches()[1].pdl);
}

TEST_F(PlanTest, ChoiceErrors) {
  Problem p = problem({{"width", "64"}});
  auto error = [&](const std::vector<StageChoice>& choices) {
    return LaunchPlan::create(template_, p, choices, hopper()).error().message;
  };
  StageChoice sort = choice("sort", "only", ""), mul = choice("mul", "reference", "");
  EXPECT_THAT(error({sort}), HasSubstr("1 choices for 2 stages"));
  EXPECT_THAT(error({mul, sort}), HasSubstr("a choice for stage 'mul' where 'sort' is expected"));
  EXPECT_THAT(error({sort, {"mul", "wgmma", Config()}}),
              HasSubstr("no variant 'wgmma'; it has mma, reference"));
  EXPECT_THAT(error({sort, {"mul", "mma", Config()}}), HasSubstr("belongs to another template or variant"));
}

TEST_F(PlanTest, VariantFacts) {
  const Stage& stage = *template_->find_stage("mul");
  const Variant& mma = *template_->find_variant("mul", "mma");
  auto facts = [&](const KeyValues& given, const std::string& config) {
    auto result = evaluate_variant(*template_, stage, mma, choice("mul", "mma", config).config,
                                   problem(given), hopper());
    EXPECT_TRUE(result.ok()) << result.error().message;
    return *result;
  };
  VariantFacts plain = facts({{"width", "64"}}, "block_m=64");
  EXPECT_EQ(plain.threads, 128);
  EXPECT_EQ(plain.smem, 512 + 64 * 32);
  EXPECT_EQ(plain.predicted_registers, 74);
  EXPECT_EQ(plain.min_blocks_per_sm, 2);
  EXPECT_THAT(plain.features, ElementsAre("cp.async"));
  EXPECT_THAT(plain.violated, IsEmpty());
  ASSERT_EQ(plain.kernels.size(), 1u);
  EXPECT_EQ(plain.kernels[0].name_expression, "ns::mma<64, 4, ns::Store::plain, ns::Layout::rows, 1>");
  EXPECT_EQ(plain.kernels[0].short_name, "pipeline.mul.mma[block_m=64,warps=4,store=plain,split=1]");

  VariantFacts split = facts({{"width", "64"}}, "block_m=64,split=2");
  ASSERT_EQ(split.kernels.size(), 2u);
  EXPECT_EQ(split.kernels[1].short_name, "pipeline.mul.mma.reduce[block_m=64,warps=4,store=plain,split=2]");

  VariantFacts bulk = facts({{"width", "64"}, {"layout", "columns"}}, "block_m=16,store=bulk");
  EXPECT_THAT(bulk.features, ElementsAre("cp.async", "tma.bulk"));
  EXPECT_THAT(
      bulk.violated,
      ElementsAre("each warp needs 8 rows (block_m = 16, warps = 4; required: block_m >= warps * 8)",
                  "bulk stores need rows (layout = columns, store = bulk; required: store != 'bulk' || "
                  "layout == 'rows')"));
  EXPECT_EQ(bulk.kernels.at(0).name_expression, "ns::mma_bulk<16>");
}

TEST_F(PlanTest, DefaultsFollowTheBucket) {
  const Stage& stage = *template_->find_stage("mul");
  const Variant& mma = *template_->find_variant("mul", "mma");
  Problem p = problem({{"width", "64"}});
  auto config = [&](int64_t bucket) {
    return default_config(*template_, stage, mma, p, bucket, hopper())->value().canonical();
  };
  EXPECT_EQ(config(1), "block_m=16,warps=2,store=plain,split=1");
  EXPECT_EQ(config(64), "block_m=64,warps=4,store=plain,split=1");
  const Variant& reference = *template_->find_variant("mul", "reference");
  EXPECT_EQ(default_config(*template_, stage, reference, p, 64, hopper())->value().canonical(), "");
}

TEST_F(PlanTest, AVariantIsPassedOverWhereItIsNoDefault) {
  std::string text =
      replaced(kPipelineManifest, "targets = \"sm_80+\"",
               "targets = \"sm_80+\"\ndefault_when = \"tokens * block_m > 64 && target.cc < 100\"");
  auto parsed = parse_manifest(text, "pipeline.toml", pipeline_sources());
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  const Stage& stage = *parsed->find_stage("mul");
  auto offered = [&](const char* variant, int64_t bucket, int cc) {
    TargetFacts facts = hopper();
    facts.cc = cc;
    auto config = default_config(*parsed, stage, *parsed->find_variant("mul", variant),
                                 problem({{"width", "64"}}), bucket, facts);
    EXPECT_TRUE(config.ok()) << (config.ok() ? "" : config.error().message);
    return config.ok() && config->has_value();
  };
  EXPECT_FALSE(offered("mma", 1, 90));  // its config there has block_m = 16
  EXPECT_TRUE(offered("mma", 64, 90));
  EXPECT_FALSE(offered("mma", 64, 100));
  EXPECT_TRUE(offered("reference", 1, 90));
}

TEST_F(PlanTest, AVariantLikeAnotherHasWhatItDoesNotGiveItself) {
  std::string text =
      replaced(kPipelineManifest, "[[stage.variant]]\nname = \"reference\"", R"([[stage.variant]]
name = "wide"
like = "mul.mma"
threads = "warps * 64"
[[stage.variant.default]]
config = "block_m=16,extra=3"
[stage.variant.parameter.extra]
type = "integer"
values = [3]
[stage.variant.parameter.warps]
values = [1]
default = 1
[stage.variant.cost]
rate = "fma"
[[stage.variant]]
name = "reference")");
  auto parsed = parse_manifest(text, "pipeline.toml", pipeline_sources());
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  const Stage& stage = *parsed->find_stage("mul");
  const Variant& wide = *parsed->find_variant("mul", "wide");
  const Variant& mma = *parsed->find_variant("mul", "mma");
  Problem p = problem({{"width", "64"}});
  auto config = default_config(*parsed, stage, wide, p, 1, hopper());
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ((*config)->canonical(), "block_m=16,warps=1,store=plain,split=1,extra=3");
  auto facts = evaluate_variant(*parsed, stage, wide, **config, p, hopper());
  ASSERT_TRUE(facts.ok()) << facts.error().message;
  EXPECT_EQ(facts->threads, 64);
  EXPECT_EQ(facts->smem, 64 * 4 + 16 * 32);
  EXPECT_THAT(facts->features, ElementsAre("cp.async"));
  EXPECT_EQ(facts->kernels.at(0).name_expression, "ns::mma<16, 1, ns::Store::plain, ns::Layout::rows, 1>");
  EXPECT_EQ(wide.launches.size(), mma.launches.size());
  EXPECT_EQ(wide.cost.rate, "fma");
  EXPECT_EQ(wide.cost.dram_bytes, mma.cost.dram_bytes);
  EXPECT_EQ(mma.parameters.size(), 4u);
}

TEST_F(PlanTest, AVariantLikeAnotherAppendsToItsLists) {
  auto with = [](const std::string& more) {
    return replaced(kPipelineManifest, "[[stage.variant]]\nname = \"reference\"",
                    "[[stage.variant]]\nname = \"more\"\nlike = \"mul.mma\"\n" + more +
                        "\n[[stage.variant]]\nname = \"reference\"");
  };
  auto parsed = parse_manifest(with(R"(
[stage.variant.more]
feature = [{ name = "ldmatrix" }]
constraint = [{ require = "warps == 4", message = "four warps" }])"),
                               "pipeline.toml", pipeline_sources());
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  const Variant& more = *parsed->find_variant("mul", "more");
  const Variant& mma = *parsed->find_variant("mul", "mma");
  ASSERT_EQ(more.features.size(), mma.features.size() + 1);
  EXPECT_EQ(more.features.front().name, mma.features.front().name);
  EXPECT_EQ(more.features.back().name, "ldmatrix");
  ASSERT_EQ(more.constraints.size(), mma.constraints.size() + 1);
  EXPECT_EQ(more.constraints.back().message, "four warps");

  for (const auto& [text, message] : std::map<std::string, std::string>{
           {"more = { fetaure = [] }", "more.fetaure: it appends to a list that is inherited"},
           {"more = { threads = 5 }", "more.threads: it appends to a list that is inherited"},
           {"more = 5", "more must be a table of lists"}}) {
    auto broken = parse_manifest(with(text), "pipeline.toml", pipeline_sources());
    ASSERT_FALSE(broken.ok()) << text;
    EXPECT_THAT(broken.error().message, HasSubstr(message));
    EXPECT_THAT(broken.error().message, HasSubstr("pipeline.toml:"));
  }
}

TEST_F(PlanTest, AStageIsTimedWithWhatItsConfigsDecide) {
  auto parsed = parse_manifest(
      replaced(kPipelineManifest, "tuned = true",
               "tuned = true\ntimed_with = [{ stage = \"sort\", when = \"layout == 'columns'\" }]"),
      "pipeline.toml", pipeline_sources());
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  const StageSet rows = timed_stages(*parsed, 1, problem({{"width", "64"}}));
  EXPECT_FALSE(rows.has(0));
  EXPECT_TRUE(rows.has(1));
  const StageSet columns = timed_stages(*parsed, 1, problem({{"width", "64"}, {"layout", "columns"}}));
  EXPECT_TRUE(columns.has(0));
  EXPECT_TRUE(columns.has(1));
  EXPECT_TRUE(StageSet::all().has(-1)) << "packing is no stage";
}

TEST_F(PlanTest, Cost) {
  const Stage& stage = *template_->find_stage("mul");
  const Variant& mma = *template_->find_variant("mul", "mma");
  Config config = choice("mul", "mma", "block_m=64,split=2").config;
  auto cost = evaluate_cost(*template_, stage, mma, config, problem({{"width", "64"}, {"bias", "f32"}}), 1024,
                            hopper());
  ASSERT_TRUE(cost.ok()) << cost.error().message;
  EXPECT_EQ(cost->blocks, 32);
  EXPECT_EQ(cost->dram_bytes, 1024 * 64 * 2 + 64);
  EXPECT_EQ(cost->flops, 2.0 * 1024 * 64 * 64);
  EXPECT_EQ(cost->l2_bytes, 0);
  EXPECT_EQ(cost->rate, "mma.bf16");
  EXPECT_EQ(cost->steps, 2);
  EXPECT_EQ(cost->stages, 3);
}

TEST_F(PlanTest, SmallProblemsAreFormulas) {
  ASSERT_EQ(template_->verify.small.size(), 1u);
  EXPECT_EQ(template_->verify.small[0].second, "min(width, 64)");
}

// Thousands of configs are judged per target: the formulas must not be parsed again for each.
TEST_F(PlanTest, JudgingAConfigIsCheap) {
  const Stage& stage = *template_->find_stage("mul");
  const Variant& mma = *template_->find_variant("mul", "mma");
  Problem p = problem({{"width", "64"}});
  Config config = choice("mul", "mma", "block_m=64").config;
  auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(evaluate_variant(*template_, stage, mma, config, p, hopper()).ok());
  }
  std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - start;
  RecordProperty("us_per_config", std::to_string(taken.count() / 1000));
  EXPECT_LT(taken.count() / 1000, 500);  // a debug build under a sanitizer on a loaded machine
}

}  // namespace
}  // namespace rtjit
