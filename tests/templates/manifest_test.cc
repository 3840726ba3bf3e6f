#include "templates/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "templates/launch_plan.h"
#include "tests/templates/test_templates.h"

namespace rtjit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::parse_scale_add;
using testing::replaced;
using testing::scale_add_manifest;
using testing::scale_add_sources;

TEST(Manifest, ReadsAllOfScaleAdd) {
  auto parsed = parse_scale_add();
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  const Template& tmpl = *parsed;
  EXPECT_EQ(tmpl.name, "scale_add");
  EXPECT_EQ(tmpl.bucket_scalar, "n");
  EXPECT_THAT(tmpl.buckets, ElementsAre(1024, 16384, 262144, 4194304));
  ASSERT_EQ(tmpl.arguments.size(), 3u);
  EXPECT_EQ(tmpl.arguments[2].access, ArgumentSpec::Access::write);
  EXPECT_THAT(tmpl.arguments[0].dtypes, ElementsAre(DType::f32));
  EXPECT_EQ(tmpl.arguments[0].fill.kind, "normal");
  EXPECT_EQ(tmpl.arguments[0].fill.options.at("std"), "2");
  const Variant* unrolled = tmpl.find_variant("add", "unrolled");
  ASSERT_NE(unrolled, nullptr);
  EXPECT_EQ(unrolled->source, "scale_add/scale_add.cuh");
  ASSERT_EQ(unrolled->parameters.size(), 2u);
  EXPECT_EQ(unrolled->parameters[0].name, "block");  // the order of the file
  EXPECT_EQ(unrolled->launches.at(0).grid[0], "cdiv(n, block * items)");
  EXPECT_EQ(unrolled->launches.at(0).grid[1], "1");
  EXPECT_EQ(unrolled->cost.stages, "1");
  EXPECT_TRUE(tmpl.find_variant("add", "reference")->oracle);
  EXPECT_EQ(tmpl.find_variant("add", "refrence"), nullptr);
  EXPECT_EQ(tmpl.find_stage("mul"), nullptr);
  EXPECT_EQ(tmpl.verify.max_rel_l2, 1e-6);
  EXPECT_TRUE(tmpl.verify.deterministic);
  EXPECT_EQ(tmpl.content_hash.size(), 64u);
}

TEST(Manifest, BucketFor) {
  Template tmpl = *parse_scale_add();
  EXPECT_EQ(bucket_for(tmpl, 0), 1024);
  EXPECT_EQ(bucket_for(tmpl, 1024), 1024);
  EXPECT_EQ(bucket_for(tmpl, 1025), 16384);
  EXPECT_EQ(bucket_for(tmpl, 1 << 30), 4194304);
}

TEST(Manifest, ContentHashCoversWhatCanBeReached) {
  std::string text = scale_add_manifest();
  auto hash = [&](const std::string& manifest, const std::map<std::string, std::string>& sources) {
    auto parsed = parse_manifest(manifest, "t.toml", sources);
    EXPECT_TRUE(parsed.ok()) << parsed.error().message;
    return parsed->content_hash;
  };
  auto sources = scale_add_sources();
  std::string base = hash(text, sources);
  EXPECT_EQ(base, hash(text, sources));
  EXPECT_NE(base, hash(text + "\n", sources));

  sources["device/unrelated.cuh"] = "// not included";
  EXPECT_EQ(base, hash(text, sources));
  sources["scale_add/scale_add.cuh"] += "\n#include \"device/a.cuh\"\n";
  sources["device/a.cuh"] = "#include \"device/b.cuh\"";
  sources["device/b.cuh"] = "// one";
  std::string with_includes = hash(text, sources);
  sources["device/b.cuh"] = "// two";
  EXPECT_NE(with_includes, hash(text, sources));
}

