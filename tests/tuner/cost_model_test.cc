#include "tuner/cost_model.h"

#include <gtest/gtest.h>

#include "tuner/inputs.h"

namespace rtjit {
namespace {

GpuFacts gpu(const char* target = "sm_90a") { return gpu_facts(*Target::parse(target), std::nullopt); }

CostInputs inputs() {
  CostInputs in;
  in.blocks = 1000;
  in.dram_bytes = 50e6;
  in.l2_bytes = 80e6;
  in.flops = 1e9;
  in.alu_ops = 1e7;
  in.steps = 20;
  in.stages = 4;
  in.rate = "mma.bf16";
  return in;
}

TEST(CostModel, NeverNegativeAndKnownOnlyWithACost) {
  EXPECT_FALSE(predict(CostInputs{}, gpu(), 1, 128).known());
  Random random(7);
  for (int i = 0; i < 2000; ++i) {
    CostInputs in;
    in.blocks = random.uniform() * 1e5;
    in.dram_bytes = random.uniform() * 1e9;
    in.l2_bytes = random.uniform() * 1e9;
    in.flops = random.uniform() * 1e12;
    in.alu_ops = random.uniform() * 1e10;
    in.steps = random.uniform() * 200;
    in.stages = 1 + random.uniform() * 6;
    in.rate = i % 2 ? "fma" : "wgmma.bf16";
    Prediction p = predict(in, gpu(), 1 + static_cast<int>(random.below(8)), 128);
    EXPECT_GT(p.total_us, 0);
    EXPECT_GE(p.total_us, p.memory_us);
    EXPECT_GE(p.total_us, p.math_us);
  }
}

TEST(CostModel, MonotonicInBytesFlopsAndBlocksTooFew) {
  double last = 0;
  for (double bytes = 1e6; bytes < 1e9; bytes *= 2) {
    CostInputs in = inputs();
    in.dram_bytes = bytes;
    double time = predict(in, gpu(), 2, 128).total_us;
    EXPECT_GE(time, last);
    last = time;
  }
  last = 0;
  for (double flops = 1e8; flops < 1e13; flops *= 2) {
    CostInputs in = inputs();
    in.flops = flops;
    double time = predict(in, gpu(), 2, 128).total_us;
    EXPECT_GE(time, last);
    last = time;
  }
}

TEST(CostModel, NotFasterThanTheMemoryOrTheMathAllow) {
  CostInputs in = inputs();
  in.dram_bytes = 1e9;
  GpuFacts facts = gpu();
  EXPECT_GT(predict(in, facts, 4, 256).total_us, 1e9 / facts.dram_bytes_per_us);
  EXPECT_STREQ(predict(in, facts, 4, 256).bound, "memory");
  in.dram_bytes = 1e6;
  in.l2_bytes = 1e6;
  in.flops = 1e12;
  EXPECT_GT(predict(in, facts, 4, 256).total_us, 1e12 / facts.bf16_flops_per_us);
  EXPECT_STREQ(predict(in, facts, 4, 256).bound, "math");
}

TEST(CostModel, DeeperPipelinesHideLatencyAndFewBlocksCannotUseTheBandwidth) {
  CostInputs shallow = inputs(), deep = inputs();
  shallow.stages = 2;
  EXPECT_GT(predict(shallow, gpu(), 1, 128).total_us, predict(deep, gpu(), 1, 128).total_us);
  CostInputs few = inputs();
  few.blocks = 10;
  EXPECT_GT(predict(few, gpu(), 1, 128).total_us, predict(inputs(), gpu(), 1, 128).total_us);
}

TEST(GpuFacts, DeviceFiguresReplaceTheTable) {
  DeviceInfo device;
  device.target = *Target::parse("sm_90a");
  device.limits = device.target.limits();
  device.name = "NVIDIA H20";
  device.sm_count = 78;
  device.l2_bytes = 60 << 20;
  device.memory_bus_bits = 6144;
  device.memory_clock_khz = 2619000;
  device.sm_clock_khz = 1980000;
  GpuFacts facts = gpu_facts(device.target, device);
  EXPECT_EQ(facts.name, "NVIDIA H20");
  EXPECT_EQ(facts.sm_count, 78);
  EXPECT_NEAR(facts.dram_bytes_per_us, 4022784, 1);
  EXPECT_NEAR(facts.bf16_flops_per_us, 790e6 * 78 / 132, 1e5);
  EXPECT_EQ(gpu().name, "H200");
}

}  // namespace
}  // namespace rtjit
