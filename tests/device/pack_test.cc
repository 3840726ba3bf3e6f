// Packs on a GPU: a right one passes, one with a wrong kernel is found out.
#include "tests/device/cuda_session.h"
#include "tests/tuner/pack_rig.h"

namespace rtjit::testing {
namespace {

class PackOnDevice : public CudaTest {};

TEST_F(PackOnDevice, WrongKernelsAreFound) {
  auto rig = test::PackRig::create(device().info().target.name());
  ASSERT_TRUE(rig.ok()) << rig.error().message;
  test::expect_wrong_kernels_to_be_found(**rig, device().info(), {"/proc/self/exe", "worker", "--cuda"});
}

}  // namespace
}  // namespace rtjit::testing
