#include "compiler/target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

namespace rtjit {
namespace {

using ::testing::HasSubstr;

Target target(std::string_view name) {
  Result<Target> parsed = Target::parse(name);
  EXPECT_TRUE(parsed.ok()) << name;
  return *parsed;
}

bool covers(std::string_view pattern, std::string_view name) {
  Result<bool> result = target(name).matches(pattern);
  EXPECT_TRUE(result.ok()) << pattern;
  return *result;
}

TEST(Target, ParsesEveryTargetOfTheTable) {
  for (const char* name : {"75",   "80",  "86",   "87",  "88",   "89",  "90",   "90a",  "100", "100a",
                           "100f", "103", "103a", "110", "110a", "120", "120a", "120f", "121", "121a"}) {
    std::string full = std::string("sm_") + name;
    EXPECT_EQ(target(full).name(), full);
    EXPECT_EQ(target(name).name(), full);
  }
  EXPECT_EQ(target("sm_121a").cc(), 121);
  EXPECT_EQ(target("sm_121a").suffix(), 'a');
  EXPECT_EQ(target("sm_90").suffix(), 0);
}

TEST(Target, UnknownNamesListTheKnownOnes) {
  for (const char* name : {"sm_99", "banana", "", "sm_", "sm_90b", "sm_75a", "sm_90aa", "SM_90", "compute_90",
                           "-90", "090", "sm_80+"}) {
    Result<Target> parsed = Target::parse(name);
    ASSERT_FALSE(parsed.ok()) << name;
    EXPECT_EQ(parsed.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(parsed.error().message, HasSubstr("sm_75"));
    EXPECT_THAT(parsed.error().message, HasSubstr("sm_121a"));
    EXPECT_THAT(parsed.error().message, HasSubstr(std::string("'") + name + "'"));
  }
}

TEST(Target, AllIsAscendingWithoutRepeats) {
  std::set<std::string> names;
  int last = 0;
  for (const Target& each : Target::all()) {
    EXPECT_TRUE(names.insert(each.name()).second);
    EXPECT_GE(each.cc(), last);
    last = each.cc();
  }
}

TEST(Target, LimitsOfTheTable) {
  EXPECT_EQ(target("sm_120a").limits().smem_per_block, 101376);
  EXPECT_EQ(target("sm_90a").limits().smem_per_block, 232448);
  EXPECT_EQ(target("sm_75").limits().smem_per_block, 65536);
  EXPECT_EQ(target("sm_80").limits().smem_per_block, 166912);
  EXPECT_EQ(target("sm_80").limits().max_cluster, 0);
  EXPECT_EQ(target("sm_90").limits().max_cluster, 8);
  for (const Target& each : Target::all()) {
    const TargetLimits& limits = each.limits();
    EXPECT_LE(limits.smem_per_block + limits.smem_reserved_per_block, limits.smem_per_sm) << each.name();
    EXPECT_EQ(limits.registers_per_thread, 255);
    EXPECT_EQ(limits.threads_per_sm % 512, 0) << each.name();
    EXPECT_NE(std::string(each.examples()), "");
  }
}

TEST(Target, MatchesPatterns) {
  EXPECT_TRUE(covers("sm_80+", "sm_80"));
  EXPECT_TRUE(covers("sm_80+", "sm_121a"));
  EXPECT_FALSE(covers("sm_80+", "sm_75"));
  EXPECT_TRUE(covers("sm_90+", "sm_90a"));
  EXPECT_TRUE(covers("sm_100a sm_103a", "sm_103a"));
  EXPECT_TRUE(covers("sm_100a, sm_103a", "sm_103a"));
  EXPECT_FALSE(covers("sm_100a sm_103a", "sm_103"));
  EXPECT_TRUE(covers("sm_12x", "sm_121a"));
  EXPECT_TRUE(covers("sm_12x", "sm_120"));
  EXPECT_FALSE(covers("sm_12x", "sm_110"));
  EXPECT_TRUE(covers("sm_9x sm_80", "sm_80"));
  EXPECT_TRUE(covers("sm_90", "sm_90"));
  EXPECT_FALSE(covers("sm_90", "sm_90a"));
  EXPECT_TRUE(covers("sm_90a sm_120+", "sm_90a"));
}

TEST(Target, UnknownPatternsAreErrorsThatNameTheElement) {
  for (const char* pattern : {"", "  ", "sm_99", "sm_81+", "sm_13x", "banana", "90", "sm_90a+", "sm_+",
                              "sm_x", "sm_-1x", "sm_80+ sm_9"}) {
    Result<bool> result = target("sm_90").matches(pattern);
    ASSERT_FALSE(result.ok()) << pattern;
    EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);
  }
  EXPECT_THAT(target("sm_90").matches("sm_80+ sm_9").error().message, HasSubstr("'sm_9'"));
}

TEST(Target, FactsForFormulas) {
  TargetFacts facts = target("sm_121a").facts();
  EXPECT_EQ(facts.cc, 121);
  EXPECT_EQ(facts.major, 12);
  EXPECT_EQ(facts.smem_per_block, 101376);
  EXPECT_EQ(facts.smem_per_sm, 102400);
  EXPECT_EQ(facts.sm_count, 48);
  EXPECT_EQ(facts.threads_per_sm, 1536);
  EXPECT_TRUE(facts.has_griddepcontrol);
  EXPECT_FALSE(target("sm_89").facts().has_griddepcontrol);
}

TEST(Sku, EveryTargetIsRepresentedByItsOwnComputeCapability) {
  for (const Target& each : Target::all()) {
    const Sku& sku = representative_sku(each);
    EXPECT_EQ(target(sku.target).cc(), each.cc()) << each.name();
  }
  EXPECT_STREQ(representative_sku(target("sm_90")).name, "H200");
}

TEST(Sku, FiguresAreInSaneRanges) {
  for (const Sku& sku : all_skus()) {
    EXPECT_TRUE(Target::parse(sku.target).ok()) << sku.name;
    EXPECT_GT(sku.sm_count, 0) << sku.name;
    // A dense 16-bit tensor core does 256 to 8192 operations a clock and SM on every generation of the table.
    double per_clock = sku.bf16_tflops * 1e12 / (sku.sm_count * sku.boost_ghz * 1e9);
    EXPECT_GT(per_clock, 250) << sku.name;
    EXPECT_LT(per_clock, 8300) << sku.name;
    EXPECT_GT(sku.l2_bytes, 1 << 20) << sku.name;
    EXPECT_GT(sku.dram_gb_per_s, 100) << sku.name;
  }
}

// docs/targets.md shows every GPU with the figures that are used.
TEST(Sku, DocumentationShowsTheSameFigures) {
  std::ifstream file(std::string(RTJIT_SOURCE_DIR) + "/docs/targets.md");
  std::stringstream text;
  text << file.rdbuf();
  for (const Sku& sku : all_skus()) {
    std::string row =
        fmt::format("| {} | {} | {} | {} | {} | {:.3f} | {} |", sku.name, sku.target, sku.sm_count,
                    sku.l2_bytes >> 20, sku.dram_gb_per_s, sku.boost_ghz, sku.bf16_tflops);
    EXPECT_THAT(text.str(), HasSubstr(row));
  }
}

}  // namespace
}  // namespace rtjit
