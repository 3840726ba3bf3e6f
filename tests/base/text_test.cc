#include "base/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace rtjit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(Text, Thousands) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(1000), "1,000");
  EXPECT_EQ(with_thousands(139264), "139,264");
  EXPECT_EQ(with_thousands(-999), "-999");
  EXPECT_EQ(with_thousands(-1000), "-1,000");
  EXPECT_EQ(with_thousands(INT64_MIN), "-9,223,372,036,854,775,808");
}

TEST(Text, TrimAndSplit) {
  EXPECT_EQ(trim("  a b\t\n"), "a b");
  EXPECT_EQ(trim(" \t"), "");
  EXPECT_THAT(split(" a , b,,c", ','), ElementsAre("a", "b", "", "c"));
  EXPECT_THAT(split("a,", ','), ElementsAre("a", ""));
  EXPECT_THAT(split("", ','), IsEmpty());
  EXPECT_THAT(split("  ", ','), IsEmpty());
}

TEST(Text, Join) {
  EXPECT_EQ(join({"a", "b"}, ", "), "a, b");
  EXPECT_EQ(join({}, ", "), "");
}

TEST(Text, ParseIntTakesTheWholeText) {
  EXPECT_EQ(parse_int("2880"), 2880);
  EXPECT_EQ(parse_int("-3"), -3);
  EXPECT_EQ(parse_int("9223372036854775807"), INT64_MAX);
  for (const char* bad : {"", "3x", " 3", "3.0", "9223372036854775808", "0x10", "+1"}) {
    EXPECT_FALSE(parse_int(bad)) << bad;
  }
}

TEST(Text, ParseDoubleTakesTheWholeTextAndIsFinite) {
  EXPECT_EQ(parse_double("1.702"), 1.702);
  EXPECT_EQ(parse_double("-2e3"), -2000.0);
  EXPECT_EQ(parse_double("7"), 7.0);
  for (const char* bad : {"", "1.5x", "nan", "inf", "1e999"}) EXPECT_FALSE(parse_double(bad)) << bad;
}

TEST(KeyValues, KeepsTheOrderAndTrims) {
  auto pairs = parse_key_values("b=2, a = x ,c=");
  ASSERT_TRUE(pairs.ok());
  EXPECT_THAT(*pairs, ElementsAre(Pair("b", "2"), Pair("a", "x"), Pair("c", "")));
  EXPECT_EQ(format_key_values(*pairs), "b=2,a=x,c=");
  EXPECT_TRUE(parse_key_values("")->empty());
}

TEST(KeyValues, ErrorsNameTheElement) {
  EXPECT_THAT(parse_key_values("a=1,b").error().message, HasSubstr("'b'"));
  EXPECT_THAT(parse_key_values("a=1,,b=2").error().message, HasSubstr("''"));
  EXPECT_THAT(parse_key_values("=1").error().message, HasSubstr("'=1'"));
  EXPECT_THAT(parse_key_values("a=1,a=2").error().message, HasSubstr("'a' is given twice"));
}

TEST(KeyValues, RoundTripsAnyPairs) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    KeyValues pairs;
    for (unsigned i = 0; i < random() % 6; ++i) {
      pairs.emplace_back("k" + std::to_string(i), std::to_string(static_cast<int>(random())));
    }
    auto again = parse_key_values(format_key_values(pairs));
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(*again, pairs);
  }
}

TEST(NearestName, FindsTypos) {
  std::vector<std::string> names = {"hidden", "intermediate", "experts", "top_k"};
  EXPECT_EQ(nearest_name("hiden", names), "hidden");
  EXPECT_EQ(nearest_name("expert", names), "experts");
  EXPECT_EQ(nearest_name("topk", names), "top_k");
  EXPECT_EQ(nearest_name("intremediate", names), "intermediate");
}

TEST(NearestName, LeavesStrangersAlone) {
  EXPECT_EQ(nearest_name("zebra", {"hidden", "experts"}), "");
  EXPECT_EQ(nearest_name("x", {"y"}), "");
  EXPECT_EQ(nearest_name("x", {}), "");
  EXPECT_EQ(nearest_name("", {"a"}), "");
}

}  // namespace
}  // namespace rtjit
