// gemm_fp8_block through the library on the GPU against the fp64 oracle.
#include "base/text.h"
#include "tests/device/cases/fp8_test_case.h"
#include "tests/device/cuda_session.h"

namespace rtjit::testing {
namespace {

class Fp8OnDevice : public CudaTest, public ::testing::WithParamInterface<size_t> {};

TEST_P(Fp8OnDevice, AgreesWithTheOracle) {
  const std::vector<gemm_fp8_oracle::Case> cases = gemm_fp8_oracle::all_cases();
  const gemm_fp8_oracle::Case& c = cases[GetParam()];
  Coverage coverage;
  const auto failures =
      run_case(context(), make_fp8_case(c), GetParam(), cases.size(), CudaSession::config_limit(), &coverage);
  EXPECT_TRUE(failures.empty()) << join(failures, "\n");
  session().fp8.add(coverage);
  if (!c.every_config || CudaSession::config_limit() > 0) return;
  EXPECT_GT(coverage.feasible.size(), 20u);
  EXPECT_TRUE(coverage.missing().empty()) << join(coverage.missing(), "\n");
}

std::string fp8_case_name(const ::testing::TestParamInfo<size_t>& info) {
  return test_name(gemm_fp8_oracle::all_cases()[info.param].name);
}

INSTANTIATE_TEST_SUITE_P(Cases, Fp8OnDevice, ::testing::Range<size_t>(0, gemm_fp8_oracle::all_cases().size()),
                         fp8_case_name);

}  // namespace
}  // namespace rtjit::testing
