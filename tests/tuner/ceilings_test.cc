#include "tuner/ceilings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiler/nvrtc.h"
#include "emulator/emulated_device.h"
#include "tests/tuner/fake_device.h"

namespace rtjit {
namespace {

std::unique_ptr<CompilePool> compiler() {
  auto nvrtc = Nvrtc::open();
  EXPECT_TRUE(nvrtc.ok());
  return std::make_unique<CompilePool>(*nvrtc, 2);
}

CeilingOptions small() {
  CeilingOptions options;
  options.buffer_bytes = 1 << 20;
  options.rounds = 2;
  return options;
}

TEST(Ceilings, TheFastestFormOfEachCounts) {
  auto pool = compiler();
  const auto device = test::make_fake_device("sm_90a");
  const auto measured = measure_ceilings(*device, *pool, {"fma", "fp8", "fp4"}, small());
  ASSERT_TRUE(measured.ok()) << measured.error().message;
  EXPECT_TRUE(measured->measured);
  EXPECT_NEAR(measured->read_bytes_per_us, 1.25e6, 1);
  EXPECT_NEAR(measured->copy_bytes_per_us, 1e6, 1);
  ASSERT_EQ(measured->math.size(), 4u);
  // 4 SMs, a microsecond per iteration: two warpgroups with four products of 64 x 256 x 16 each.
  const double bf16 = 4 * 2 * 4 * 2.0 * 64 * 256 * 16;
  const MathCeiling* found = measured->find("bf16");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->unit, "wgmma");
  EXPECT_TRUE(found->measured);
  EXPECT_NEAR(found->flops_per_us, bf16, 1);
  EXPECT_NEAR(measured->find("fp8")->flops_per_us, 2 * bf16, 1);
  EXPECT_EQ(measured->find("fma")->unit, "fma");
  EXPECT_NEAR(measured->find("fma")->flops_per_us, 4 * 2 * 512 * 64 * 2.0, 1);
  // No loop measures it: as much faster as on paper, and said so.
  EXPECT_FALSE(measured->find("fp4")->measured);
  EXPECT_EQ(measured->find("fp4")->unit, "4 times bf16");
  EXPECT_NEAR(measured->find("fp4")->flops_per_us, 4 * bf16, 1);
  EXPECT_EQ(measured->find("int3"), nullptr);
}

TEST(Ceilings, WhatATargetLacksIsNotMeasuredOnIt) {
  auto pool = compiler();
  // No fp8 unit: values are widened, which gains nothing.
  const auto ampere = measure_ceilings(*test::make_fake_device("sm_80"), *pool, {"fp8"}, small());
  ASSERT_TRUE(ampere.ok()) << ampere.error().message;
  EXPECT_EQ(ampere->find("bf16")->unit, "mma.sync");
  EXPECT_FALSE(ampere->find("fp8")->measured);
  EXPECT_EQ(ampere->find("fp8")->flops_per_us, ampere->find("bf16")->flops_per_us);
  // Tensor cores that only tcgen05 feeds.
  const auto blackwell = measure_ceilings(*test::make_fake_device("sm_100a"), *pool, {}, small());
  ASSERT_TRUE(blackwell.ok()) << blackwell.error().message;
  EXPECT_TRUE(blackwell->measured);
  EXPECT_EQ(blackwell->find("bf16")->unit, "data sheet");
  EXPECT_FALSE(blackwell->find("bf16")->measured);
}

TEST(Ceilings, DataSheetsHaveThemForAbsentDevices) {
  const GpuFacts gpu = gpu_facts(*Target::parse("sm_90a"), std::nullopt);
  const Ceilings nominal = nominal_ceilings(gpu, {"fp8"});
  EXPECT_FALSE(nominal.measured);
  EXPECT_EQ(nominal.bytes_per_us(), gpu.dram_bytes_per_us);
  EXPECT_EQ(nominal.find("bf16")->flops_per_us, gpu.bf16_flops_per_us);
  EXPECT_EQ(nominal.find("fp8")->flops_per_us, 2 * gpu.bf16_flops_per_us);
}

TEST(Ceilings, RatesNameTypes) {
  EXPECT_EQ(math_type("fma"), "fma");
  EXPECT_EQ(math_type("wgmma.bf16"), "bf16");
  EXPECT_EQ(math_type("mma.fp8"), "fp8");
  EXPECT_EQ(math_type("tcgen05.mxf8f6f4"), "fp8");
  EXPECT_EQ(math_type("mma.mxf4"), "fp4");
}

// The kernels themselves, where every wrong access is an error.
class CeilingKernels : public testing::TestWithParam<const char*> {};

TEST_P(CeilingKernels, RunOnTheEmulator) {
  auto pool = compiler();
  auto device = make_emulated_device(*Target::parse(GetParam()));
  ASSERT_TRUE(device.ok());
  CeilingOptions options;
  options.buffer_bytes = 256 << 10;
  options.sms = 1;
  options.rounds = 1;
  options.first_iterations = 2;
  options.launch_us = 1;
  const auto measured = measure_ceilings(**device, *pool, {"fma", "fp8"}, options);
  ASSERT_TRUE(measured.ok()) << measured.error().message;
  EXPECT_GT(measured->read_bytes_per_us, 0);
  for (const MathCeiling& math : measured->math) EXPECT_GT(math.flops_per_us, 0) << math.type;
}

INSTANTIATE_TEST_SUITE_P(Targets, CeilingKernels, testing::Values("sm_75", "sm_80", "sm_90a", "sm_120a"),
                         [](const auto& target) { return std::string(target.param); });

}  // namespace
}  // namespace rtjit
