#include "tuner/space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtjit {
namespace {

KeySpec integers(const char* name, std::vector<int64_t> values) {
  KeySpec spec;
  spec.name = name;
  for (int64_t value : values) spec.values.emplace_back(value);
  return spec;
}

std::vector<std::string> names(const Variant& variant) {
  std::vector<std::string> result;
  auto configs = enumerate_configs(variant);
  EXPECT_TRUE(configs.ok());
  for (const Config& config : *configs) result.push_back(config.canonical());
  return result;
}

TEST(Space, LastParameterVariesFastest) {
  Variant variant;
  variant.parameters = {integers("m", {64, 128}), integers("s", {2, 3})};
  KeySpec store;
  store.name = "store";
  store.type = KeySpec::Type::choice;
  store.values = {std::string("plain"), std::string("scatter4")};
  variant.parameters.push_back(store);
  EXPECT_THAT(names(variant), testing::ElementsAre("m=64,s=2,store=plain", "m=64,s=2,store=scatter4",
                                                   "m=64,s=3,store=plain", "m=64,s=3,store=scatter4",
                                                   "m=128,s=2,store=plain", "m=128,s=2,store=scatter4",
                                                   "m=128,s=3,store=plain", "m=128,s=3,store=scatter4"));
}

TEST(Space, RangesAndNoParameters) {
  Variant variant;
  EXPECT_THAT(names(variant), testing::ElementsAre(""));
  KeySpec range;
  range.name = "k";
  range.min = 10;
  range.max = 50;
  range.multiple_of = 16;
  variant.parameters = {range};
  EXPECT_THAT(names(variant), testing::ElementsAre("k=16", "k=32", "k=48"));
}

TEST(Space, RefusesWhatCannotBeListed) {
  Variant variant;
  variant.name = "mma";
  variant.parameters = {integers("a", std::vector<int64_t>(1000, 1)),
                        integers("b", std::vector<int64_t>(1000, 1))};
  auto too_many = enumerate_configs(variant);
  ASSERT_FALSE(too_many.ok());
  EXPECT_EQ(too_many.error().message, "variant 'mma' has more than 200,000 configs");
  KeySpec open;
  open.name = "k";
  variant.parameters = {open};
  auto endless = enumerate_configs(variant);
  ASSERT_FALSE(endless.ok());
  EXPECT_THAT(endless.error().message, testing::HasSubstr("parameter 'k' has no list of values"));
}

}  // namespace
}  // namespace rtjit
