#include "compiler/features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "compiler/features_table.h"

namespace rtjit {
namespace {

bool has(const char* target, const char* feature) { return supports(*Target::parse(target), feature); }

TEST(Features, TableAndListNameTheSameFeatures) {
  std::set<std::string_view> listed, tabled;
  for (const Feature& feature : all_features()) {
    EXPECT_TRUE(listed.insert(feature.name).second) << feature.name;
    EXPECT_FALSE(feature.summary.empty()) << feature.name;
    EXPECT_EQ(find_feature(feature.name), &feature);
  }
  for (const FeatureRow& row : feature_rows()) {
    EXPECT_TRUE(tabled.insert(row.feature).second) << row.feature;
    size_t cells = std::count(row.cells.begin(), row.cells.end(), 'x') +
                   std::count(row.cells.begin(), row.cells.end(), '.');
    EXPECT_EQ(cells, Target::all().size()) << row.feature;
  }
  EXPECT_EQ(listed, tabled);
}

TEST(Features, KnownAnswers) {
  EXPECT_TRUE(has("sm_100a", "tma.tile.scatter4"));
  EXPECT_FALSE(has("sm_121a", "tma.tile.scatter4"));
  EXPECT_TRUE(has("sm_121a", "tma.tile.gather4"));
  EXPECT_TRUE(has("sm_90a", "wgmma"));
  EXPECT_FALSE(has("sm_90", "wgmma"));
  EXPECT_FALSE(has("sm_100a", "wgmma"));
  EXPECT_TRUE(has("sm_120a", "mma.block_scale.mxf4"));
  EXPECT_FALSE(has("sm_120", "mma.block_scale.mxf4"));
  EXPECT_TRUE(has("sm_100a", "tcgen05.mma.mxf4"));
  EXPECT_FALSE(has("sm_100f", "tcgen05.mma.mxf4"));
  EXPECT_FALSE(has("sm_75", "cp.async"));
  EXPECT_TRUE(has("sm_75", "ldmatrix"));
}

TEST(Features, UnknownNamesAreNeverSupported) {
  EXPECT_EQ(find_feature("banana"), nullptr);
  EXPECT_FALSE(has("sm_100a", "banana"));
}

}  // namespace
}  // namespace rtjit
