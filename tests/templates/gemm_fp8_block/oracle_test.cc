#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/float_formats.h"
#include "tests/templates/gemm_fp8_block/gemm_fp8_oracle.h"

namespace rtjit::gemm_fp8_oracle {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// k = 144: a full block of 128 and a short one of 16. n = 130: two blocks of B's rows.
struct SmallGemm {
  static constexpr int kM = 2, kN = 130, kK = 144;
  std::vector<uint8_t> a = std::vector<uint8_t>(kM * kK, e4m3_from_float(1)),
                       b = std::vector<uint8_t>(kN * kK, e4m3_from_float(2));
  std::vector<double> sa = {1, 10, 3, 5};  // [row][block]
  std::vector<double> sb = {1, 2, 4, 7};   // [n / 128][block]
  Gemm gemm() const { return {kM, kN, kK, a.data(), kK, b.data(), kK, sa.data(), sb.data()}; }
};

TEST(Fp8Oracle, ScalesEachBlock) {
  SmallGemm small;
  const std::vector<double> d = compute(small.gemm());
  EXPECT_EQ(d[0], 1 * 1 * 256 + 10 * 2 * 32);
  EXPECT_EQ(d[127], d[0]);
  EXPECT_EQ(d[128], 1 * 4 * 256 + 10 * 7 * 32);
  EXPECT_EQ(d[SmallGemm::kN], 3 * 1 * 256 + 5 * 2 * 32);
  EXPECT_EQ(d[2 * SmallGemm::kN - 1], 3 * 4 * 256 + 5 * 7 * 32);
}

TEST(Fp8Oracle, NanReachesWhatItTouchesOnly) {
  SmallGemm small;
  small.sa[2] = kNaN;                       // row 1
  small.b[5 * SmallGemm::kK + 143] = 0xff;  // column 5, in the tail
  const std::vector<double> d = compute(small.gemm());
  for (int column = 0; column < SmallGemm::kN; ++column) {
    EXPECT_EQ(std::isnan(d[static_cast<size_t>(column)]), column == 5);
    EXPECT_TRUE(std::isnan(d[static_cast<size_t>(SmallGemm::kN + column)]));
  }
}

TEST(Fp8Oracle, StridesAndNoK) {
  SmallGemm small;
  const std::vector<double> dense = compute(small.gemm());
  std::vector<uint8_t> padded(SmallGemm::kM * 160, 0x7f);
  for (int row = 0; row < SmallGemm::kM; ++row) {
    std::memcpy(&padded[static_cast<size_t>(row) * 160], &small.a[static_cast<size_t>(row) * SmallGemm::kK],
                SmallGemm::kK);
  }
  Gemm gemm = small.gemm();
  gemm.a = padded.data();
  gemm.a_stride = 160;
  EXPECT_EQ(compute(gemm), dense);
  gemm.k = 0;
  for (double value : compute(gemm)) EXPECT_EQ(value, 0.0);
}

TEST(Fp8Oracle, CompareSeesErrorsAndUnlikeNans) {
  const double inf = std::numeric_limits<double>::infinity();
  Difference same = compare({1, kNaN, inf, 0}, {1, kNaN, inf, 0});
  EXPECT_EQ(same.rel_l2, 0);
  EXPECT_EQ(same.mismatched, 0);
  EXPECT_EQ(compare({1, kNaN}, {1, 2}).mismatched, 1);
  EXPECT_EQ(compare({1, 2}, {1, kNaN}).mismatched, 1);
  EXPECT_EQ(compare({inf}, {-inf}).mismatched, 1);
  EXPECT_EQ(compare({1}, {1, 2}).mismatched, 2);
  Difference off = compare({3, 4.5}, {3, 4});
  EXPECT_DOUBLE_EQ(off.rel_l2, 0.1);
  EXPECT_DOUBLE_EQ(off.err_per_rms, 0.5 / std::sqrt(12.5));
  EXPECT_EQ(compare({1}, {0}).rel_l2, inf);
}

}  // namespace
}  // namespace rtjit::gemm_fp8_oracle
