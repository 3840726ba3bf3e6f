#include "tuner/inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "templates/registry.h"
#include "tests/tuner/scale_add.h"

namespace rtjit {
namespace {

// The arguments of moe_mxfp4 use every kind of fill.
class InputsTest : public testing::Test {
 protected:
  void SetUp() override {
    auto registry = TemplateRegistry::create();
    ASSERT_TRUE(registry.ok());
    tmpl_ = *(*registry)->find("moe_mxfp4");
    auto problem = make_problem(*tmpl_, {{"hidden", "320"},
                                         {"intermediate", "64"},
                                         {"experts", "8"},
                                         {"top_k", "4"},
                                         {"bias", "f32"},
                                         {"expert_offset", "16"}});
    ASSERT_TRUE(problem.ok()) << problem.error().message;
    problem_ = *problem;
    Target target = *Target::parse("sm_90a");
    std::vector<StageChoice> choices;
    for (const Stage& stage : tmpl_->stages) {
      const Variant& variant = stage.variants.back();
      auto config = default_config(*tmpl_, stage, variant, problem_, 64, target.facts());
      ASSERT_TRUE(config.ok()) << config.error().message;
      choices.push_back({stage.name, variant.name, config->value()});
    }
    auto plan = LaunchPlan::create(tmpl_, problem_, choices, target.facts());
    ASSERT_TRUE(plan.ok()) << plan.error().message;
    plan_ = std::make_unique<LaunchPlan>(std::move(*plan));
  }

  std::vector<HostTensor> draw(const InputCase& input, ArgumentSpec::Role role = ArgumentSpec::Role::launch) {
    auto tensors = draw_inputs(*plan_, problem_, role, input);
    EXPECT_TRUE(tensors.ok()) << (tensors.ok() ? "" : tensors.error().message);
    return std::move(*tensors);
  }
  static const HostTensor& named(const std::vector<HostTensor>& tensors, std::string_view name) {
    for (const HostTensor& tensor : tensors) {
      if (tensor.name == name) return tensor;
    }
    ADD_FAILURE() << "no tensor " << name;
    return tensors.front();
  }
  static double at(const HostTensor& tensor, int64_t row, int64_t column) {
    size_t offset = static_cast<size_t>((tensor.row_offset(row) + column) * bytes_of(tensor.dtype));
    return element_value(tensor.dtype, tensor.data.data() + offset);
  }
  std::vector<HostTensor> ids(int pattern, int64_t tokens = 500) {
    InputCase input;
    input.value = tokens;
    input.pattern = pattern;
    return draw(input);
  }

  std::shared_ptr<const Template> tmpl_;
  Problem problem_;
  std::unique_ptr<LaunchPlan> plan_;
};

TEST_F(InputsTest, DeterministicInTheSeed) {
  InputCase input;
  input.value = 33;
  auto a = draw(input), b = draw(input);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].data, b[i].data) << a[i].name;
  input.seed = 2;
  auto c = draw(input);
  EXPECT_NE(named(a, "x").data, named(c, "x").data);
  EXPECT_NE(named(a, "ids").data, named(c, "ids").data);
}

TEST_F(InputsTest, NormalHasMeanZeroAndVarianceOne) {
  InputCase input;
  input.value = 200;
  auto tensors = draw(input);
  const HostTensor& x = named(tensors, "x");
  EXPECT_EQ(x.dtype, DType::bf16);
  double sum = 0, squares = 0;
  for (int64_t row = 0; row < x.rows(); ++row) {
    for (int64_t column = 0; column < x.columns(); ++column) {
      sum += at(x, row, column);
      squares += at(x, row, column) * at(x, row, column);
    }
  }
  EXPECT_NEAR(sum / static_cast<double>(x.elements()), 0, 0.02);
  EXPECT_NEAR(squares / static_cast<double>(x.elements()), 1, 0.03);
}

TEST_F(InputsTest, SoftmaxRowsSumToOne) {
  auto tensors = ids(0);
  const HostTensor& weights = named(tensors, "weights");
  for (int64_t row = 0; row < weights.rows(); ++row) {
    double sum = 0;
    for (int64_t column = 0; column < 4; ++column) {
      EXPECT_GT(at(weights, row, column), 0);
      sum += at(weights, row, column);
    }
    EXPECT_NEAR(sum, 1, 1e-5);
  }
}

TEST_F(InputsTest, UniformChoicesAreValidDistinctAndEven) {
  auto tensors = ids(0);
  const HostTensor& chosen = named(tensors, "ids");
  std::map<int, int> counts;
  for (int64_t row = 0; row < chosen.rows(); ++row) {
    std::set<double> seen;
    for (int64_t column = 0; column < 4; ++column) {
      double id = at(chosen, row, column);
      EXPECT_GE(id, 16);
      EXPECT_LT(id, 24);
      seen.insert(id);
      ++counts[static_cast<int>(id)];
    }
    EXPECT_EQ(seen.size(), 4u);
  }
  for (const auto& [id, count] : counts) EXPECT_NEAR(count, 250, 60) << id;
}