// What is tuned outlives a correction of what a stage is said to have to do.
TEST(Manifest, WorkIsReadAndNotPartOfTheIdentity) {
  const std::string text = scale_add_manifest();
  const auto with = [&](const std::string& work) {
    return parse_manifest(replaced(text, "tuned = true\n\n", "tuned = true\n\n" + work), "t.toml",
                          scale_add_sources());
  };
  const auto stated = with("[stage.work]\nbytes = \"8 * n\" # less than it takes\nflops = \"2 * n\"\n\n");
  ASSERT_TRUE(stated.ok()) << stated.error().message;
  const Template plain = *parse_scale_add();
  EXPECT_EQ(stated->content_hash, plain.content_hash);
  const auto commented = with("# [stage.work]\n");
  ASSERT_TRUE(commented.ok());
  EXPECT_NE(commented->content_hash, plain.content_hash);

  const Problem problem = *make_problem(*stated, {});
  const auto work = evaluate_work(*stated, stated->stages[0], problem, 1000, TargetFacts());
  ASSERT_TRUE(work.ok()) << work.error().message;
  EXPECT_EQ(work->bytes, 8000);
  EXPECT_EQ(work->flops, 2000);
  EXPECT_EQ(evaluate_work(plain, plain.stages[0], problem, 1000, TargetFacts()).error().code,
            ErrorCode::not_found);
  // It knows no config.
  EXPECT_THAT(with("[stage.work]\nflops = \"n * block\"\n").error().message, HasSubstr("block"));
  EXPECT_THAT(with("[stage.work]\nflop = \"n\"\n").error().message, HasSubstr("flop"));
}

TEST(Manifest, MakeProblem) {
  Template tmpl = *parse_scale_add();
  EXPECT_EQ(make_problem(tmpl, {})->canonical(), "a=1");
  EXPECT_EQ(make_problem(tmpl, {{"a", "2.5"}})->canonical(), "a=2.5");
  EXPECT_THAT(make_problem(tmpl, {{"b", "2"}}).error().message,
              HasSubstr("scale_add has no key 'b'; keys are a"));
  EXPECT_THAT(make_problem(tmpl, {{"a", "x"}}).error().message,
              HasSubstr("a=x: it must be a finite real number"));
}

TEST(Manifest, ProblemConstraintsNameTheirInputs) {
  std::string text = replaced(scale_add_manifest(), "[launch]\n", R"([problem.rows]
type = "integer"
[[problem_constraint]]
require = "rows % 2 == 0"
message = "rows come in pairs"
[launch]
)");
  auto parsed = parse_manifest(text, "t.toml", scale_add_sources());
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_TRUE(make_problem(*parsed, {{"rows", "4"}}).ok());
  EXPECT_EQ(make_problem(*parsed, {{"rows", "3"}}).error().message,
            "scale_add: rows come in pairs (rows = 3; required: rows % 2 == 0)");
  EXPECT_THAT(make_problem(*parsed, {}).error().message, HasSubstr("no value for rows"));
}

TEST(Manifest, MakeConfig) {
  Template tmpl = *parse_scale_add();
  const Variant& unrolled = *tmpl.find_variant("add", "unrolled");
  EXPECT_EQ(make_config(unrolled, {{"items", "4"}, {"block", "64"}})->canonical(), "block=64,items=4");
  EXPECT_THAT(make_config(unrolled, {{"items", "4"}}).error().message, HasSubstr("no value for block"));
  EXPECT_THAT(make_config(unrolled, {{"items", "3"}, {"block", "64"}}).error().message,
              HasSubstr("items=3: it must be one of 1, 2, 4, 8"));
  EXPECT_THAT(make_config(unrolled, {{"item", "3"}}).error().message, HasSubstr("did you mean 'items'?"));
  const Variant& reference = *tmpl.find_variant("add", "reference");
  EXPECT_EQ(make_config(reference, {})->canonical(), "");
  EXPECT_THAT(make_config(reference, {{"x", "1"}}).error().message, HasSubstr("it has no keys"));
}

TEST(DType, NamesRoundTrip) {
  for (const char* name : {"u8", "i8", "i16", "i32", "i64", "bf16", "f16", "f32", "f64", "e4m3", "e8m0"}) {
    ASSERT_TRUE(parse_dtype(name)) << name;
    EXPECT_STREQ(to_string(*parse_dtype(name)), name);
  }
  EXPECT_FALSE(parse_dtype("f8"));
  EXPECT_EQ(bytes_of(DType::bf16), 2);
  EXPECT_EQ(bytes_of(DType::e8m0), 1);
  EXPECT_EQ(bytes_of(DType::f64), 8);
}

TEST(AcceptedDTypes, FollowTheKey) {
  ArgumentSpec argument;
  argument.dtypes = {DType::bf16, DType::f32};
  EXPECT_EQ(accepted_dtypes(argument, Problem()).size(), 2u);
  argument.dtype_key = "bias";
  EXPECT_THAT(accepted_dtypes(argument, Problem({{"bias", std::string("f32")}})), ElementsAre(DType::f32));
  EXPECT_EQ(accepted_dtypes(argument, Problem({{"bias", std::string("none")}})).size(), 2u);
}

}  // namespace
}  // namespace rtjit
