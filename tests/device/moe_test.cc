// moe_mxfp4 through the library on the GPU: every case of moe_cases against the fp64 oracle.
#include "base/text.h"
#include "tests/device/cases/moe_test_case.h"
#include "tests/device/cuda_session.h"

namespace rtjit::testing {
namespace {

class MoeOnDevice : public CudaTest, public ::testing::WithParamInterface<size_t> {};

TEST_P(MoeOnDevice, AgreesWithTheOracle) {
  const std::vector<check::Case> cases = check::all_cases();
  const check::Case& c = cases[GetParam()];
  Coverage coverage;
  const auto failures =
      run_case(context(), make_moe_case(c), GetParam(), cases.size(), CudaSession::config_limit(), &coverage);
  EXPECT_TRUE(failures.empty()) << join(failures, "\n");
  session().moe.add(coverage);
  if (!c.every_config || CudaSession::config_limit() > 0) return;
  EXPECT_GT(coverage.feasible.size(), 100u);
  EXPECT_TRUE(coverage.missing().empty()) << join(coverage.missing(), "\n");
  // The compiler refuses few of those that the formulas let through.
  EXPECT_LT(coverage.refused.size() * 20, coverage.feasible.size());
}

std::string moe_case_name(const ::testing::TestParamInfo<size_t>& info) {
  return test_name(check::all_cases()[info.param].name);
}

INSTANTIATE_TEST_SUITE_P(Cases, MoeOnDevice, ::testing::Range<size_t>(0, check::all_cases().size()),
                         moe_case_name);

}  // namespace
}  // namespace rtjit::testing
