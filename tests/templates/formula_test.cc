#include "templates/formula.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace rtjit {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

SymbolTable letters() {
  SymbolTable symbols;
  for (const char* name : {"a", "b", "zero", "hidden", "gemm1.block_m", "store"}) symbols.add(name);
  return symbols;
}
const std::vector<int64_t> kValues = {7, 3, 0, 2880, 64, text_value("scatter4")};

std::optional<int64_t> value_of(std::string_view text) {
  auto formula = Formula::parse(text, letters());
  if (!formula) {
    ADD_FAILURE() << formula.error().message;
    return std::nullopt;
  }
  return formula->evaluate(kValues);
}

std::string parse_error(std::string_view text) {
  auto formula = Formula::parse(text, letters());
  return formula.ok() ? "no error" : formula.error().message;
}

std::string run_error(std::string_view text) {
  auto formula = Formula::parse(text, letters());
  if (!formula) return "parse: " + formula.error().message;
  auto value = formula->evaluate_or_error(kValues, letters());
  EXPECT_EQ(formula->evaluate(kValues).has_value(), value.ok());
  return value.ok() ? "no error" : value.error().message;
}

struct Case {
  const char* text;
  int64_t value;
};

TEST(Formula, EveryOperatorAndFunction) {
  for (Case c : std::initializer_list<Case>{{"1024", 1024},
                                            {"0x400", 1024},
                                            {"a", 7},
                                            {"gemm1.block_m", 64},
                                            {"a + b", 10},
                                            {"a - b", 4},
                                            {"b - a", -4},
                                            {"a * b", 21},
                                            {"a / b", 2},
                                            {"a % b", 1},
                                            {"-a / b", -2},
                                            {"-a % b", -1},
                                            {"-a", -7},
                                            {"!a", 0},
                                            {"!zero", 1},
                                            {"!!a", 1},
                                            {"a == 7", 1},
                                            {"a != 7", 0},
                                            {"a < b", 0},
                                            {"b < a", 1},
                                            {"a <= 7", 1},
                                            {"a >= 8", 0},
                                            {"a > b", 1},
                                            {"a && b", 1},
                                            {"a && zero", 0},
                                            {"zero || a", 1},
                                            {"zero || zero", 0},
                                            {"a ? 5 : 6", 5},
                                            {"zero ? 5 : 6", 6},
                                            {"min(a, b)", 3},
                                            {"max(a, b)", 7},
                                            {"min(4, 2, 9, 3)", 2},
                                            {"max(4,2,9,3)", 9},
                                            {"cdiv(a, b)", 3},
                                            {"cdiv(6, b)", 2},
                                            {"cdiv(zero, b)", 0},
                                            {"cdiv(-a, b)", -2},
                                            {"align(a, 4)", 8},
                                            {"align(8, 4)", 8},
                                            {"align(zero, 256)", 0},
                                            {"pow2(zero)", 1},
                                            {"pow2(5)", 8},
                                            {"pow2(64)", 64},
                                            {"ilog2(1)", 0},
                                            {"ilog2(1023)", 9},
                                            {"ilog2(1024)", 10},
                                            {"store == 'scatter4'", 1},
                                            {"store != 'plain'", 1},
                                            {"distinct(32, 4)", 4},
                                            {"distinct(32, 1000)", 32},
                                            {"distinct(1, 9)", 1},
                                            {"distinct(32, 0)", 0},
                                            {"distinct(0, 5)", 0},
                                            {"distinct(2, 1)", 1}}) {
    EXPECT_EQ(value_of(c.text), c.value) << c.text;
  }
}

TEST(Formula, PrecedenceIsThatOfC) {
  for (Case c : std::initializer_list<Case>{{"1 + 2 * 3", 7},
                                            {"(1 + 2) * 3", 9},
                                            {"10 - 4 - 3", 3},
                                            {"100 / 10 / 5", 2},
                                            {"-2 * -3", 6},
                                            {"1 + 1 == 2", 1},
                                            {"2 < 1 == 0", 1},
                                            {"1 || 0 && 0", 1},
                                            {"(1 || 0) && 0", 0},
                                            {"0 == 1 || 1", 1},
                                            {"zero ? 1 : zero ? 2 : 3", 3},
                                            {"1 ? zero ? 1 : 2 : 3", 2},
                                            {"1 || 0 ? 5 : 6", 5},
                                            {"!zero + 1", 2},
                                            {"7 % 4 * 2", 6},
                                            {"a>b?a:b", 7}}) {
    EXPECT_EQ(value_of(c.text), c.value) << c.text;
  }
}

