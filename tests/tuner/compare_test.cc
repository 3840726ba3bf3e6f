#include "tuner/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace rtjit {
namespace {

const float kNan = std::numeric_limits<float>::quiet_NaN();
const float kInf = std::numeric_limits<float>::infinity();

Comparison compare(const std::vector<float>& reference, const std::vector<float>& output,
                   int64_t columns = 2) {
  HostTensor shape;
  shape.name = "out";
  shape.dtype = DType::f32;
  shape.rank = 2;
  shape.shape = {static_cast<int64_t>(reference.size()) / columns, columns};
  shape.stride = {columns, 1};
  VerifySpec limits;
  limits.max_rel_l2 = 1e-2;
  limits.max_err_per_rms = 1e-1;
  auto bytes = [](const std::vector<float>& values) {
    return std::span(reinterpret_cast<const unsigned char*>(values.data()), values.size() * 4);
  };
  return compare_output(shape, bytes(reference), bytes(output), limits);
}

TEST(Compare, Metrics) {
  Comparison same = compare({1, 2, 3, 4}, {1, 2, 3, 4});
  EXPECT_TRUE(same.ok);
  EXPECT_EQ(same.rel_l2, 0);
  EXPECT_EQ(same.compared, 4);
  EXPECT_EQ(same.different, 0);
  Comparison near = compare({3, 4, 0, 0}, {3, 4.02f, 0, 0});
  EXPECT_TRUE(near.ok);
  EXPECT_NEAR(near.rel_l2, 0.02 / 5, 1e-6);
  EXPECT_NEAR(near.max_err, 0.02 / 2.5, 1e-6);
  EXPECT_EQ(near.different, 1);
  Comparison far = compare({3, 4, 0, 0}, {3, 4.5f, 0, 0});
  EXPECT_FALSE(far.ok);
  EXPECT_EQ(far.reason, "wrong: out has relative error 1.00e-01, limit 1.00e-02");
}

TEST(Compare, OneBadElementAmongMany) {
  std::vector<float> reference(20000, 1.0f), output = reference;
  output.back() = 2.0f;  // relative error 0.7 %, within the first limit
  Comparison result = compare(reference, output);
  EXPECT_FALSE(result.ok);
  EXPECT_EQ(result.reason, "wrong: out has an error of 1.00e+00 of its rms, limit 1.00e-01");
}

// Many rows are shared out among threads.
TEST(Compare, TheFirstOfManyBadElementsIsNamed) {
  std::vector<float> reference(600000, 1.0f), output = reference;
  output[400001] = output[500000] = kNan;
  Comparison result = compare(reference, output);
  EXPECT_EQ(result.reason, "wrong: out row 200000 column 1 is nan, must be 1");
  output = reference;
  output[7] = output[599999] = 1.0625f;
  result = compare(reference, output);
  EXPECT_TRUE(result.ok);
  EXPECT_EQ(result.compared, 600000);
  EXPECT_EQ(result.different, 2);
  EXPECT_NEAR(result.rel_l2, std::sqrt(2 * 0.0625 * 0.0625 / 600000), 1e-12);
  EXPECT_EQ(result.max_err, 0.0625);
}

TEST(Compare, Bf16IsReadAsAllOtherTypes) {
  HostTensor shape;
  shape.name = "out";
  shape.dtype = DType::bf16;
  shape.rank = 2;
  shape.shape = {2, 2};
  shape.stride = {3, 1};
  const uint16_t reference[] = {0x3f80, 0x4000, 0xffff, 0x8000, 0x0000};  // 1, 2, a gap, -0, 0
  uint16_t output[] = {0x3f80, 0x4000, 0x1234, 0x0000, 0x8000};
  auto bytes = [](const uint16_t(&values)[5]) {
    return std::span(reinterpret_cast<const unsigned char*>(values), sizeof values);
  };
  VerifySpec limits;
  limits.max_rel_l2 = limits.max_err_per_rms = 1e-2;
  EXPECT_TRUE(compare_output(shape, bytes(reference), bytes(output), limits).ok);
  output[4] = 0x0001;
  EXPECT_EQ(compare_output(shape, bytes(reference), bytes(output), limits).reason,
            "wrong: out row 1 must be all zeros");
  output[1] = 0x7fc0;
  EXPECT_EQ(compare_output(shape, bytes(reference), bytes(output), limits).reason,
            "wrong: out row 0 column 1 is nan, must be 2");
}

TEST(Compare, SameBytes) {
  std::vector<unsigned char> a(5 << 20, 7), b = a;
  EXPECT_TRUE(same_bytes(a, b));
  b.back() = 8;
  EXPECT_FALSE(same_bytes(a, b));
  b.pop_back();
  EXPECT_FALSE(same_bytes(a, b));
}

TEST(Compare, SpecialValuesMustBeAtTheSamePlaces) {
  EXPECT_TRUE(compare({kNan, 1, kInf, -kInf}, {kNan, 1, kInf, -kInf}).ok);
  EXPECT_EQ(compare({kNan, 1}, {0, 1}).reason, "wrong: out row 0 column 0 is 0, must be nan");
  EXPECT_EQ(compare({1, 1, 1, 1}, {1, 1, 1, kNan}).reason, "wrong: out row 1 column 1 is nan, must be 1");
  EXPECT_FALSE(compare({kInf, 1}, {-kInf, 1}).ok);
}

TEST(Compare, ZeroRowsMustBeExactlyZero) {
  EXPECT_EQ(compare({1, 1, 0, 0}, {1, 1, 0, 1e-30f}).reason, "wrong: out row 1 must be all zeros");
  EXPECT_TRUE(compare({1, 1, 0, 0}, {1, 1, -0.0f, 0}).ok);
}

}  // namespace
}  // namespace rtjit
