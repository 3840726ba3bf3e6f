// Kernels that go wrong on purpose, on the emulator. tests/device runs the same ones on a GPU.
#include <gmock/gmock.h>

#include "emulator/emulated_device.h"
#include "tests/tuner/misbehaving_rig.h"

namespace rtjit::test {
namespace {

TEST(Misbehaving, EachCostsItselfOnlyOnTheEmulator) {
  auto target = Target::parse("sm_90a");
  DeviceInfo info = (*make_emulated_device(*target))->info();
  info.l2_bytes = 0;  // there is no cache to be kept cold
  TuneLimits limits;
  limits.candidate_limit = std::chrono::milliseconds(1500);
  limits.compile_limit = std::chrono::milliseconds(1500);
  auto rig = MisbehavingRig::create(info, {"/proc/self/exe", "worker", "--emulate", "sm_90a"}, limits);
  ASSERT_TRUE(rig.ok()) << rig.error().message;
  expect_every_misdeed_to_cost_itself_only(**rig);
}

}  // namespace
}  // namespace rtjit::test