TEST_F(InputsTest, PatternOneGivesEveryRowTheSameChoices) {
  auto tensors = ids(1);
  const HostTensor& chosen = named(tensors, "ids");
  for (int64_t row = 1; row < chosen.rows(); ++row) {
    for (int64_t column = 0; column < 4; ++column) EXPECT_EQ(at(chosen, row, column), at(chosen, 0, column));
  }
}

TEST_F(InputsTest, PatternTwoHasAFifthInvalidOnBothSides) {
  auto tensors = ids(2);
  const HostTensor& chosen = named(tensors, "ids");
  int below = 0, above = 0;
  for (int64_t row = 0; row < chosen.rows(); ++row) {
    for (int64_t column = 0; column < 4; ++column) {
      below += at(chosen, row, column) == -1;
      above += at(chosen, row, column) >= 24;
    }
  }
  EXPECT_NEAR(below, 200, 50);
  EXPECT_NEAR(above, 200, 50);
}

TEST_F(InputsTest, PatternThreeIsSkewed) {
  auto tensors = ids(3, 2000);
  const HostTensor& chosen = named(tensors, "ids");
  std::map<int, int> first;
  for (int64_t row = 0; row < chosen.rows(); ++row) ++first[static_cast<int>(at(chosen, row, 0)) - 16];
  EXPECT_NEAR(first[0], 2000 / 2.718, 80);  // 1 / (1 + 1/2 + ... + 1/8)
  EXPECT_GT(first[0], first[1]);
  EXPECT_GT(first[1], first[4]);
}

TEST_F(InputsTest, BytesKeepTheirRangeAndDtypeKeyDecides) {
  auto tensors = draw(InputCase{}, ArgumentSpec::Role::pack);
  const HostTensor& scales = named(tensors, "s1");
  std::set<int> seen(scales.data.begin(), scales.data.end());
  EXPECT_THAT(seen, testing::ElementsAre(117, 118, 119, 120));
  const HostTensor& codes = named(tensors, "w1");
  EXPECT_EQ(std::set<int>(codes.data.begin(), codes.data.end()).size(), 256u);
  EXPECT_EQ(named(tensors, "b1").dtype, DType::f32);
}

TEST_F(InputsTest, OptionalsAndDtypesOnRequest) {
  InputCase input;
  input.value = 5;
  auto plain = draw(input);
  input.optionals = input.last_dtypes = true;
  auto full = draw(input);
  auto has = [](const std::vector<HostTensor>& tensors, std::string_view name) {
    for (const HostTensor& tensor : tensors) {
      if (tensor.name == name) return true;
    }
    return false;
  };
  EXPECT_FALSE(has(plain, "alpha_e"));
  EXPECT_TRUE(has(full, "alpha_e"));
  EXPECT_FALSE(has(full, "num_valid_tokens"));  // zeros would turn every row into padding
  EXPECT_EQ(named(plain, "ids").dtype, DType::i32);
  EXPECT_EQ(named(full, "ids").dtype, DType::i16);
}

// However many threads draw: what a stored row says of a case can be drawn again on any machine.
TEST_F(InputsTest, DrawsAreThoseOfOneSequence) {
  Random one(5);
  for (int i = 0; i < 100; ++i) one.next();
  EXPECT_EQ(one.next(), Random(5).after(100).next());

  InputCase input;
  input.seed = 3;
  auto tensors = draw(input, ArgumentSpec::Role::pack);
  const HostTensor& w1 = named(tensors, "w1");
  ASSERT_EQ(w1.bytes(), 8 * 128 * 160);
  auto scales = named(tensors, "s1").data;
  Random random(input.seed * 0x9E3779B97F4A7C15ull + static_cast<uint64_t>(text_value("w1")));
  for (size_t at = 0; at < w1.data.size(); at += 8) {
    uint64_t word;
    std::memcpy(&word, w1.data.data() + at, 8);
    ASSERT_EQ(word, random.next()) << at;
  }
  Random of_scales(input.seed * 0x9E3779B97F4A7C15ull + static_cast<uint64_t>(text_value("s1")));
  for (unsigned char scale : scales) ASSERT_EQ(scale, 117 + of_scales.below(4));
}

TEST_F(InputsTest, LargeFillsRepeatWithAnOddPeriod) {
  HostTensor x;
  InputCase input;
  input.value = 60000;  // 38 MB of x
  auto tensors = draw(input);
  const HostTensor& big = named(tensors, "x");
  const size_t row = 640;
  // One period: what follows it on the device is the same again.
  ASSERT_EQ(big.bytes(), 60000 * 640);
  ASSERT_LT(big.data.size(), size_t{17} << 20);
  EXPECT_EQ(big.data.size() % 2, 0u);
  EXPECT_NE(big.data.size() % row, 0u);
  int equal_rows = 0;
  for (size_t r = 1; r < 1000; ++r) {
    equal_rows += std::memcmp(big.data.data(), big.data.data() + r * row, row) == 0;
  }
  EXPECT_EQ(equal_rows, 0);
}

}  // namespace
}  // namespace rtjit