TEST(Formula, OnlyTheNeededSideIsEvaluated) {
  EXPECT_EQ(value_of("zero != 0 && 1 / zero > 1"), 0);
  EXPECT_EQ(value_of("zero == 0 || 1 / zero > 1"), 1);
  EXPECT_EQ(value_of("zero ? 1 / zero : 5"), 5);
  EXPECT_EQ(value_of("a && 5"), 1);
  EXPECT_EQ(value_of("zero || 5"), 1);
}

TEST(Formula, OverflowAndDivisionByZeroAreErrors) {
  for (const char* text :
       {"9223372036854775807 + 1", "-9223372036854775807 - 2", "4611686018427387904 * 2",
        "-(-9223372036854775807 - 1)", "(-9223372036854775807 - 1) / -1", "(-9223372036854775807 - 1) % -1",
        "pow2(4611686018427387905)", "align(9223372036854775807, 2)"}) {
    EXPECT_THAT(run_error(text), HasSubstr("does not fit in 64 bits")) << text;
  }
  for (const char* text : {"1 / zero", "1 % zero", "cdiv(1, zero)", "align(1, zero)"}) {
    EXPECT_THAT(run_error(text), HasSubstr("division by zero")) << text;
  }
  EXPECT_THAT(run_error("ilog2(zero)"), HasSubstr("ilog2 needs a positive argument"));
  EXPECT_THAT(run_error("cdiv(1, -2)"), HasSubstr("positive second argument"));
  EXPECT_THAT(run_error("distinct(-1, 2)"), HasSubstr("not negative"));
}

TEST(Formula, ExtremesThatFit) {
  EXPECT_EQ(value_of("-9223372036854775807 - 1"), INT64_MIN);
  EXPECT_EQ(value_of("cdiv(9223372036854775807, 2)"), 4611686018427387904);
  EXPECT_EQ(value_of("pow2(4611686018427387904)"), 4611686018427387904);
}

TEST(Formula, RunErrorsNameTheFormulaAndTheValues) {
  EXPECT_EQ(run_error("a / (b - 3) + a"), "formula 'a / (b - 3) + a': division by zero, with a = 7, b = 3");
}

TEST(Formula, MissingValuesAreErrors) {
  auto formula = Formula::parse("store", letters());
  EXPECT_FALSE(formula->evaluate(std::vector<int64_t>{1, 2}));
}

TEST(Formula, ParseErrorsNameTheColumn) {
  EXPECT_EQ(parse_error("hiden * 2"),
            "formula 'hiden * 2', column 1: unknown name 'hiden'; did you mean 'hidden'?");
  EXPECT_THAT(parse_error("2 * gemm1.block_n"),
              AllOf(HasSubstr("column 5"), HasSubstr("did you mean 'gemm1.block_m'?")));
  EXPECT_THAT(parse_error("quux"), HasSubstr("known here: a, b, gemm1.block_m, hidden, store, zero"));
  EXPECT_THAT(parse_error(""), HasSubstr("empty"));
  EXPECT_THAT(parse_error("  "), HasSubstr("empty"));
  EXPECT_THAT(parse_error("1 +"),
              AllOf(HasSubstr("column 4"), HasSubstr("expected a number, a name or '('")));
  EXPECT_THAT(parse_error("1 2"), AllOf(HasSubstr("column 3"), HasSubstr("expected an operator or the end")));
  EXPECT_THAT(parse_error("(1"), AllOf(HasSubstr("column 3"), HasSubstr("expected ')'")));
  EXPECT_THAT(parse_error("1)"), HasSubstr("column 2"));
  EXPECT_THAT(parse_error("a ? 1"), HasSubstr("expected ':'"));
  EXPECT_THAT(parse_error("a & b"), AllOf(HasSubstr("column 3"), HasSubstr("'&' has no meaning")));
  EXPECT_THAT(parse_error("a = b"), HasSubstr("'=' has no meaning"));
  EXPECT_THAT(parse_error("store == 'x"), AllOf(HasSubstr("column 10"), HasSubstr("not closed")));
  EXPECT_THAT(parse_error("12ab"), HasSubstr("'12ab' is not an integer"));
  EXPECT_THAT(parse_error("1.5"), HasSubstr("'1.5' is not an integer"));
  EXPECT_THAT(parse_error("0x"), HasSubstr("'0x' is not an integer"));
  EXPECT_THAT(parse_error("9223372036854775808"), HasSubstr("does not fit in 64 bits"));
  EXPECT_THAT(parse_error("1 < 2 < 3"), HasSubstr("comparisons do not chain"));
  EXPECT_THAT(parse_error("floor(1)"), HasSubstr("unknown function 'floor'; there are min, max, cdiv"));
  EXPECT_THAT(parse_error("cdiv(1)"), HasSubstr("cdiv takes 2 arguments, not 1"));
  EXPECT_THAT(parse_error("pow2(1, 2)"), HasSubstr("pow2 takes 1 arguments, not 2"));
  EXPECT_THAT(parse_error("min(1)"), HasSubstr("min takes 2 or more arguments, not 1"));
  EXPECT_THAT(parse_error("min()"), HasSubstr("expected a number"));
}

