// Manifests whose variants stand in files of their own.
#include "templates/manifest_include.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/templates/pipeline_manifest.h"
#include "tests/templates/test_templates.h"

namespace rtjit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kPipelineManifest;
using testing::pipeline_sources;
using testing::replaced;

// The manifest of the pipeline without the variant mul.mma, and that variant.
struct Split {
  Split() {
    const std::string whole = kPipelineManifest;
    const size_t stage = whole.find("name = \"mul\"");
    const size_t first = whole.find("[[stage.variant]]", stage);
    const size_t last = whole.find("[[stage.variant]]", first + 1);
    variant = whole.substr(first, last - first);
    manifest = "include = [\"mma.toml\"]\n" + whole.substr(0, first) + whole.substr(last);
    sources["pipeline/mma.toml"] = "# The fast one.\n[[stage]]\nname = \"mul\"\n\n" + variant;
  }
  Result<Template> parse() const { return parse_manifest(manifest, "somewhere/template.toml", sources); }
  std::string error() const {
    auto parsed = parse();
    return parsed.ok() ? "it was accepted" : parsed.error().message;
  }

  std::string manifest, variant;
  std::map<std::string, std::string> sources = pipeline_sources();
};

std::vector<std::string> variants(const Template& tmpl, const std::string& stage) {
  std::vector<std::string> names;
  for (const Variant& variant : tmpl.find_stage(stage)->variants) names.push_back(variant.name);
  return names;
}

TEST(ManifestInclude, IsAsIfItStoodInTheManifest) {
  auto whole = parse_manifest(kPipelineManifest, "template.toml", pipeline_sources());
  auto split = Split().parse();
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  ASSERT_TRUE(split.ok()) << split.error().message;
  EXPECT_THAT(variants(*split, "mul"), ElementsAre("mma", "reference"));
  EXPECT_EQ(variants(*split, "sort"), variants(*whole, "sort"));
  const Variant &one = *whole->find_variant("mul", "mma"), &other = *split->find_variant("mul", "mma");
  EXPECT_EQ(one.smem, other.smem);
  EXPECT_EQ(one.parameters.size(), other.parameters.size());
  EXPECT_EQ(one.launches.size(), other.launches.size());
  EXPECT_EQ(one.cost.flops, other.cost.flops);
}

TEST(ManifestInclude, FilesComeInTheOrderOfTheListBeforeTheManifestsOwn) {
  Split split;
  split.manifest = replaced(split.manifest, "[\"mma.toml\"]", "[\"mma.toml\", \"narrow.toml\"]");
  split.sources["pipeline/narrow.toml"] =
      "[[stage]]\nname = \"mul\"\n[[stage.variant]]\nname = \"narrow\"\nlike = \"mul.mma\"\n";
  auto parsed = split.parse();
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_THAT(variants(*parsed, "mul"), ElementsAre("mma", "narrow", "reference"));
  split.manifest =
      replaced(split.manifest, "[\"mma.toml\", \"narrow.toml\"]", "[\"narrow.toml\", \"mma.toml\"]");
  EXPECT_THAT(split.error(),
              HasSubstr("somewhere/narrow.toml:5: [[stage.variant]] narrow: like = 'mul.mma'"));
}

TEST(ManifestInclude, TheContentHashCoversThem) {
  Split split;
  const std::string hash = split.parse()->content_hash;
  split.sources["pipeline/unused.toml"] = "# not included";
  EXPECT_EQ(split.parse()->content_hash, hash);
  split.sources["pipeline/mma.toml"] += "# changed\n";
  EXPECT_NE(split.parse()->content_hash, hash);
}

TEST(ManifestInclude, ErrorsNameTheFileAndItsLine) {
  Split split;
  split.sources["pipeline/mma.toml"] =
      replaced(split.sources["pipeline/mma.toml"], "name = \"mma\"", "name = \"mma\"\nnonsense = 1");
  EXPECT_THAT(split.error(),
              HasSubstr("somewhere/mma.toml:7: [[stage.variant]] mma: unknown key 'nonsense'"));
  split = Split();
  split.sources["pipeline/mma.toml"] += "\nname = \n";
  EXPECT_THAT(split.error(), HasSubstr("somewhere/mma.toml:"));
  // What stands in the manifest still has the manifest's lines.
  split = Split();
  split.manifest =
      replaced(split.manifest, "include = [\"mma.toml\"]\n", "include = [\"mma.toml\"]\nnonsense = 1\n");
  EXPECT_THAT(split.error(), HasSubstr("somewhere/template.toml:2: the manifest: unknown key 'nonsense'"));
}

struct Wrong {
  const char *list, *part, *message;
};

TEST(ManifestInclude, WhatAnIncludedFileCannotBe) {
  const std::string here = "somewhere/mma.toml:", manifest = "somewhere/template.toml:1: include";
  for (const auto& [list, part, message] : std::vector<Wrong>{
           {"\"mma.toml\"", "", "must be a list of files, not a text"},
           {"[\"nma.toml\"]", "", "'nma.toml' is not beside the manifest, where there are mma.toml"},
           {"[\"mul.cuh\"]", "", "'mul.cuh' is not beside the manifest"},
           {"[3]", "", "'3' is not beside the manifest"},
           {"[\"mma.toml\", \"mma.toml\"]", "", "'mma.toml' is listed twice"},
       }) {
    Split split;
    split.manifest = replaced(split.manifest, "[\"mma.toml\"]", list);
    EXPECT_THAT(split.error(), HasSubstr(manifest));
    EXPECT_THAT(split.error(), HasSubstr(message));
  }
  for (const auto& [list, part, message] : std::vector<Wrong>{
           {"", "name = \"pipeline\"\n",
            "1: 'name': an included file has [[stage]] only; all else is said in"},
           {"", "include = [\"more.toml\"]\n", "1: 'include': an included file has [[stage]] only"},
           {"", "[[stage]]\nname = \"mull\"\n",
            "1: [[stage]] 'mull': somewhere/template.toml has the stages sort, mul"},
           {"", "[[stage]]\nname = \"mul\"\ntuned = false\n",
            "3: [[stage]] 'tuned': of a stage, an included file has"},
       }) {
    Split split;
    split.sources["pipeline/mma.toml"] = part;
    EXPECT_THAT(split.error(), HasSubstr(here + message));
  }
}

TEST(ManifestInclude, OneNumberSaysFileAndLine) {
  ManifestFiles files;
  EXPECT_EQ(files.add("a.toml", 10), 0);
  EXPECT_EQ(files.add("b.toml", 5), 10);
  EXPECT_EQ(files.place(1), "a.toml:1");
  EXPECT_EQ(files.place(10), "a.toml:10");
  EXPECT_EQ(files.place(11), "b.toml:1");
  EXPECT_EQ(files.place(99), "b.toml:89");
}

}  // namespace
}  // namespace rtjit
