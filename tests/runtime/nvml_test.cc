#include "runtime/nvml.h"

#include <gmock/gmock.h>

#include <cstdlib>

namespace rtjit {
namespace {

using ::testing::HasSubstr;

class NvmlTest : public ::testing::Test {
 protected:
  void SetUp() override { ::setenv("RTJIT_NVML", RTJIT_FAKE_LIBNVML, 1); }
  void TearDown() override {
    ::unsetenv("RTJIT_NVML");
    ::unsetenv("RTJIT_FAKE_NVML_CLOCKS");
  }
};

TEST_F(NvmlTest, ReadsClocksAndThePowerLimit) {
  ::setenv("RTJIT_FAKE_NVML_CLOCKS", "1980,-1200,1965", 1);
  auto device = NvmlDevice::open("0000:1b:00.0");
  ASSERT_TRUE(device.ok()) << device.error().message;
  GpuClocks clocks = (*device)->clocks();
  EXPECT_EQ(clocks.sm_mhz, 1980);
  EXPECT_FALSE(clocks.slowed) << "reaching the power cap is a property of the work";
  clocks = (*device)->clocks();
  EXPECT_EQ(clocks.sm_mhz, 1200);
  EXPECT_TRUE(clocks.slowed);
  EXPECT_EQ((*device)->clocks().sm_mhz, 1965);
  EXPECT_EQ((*device)->power_limit_watts(), 700);
}

TEST_F(NvmlTest, IsUnavailableWithAReason) {
  auto other = NvmlDevice::open("0000:99:00.0");
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().code, ErrorCode::unavailable);
  EXPECT_THAT(other.error().message, HasSubstr("does not know the device 0000:99:00.0"));
  EXPECT_FALSE(NvmlDevice::open("").ok()) << "an emulated device has none";
  ::setenv("RTJIT_NVML", "/nowhere/libnvidia-ml.so.1", 1);
  auto nothing = NvmlDevice::open("0000:1b:00.0");
  ASSERT_FALSE(nothing.ok());
  EXPECT_THAT(nothing.error().message, HasSubstr("could not be opened"));
  ::setenv("RTJIT_NVML", RTJIT_FAKE_LIBCUDA, 1);
  nothing = NvmlDevice::open("0000:1b:00.0");
  ASSERT_FALSE(nothing.ok());
  EXPECT_THAT(nothing.error().message, HasSubstr("lacks a function"));
}

}  // namespace
}  // namespace rtjit
