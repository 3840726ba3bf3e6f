#include "templates/problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "templates/formula.h"

namespace rtjit {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

KeySpec hidden() {
  KeySpec spec;
  spec.name = "hidden";
  spec.min = 32;
  spec.max = 65536;
  spec.multiple_of = 32;
  return spec;
}

KeySpec layout() {
  KeySpec spec;
  spec.name = "layout";
  spec.type = KeySpec::Type::choice;
  spec.values = {std::string("interleaved"), std::string("halves")};
  return spec;
}

std::string error_of(const KeySpec& spec, std::string_view text) {
  auto value = spec.parse(text);
  return value.ok() ? "accepted" : value.error().message;
}

TEST(KeySpec, Integers) {
  EXPECT_EQ(*hidden().parse("2880"), Value(int64_t{2880}));
  EXPECT_EQ(error_of(hidden(), "33"), "hidden=33: it must be a multiple of 32 from 32 to 65,536");
  for (const char* bad : {"0", "-32", "65568", "2880.0", "many", ""}) {
    EXPECT_THAT(error_of(hidden(), bad), HasSubstr("a multiple of 32 from 32 to 65,536")) << bad;
  }
  KeySpec open = hidden();
  open.max = INT64_MAX;
  open.multiple_of = 1;
  EXPECT_EQ(error_of(open, "1"), "hidden=1: it must be an integer, at least 32");
}

TEST(KeySpec, ListedIntegers) {
  KeySpec spec = hidden();
  spec.values = {int64_t{16}, int64_t{64}};
  EXPECT_EQ(*spec.parse("16"), Value(int64_t{16}));
  EXPECT_EQ(error_of(spec, "32"), "hidden=32: it must be one of 16, 64");
}

TEST(KeySpec, Reals) {
  KeySpec spec;
  spec.name = "alpha";
  spec.type = KeySpec::Type::real;
  EXPECT_EQ(*spec.parse("1.702"), Value(1.702));
  EXPECT_EQ(to_string(*spec.parse("7.0")), "7");
  EXPECT_EQ(to_string(*spec.parse("-0.0")), "0");
  EXPECT_THAT(error_of(spec, "nan"), AllOf(HasSubstr("alpha=nan"), HasSubstr("finite real number")));
}

TEST(KeySpec, Choices) {
  EXPECT_EQ(*layout().parse("halves"), Value(std::string("halves")));
  EXPECT_EQ(error_of(layout(), "halfs"),
            "layout=halfs: it must be one of interleaved, halves; did you mean 'halves'?");
  EXPECT_EQ(error_of(layout(), "5"), "layout=5: it must be one of interleaved, halves");
}

TEST(Value, FormulaValues) {
  EXPECT_EQ(formula_value(Value(int64_t{-3})), -3);
  EXPECT_EQ(formula_value(Value(1.9)), 1);
  EXPECT_EQ(formula_value(Value(-1.9)), -1);
  EXPECT_EQ(formula_value(Value(1e300)), INT64_MAX);
  EXPECT_EQ(formula_value(Value(-1e300)), INT64_MIN);
  EXPECT_EQ(formula_value(Value(std::string("halves"))), text_value("halves"));
}

TEST(Problem, FindsAndPrintsInOrder) {
  Problem problem({{"hidden", int64_t{2880}}, {"layout", std::string("halves")}, {"alpha", 1.702}});
  EXPECT_EQ(problem.canonical(), "hidden=2880,layout=halves,alpha=1.702");
  EXPECT_EQ(problem.integer("hidden"), 2880);
  EXPECT_EQ(problem.find("nothing"), nullptr);
  EXPECT_EQ(Problem().canonical(), "");
}

}  // namespace
}  // namespace rtjit
