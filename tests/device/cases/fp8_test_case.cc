#include "tests/device/cases/fp8_test_case.h"

#include <cstring>
#include <memory>

#include "base/float_formats.h"

namespace rtjit::testing {
namespace {

using gemm_fp8_oracle::Case;
using gemm_fp8_oracle::Operands;
using gemm_fp8_oracle::ScaleType;

// The template's limits: 3e-3 is the rounding of bf16, and f32 results have hardly any.
constexpr double kMaxRelL2 = 3e-3, kMaxRelL2Float = 1e-4, kMaxPerRms = 5e-2;

DType dtype_of(ScaleType type) { return type == ScaleType::f32 ? DType::f32 : DType::e8m0; }
const char* name_of(ScaleType type) { return type == ScaleType::f32 ? "f32" : "e8m0"; }

Judgement judge(const Case& c, const std::vector<int>& rows, const std::vector<double>& expected,
                const std::vector<unsigned char>& output) {
  std::vector<double> actual;
  actual.reserve(expected.size());
  for (int row : rows) {
    for (int column = 0; column < c.n; ++column) {
      const size_t at = static_cast<size_t>(row) * static_cast<size_t>(c.n) + static_cast<size_t>(column);
      if (c.out_f32) {
        float value;
        std::memcpy(&value, &output[at * 4], 4);
        actual.push_back(value);
      } else {
        uint16_t bits;
        std::memcpy(&bits, &output[at * 2], 2);
        actual.push_back(float_from_bf16(bits));
      }
    }
  }
  const gemm_fp8_oracle::Difference difference = gemm_fp8_oracle::compare(actual, expected);
  Judgement judgement{difference.rel_l2, difference.err_per_rms, ""};
  if (difference.mismatched != 0 || !(difference.rel_l2 <= (c.out_f32 ? kMaxRelL2Float : kMaxRelL2)) ||
      !(difference.err_per_rms <= kMaxPerRms)) {
    judgement.wrong = fmt::format("relL2 {:.2e}, max per rms {:.2e}, {} NaN or infinities misplaced",
                                  difference.rel_l2, difference.err_per_rms, difference.mismatched);
  }
  return judgement;
}

}  // namespace

TestCase make_fp8_case(const Case& c) {
  const Operands o = gemm_fp8_oracle::make_operands(c);
  TestCase test;
  test.name = c.name;
  test.template_name = "gemm_fp8_block";
  test.value = c.m;
  test.every_config = c.every_config;
  test.problem = fmt::format("n={},k={},out={},a_scale={},a_scale_layout={},b_scale={}", c.n, c.k,
                             c.out_f32 ? "f32" : "bf16", name_of(c.a_scale),
                             c.m_major ? "m_major" : "row_major", name_of(c.b_scale));
  const int64_t sa_rows = c.m_major ? o.blocks : c.m, sa_columns = c.m_major ? c.m : o.blocks;
  test.launch = {
      {"a", DType::e4m3, {c.m, c.k}, {o.a_stride, 1}, o.a},
      {"sa", dtype_of(c.a_scale), {sa_rows, sa_columns}, {o.sa_stride, 1}, o.sa},
      {"b", DType::e4m3, {c.n, c.k}, {o.b_stride, 1}, o.b},
      {"sb", dtype_of(c.b_scale), {o.blocks_n, o.blocks}, {}, o.sb},
      {"d", c.out_f32 ? DType::f32 : DType::bf16, {c.m, c.n}, {o.d_stride, 1}, {}, true},
  };
  const std::vector<int> rows = gemm_fp8_oracle::compared_rows(c);
  auto expected = std::make_shared<const std::vector<double>>(gemm_fp8_oracle::expected_rows(c, o, rows));
  test.judge = [c, rows, expected](const std::vector<unsigned char>& output) {
    return judge(c, rows, *expected, output);
  };
  return test;
}

}  // namespace rtjit::testing