std::string repeat(std::string_view part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += part;
  return text;
}

TEST(Formula, DepthIsBounded) {
  EXPECT_EQ(value_of(repeat("(", 90) + "1" + repeat(")", 90)), 1);
  EXPECT_THAT(parse_error(repeat("(", 101) + "1" + repeat(")", 101)), HasSubstr("nested deeper than 100"));
  EXPECT_THAT(parse_error(repeat("-", 100'000) + "1"), HasSubstr("nested deeper than 100"));
  EXPECT_THAT(parse_error(repeat("1 ? 1 : ", 100'000) + "1"), HasSubstr("nested deeper than 100"));
  // 32 values pending is the limit: 31 open sums and the innermost number.
  EXPECT_EQ(value_of(repeat("1 + (", 31) + "1" + repeat(")", 31)), 32);
  EXPECT_THAT(parse_error(repeat("1 + (", 32) + "1" + repeat(")", 32)), HasSubstr("32 pending values"));
  EXPECT_EQ(value_of("0" + repeat(" + 1", 10'000)), 10'000);
}

TEST(Formula, NamedFormulasStandInParentheses) {
  SymbolTable symbols = letters();
  symbols.define("sum", "a + b");
  symbols.define("twice", "2 * sum");
  symbols.define("plain", "store == 'plain'");
  symbols.define("a", "100");  // a slot of that name comes first
  auto value = [&](std::string_view text) {
    auto formula = Formula::parse(text, symbols);
    EXPECT_TRUE(formula.ok()) << (formula.ok() ? "" : formula.error().message);
    return formula.ok() ? formula->evaluate(kValues).value_or(-1) : -1;
  };
  EXPECT_EQ(value("sum * 2"), 20);
  EXPECT_EQ(value("-sum"), -10);
  EXPECT_EQ(value("twice / sum + a"), 9);
  EXPECT_EQ(value("plain ? 1 : min(twice, 5)"), 5);
  EXPECT_THAT(Formula::parse("twice", symbols)->reads(), ElementsAre(0, 1));
}

TEST(Formula, ErrorsInNamedFormulasSayWhereTheyAreUsed) {
  SymbolTable symbols = letters();
  symbols.define("typo", "hiden + 1");
  symbols.define("open", "(a");
  symbols.define("empty", "");
  symbols.define("two", "a b");
  symbols.define("strange", "a ~ b");
  symbols.define("chicken", "egg + 1");
  symbols.define("egg", "2 * chicken");
  symbols.define("d0", "a");
  for (int i = 1; i <= 20; ++i) symbols.define(fmt::format("d{}", i), fmt::format("d{0} + d{0}", i - 1));
  auto error = [&](std::string_view text) {
    auto formula = Formula::parse(text, symbols);
    return formula.ok() ? "no error" : formula.error().message;
  };
  EXPECT_THAT(error("1 + typo"),
              AllOf(HasSubstr("formula 'hiden + 1', column 1: unknown name 'hiden'; did you mean 'hidden'?"),
                    HasSubstr("it is what 'typo' stands for in '1 + typo'")));
  EXPECT_THAT(error("open + 1"), HasSubstr("formula '(a', column 3: expected ')', found 'the end'"));
  EXPECT_THAT(error("empty"), HasSubstr("the formula is empty; it is what 'empty' stands for"));
  EXPECT_THAT(error("two * 2"), HasSubstr("expected an operator or the end, found 'b'"));
  EXPECT_THAT(error("strange"), HasSubstr("formula 'a ~ b'"));
  EXPECT_THAT(error("a + egg"),
              HasSubstr("the named formula 'egg' is defined by itself: egg -> chicken -> egg"));
  EXPECT_THAT(error("d20"), HasSubstr("more than 4096 operations"));
}

TEST(Formula, ReadsAreAscendingAndUnique) {
  EXPECT_THAT(Formula::parse("hidden + a * hidden + 'x'", letters())->reads(), ElementsAre(0, 3));
  EXPECT_THAT(Formula::parse("3", letters())->reads(), ElementsAre());
}

TEST(Formula, ConstantsAndDefault) {
  EXPECT_EQ(Formula().evaluate({}), 0);
  EXPECT_EQ(Formula::constant(-5).evaluate({}), -5);
  EXPECT_EQ(Formula::constant(-5).text(), "-5");
  EXPECT_EQ(Formula::parse(" a+b ", letters())->text(), " a+b ");
}

TEST(Formula, DistinctIsTheExpectationRounded) {
  for (int64_t n : {2, 32, 128, 256}) {
    for (int64_t draws : {1, 4, 6, 64, 384, 10'000}) {
      double expected = n * (1 - std::pow(1 - 1.0 / n, draws));
      EXPECT_EQ(value_of(fmt::format("distinct({}, {})", n, draws)), std::llround(expected))
          << n << " " << draws;
    }
  }
}

// Random expressions, evaluated both by Formula and while they are generated.
struct Generator {
  std::mt19937 random;
  std::string text;
  std::optional<__int128> expected;

  void make(int depth) {
    unsigned pick = random() % (depth > 0 ? 9 : 2);
    if (pick == 0) {
      int64_t number = random() % 1000;
      text = std::to_string(number);
      expected = number;
    } else if (pick == 1) {
      size_t slot = random() % 4;
      text = letters().names()[slot];
      expected = kValues[slot];
    } else {
      Generator left{random, {}, {}}, right{random, {}, {}};
      left.make(depth - 1);
      right.random = left.random;
      right.make(depth - 1);
      random = right.random;
      static constexpr const char* kOps[] = {"+", "-", "*", "/", "%", "<", "&&"};
      const char* op = kOps[pick - 2];
      text = fmt::format("({} {} {})", left.text, op, right.text);
      expected = combine(pick - 2, left.expected, right.expected);
    }
    if (expected && (*expected > INT64_MAX || *expected < INT64_MIN)) expected = std::nullopt;
  }

  static std::optional<__int128> combine(unsigned op, std::optional<__int128> a, std::optional<__int128> b) {
    if (!a) return std::nullopt;
    if (op == 6 && *a == 0) return 0;
    if (!b) return std::nullopt;
    switch (op) {
      case 0:
        return *a + *b;
      case 1:
        return *a - *b;
      case 2:
        return *a * *b;
      case 3:
        return *b == 0 ? std::nullopt : std::optional<__int128>(*a / *b);
      case 4:
        return *b == 0 ? std::nullopt : std::optional<__int128>(*a % *b);
      case 5:
        return *a < *b;
      default:
        return *b != 0;
    }
  }
};

TEST(Formula, RandomExpressionsMatchWideArithmetic) {
  Generator generator{std::mt19937(42), {}, {}};
  int failures = 0;
  for (int round = 0; round < 3000; ++round) {
    generator.make(5);
    std::optional<int64_t> value = value_of(generator.text);
    ASSERT_EQ(value.has_value(), generator.expected.has_value()) << generator.text;
    if (value) {
      ASSERT_EQ(*value, static_cast<int64_t>(*generator.expected)) << generator.text;
    }
    failures += !value;
  }
  EXPECT_GT(failures, 10);  // both outcomes were exercised
  EXPECT_LT(failures, 2500);
}

TEST(Formula, RandomTextsNeverCrash) {
  std::mt19937 random(7);
  constexpr std::string_view kAlphabet = "ab0179().,'+-*/%<>=!&|?: xmin";
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (unsigned i = random() % 24; i > 0; --i) text += kAlphabet[random() % kAlphabet.size()];
    auto formula = Formula::parse(text, letters());
    if (formula.ok()) (void)formula->evaluate(kValues);
  }
}

TEST(SymbolTable, SlotsAndAliases) {
  SymbolTable symbols = letters();
  EXPECT_EQ(symbols.add("a"), 0);
  EXPECT_EQ(symbols.size(), 6);
  EXPECT_FALSE(symbols.find("block_m"));
  symbols.alias("block_m", 4);
  EXPECT_EQ(symbols.find("block_m"), 4);
  EXPECT_EQ(symbols.size(), 6);
  EXPECT_EQ(Formula::parse("block_m", symbols)->evaluate(kValues), 64);
}

TEST(TextValue, IsStableAndNeverNegative) {
  EXPECT_NE(text_value("plain"), text_value("scatter4"));
  for (const char* text : {"", "a", "b", "interleaved", "silu"}) EXPECT_GE(text_value(text), 0) << text;
}

}  // namespace
}  // namespace rtjit
