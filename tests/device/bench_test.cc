// Bench on the GPU: that its figures can be true. How good they are is not a test's business.
#include "tuner/bench.h"

#include "base/text.h"
#include "tests/device/cuda_session.h"

namespace rtjit::testing {
namespace {

class BenchOnDevice : public CudaTest {
 protected:
  BenchReport run(const std::string& name, const std::string& problem, const std::string& sizes) {
    ScopeRequest scope;
    scope.template_name = name;
    scope.problem = problem;
    scope.tokens = sizes;
    auto resolved = resolve_scope(context()->registry(), scope, device().info());
    EXPECT_TRUE(resolved.ok()) << (resolved.ok() ? "" : resolved.error().message);
    if (!resolved) return {};
    BenchRequest request;
    request.scope = *resolved;
    request.context = context();
    request.sampling.rounds = 3;
    request.sampling.max_rounds = 3;
    auto report = bench(request);
    EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message);
    return report.ok() ? *report : BenchReport();
  }

  void expect_possible(const BenchReport& report, size_t rows) {
    const GpuFacts gpu = gpu_facts(device().info().target, device().info());
    EXPECT_GT(report.ceilings.read_bytes_per_us, 0.5 * gpu.dram_bytes_per_us);
    EXPECT_LT(report.ceilings.read_bytes_per_us, 1.05 * gpu.dram_bytes_per_us);
    EXPECT_GT(report.ceilings.copy_bytes_per_us, 0.5 * gpu.dram_bytes_per_us);
    for (const MathCeiling& math : report.ceilings.math) {
      fmt::print("{}: {:.0f} TFLOP/s ({})\n", math.type, math.flops_per_us * 1e-6, math.unit);
      EXPECT_GT(math.flops_per_us, 0) << math.type;
    }
    const MathCeiling* bf16 = report.ceilings.find("bf16");
    ASSERT_NE(bf16, nullptr);
    EXPECT_GT(bf16->flops_per_us, 0.4 * gpu.bf16_flops_per_us);
    EXPECT_LT(bf16->flops_per_us, 1.5 * gpu.bf16_flops_per_us);
    ASSERT_EQ(report.rows.size(), rows);
    for (const BenchRow& row : report.rows) {
      fmt::print("{} {}: {:.1f} us, default {:.1f}, reference {:.1f}, floor {:.2f}; {}\n",
                 report.template_name, row.tokens, row.time.us, row.by_default.us, row.reference.us,
                 row.floor_us(), row.conditions);
      EXPECT_TRUE(row.time.known()) << row.time.why_not;
      EXPECT_TRUE(row.by_default.known()) << row.by_default.why_not;
      EXPECT_TRUE(row.reference.known()) << row.reference.why_not;
      // Nothing is faster than the hardware; noise and clocks leave some room.
      EXPECT_LT(row.floor_us(), 1.1 * row.time.us) << row.tokens;
      EXPECT_GT(row.reference.us, row.time.us) << row.tokens;
    }
  }
};

TEST_F(BenchOnDevice, ExpertsAreTimedAsAWhole) {
  expect_possible(run("moe_mxfp4", "hidden=1024,intermediate=1024,experts=32,top_k=4", "1,64,1024"), 3);
}

TEST_F(BenchOnDevice, ATemplateWithoutPackedWeights) {
  expect_possible(run("gemm_fp8_block", "n=4096,k=4096", "1,2048"), 2);
}

}  // namespace
}  // namespace rtjit::testing
