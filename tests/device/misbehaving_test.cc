// Kernels that go wrong on purpose, on a GPU: each is stopped or found out, and the next one runs as if
// nothing had happened.
#include "tests/device/cuda_session.h"
#include "tests/tuner/misbehaving_rig.h"

namespace rtjit::testing {
namespace {

class MisbehavingOnDevice : public CudaTest {};

TEST_F(MisbehavingOnDevice, EachCostsItselfOnly) {
  TuneLimits limits;
  limits.compile_limit = std::chrono::milliseconds(3000);
  auto rig = test::MisbehavingRig::create(device().info(), {"/proc/self/exe", "worker", "--cuda"}, limits);
  ASSERT_TRUE(rig.ok()) << rig.error().message;
  test::expect_every_misdeed_to_cost_itself_only(**rig);
}

}  // namespace
}  // namespace rtjit::testing
