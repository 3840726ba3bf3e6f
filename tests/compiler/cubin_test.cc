#include "compiler/cubin.h"

#include <gmock/gmock.h>

#include <map>
#include <random>

#include "compiler/ptxas_log.h"
#include "tests/compiler/nvrtc_fixture.h"

namespace rtjit {
namespace {

// Kernels that differ in what they need: shared memory, barriers, a stack, spills, nothing.
constexpr const char* kKernels = R"(
extern "C" __global__ void __launch_bounds__(256) shared(float* p) {
  __shared__ float s[1000];
  s[threadIdx.x] = p[threadIdx.x];
  __syncthreads();
  p[threadIdx.x] = s[255 - threadIdx.x];
  asm volatile("bar.sync 3, 64;");
  asm volatile("bar.sync 5, 64;");
}
extern "C" __global__ void plain(float* p) { p[threadIdx.x] *= 2; }
extern "C" __global__ void stacked(int* p, int n) {
  volatile int a[300];
  for (int i = 0; i < 300; i++) a[(i * n) % 300] = p[i];
  p[n] = a[n];
}
extern "C" __global__ void __launch_bounds__(1024) spilled(float* p) {
  float a[90];
#pragma unroll
  for (int i = 0; i < 90; i++) a[i] = p[i * 1024 + threadIdx.x];
  for (int k = 0; k < p[0]; k++) {
#pragma unroll
    for (int i = 0; i < 90; i++) a[i] = a[i] * a[(i + 7) % 90] + p[i];
  }
#pragma unroll
  for (int i = 0; i < 90; i++) p[i * 1024 + threadIdx.x] = a[i];
}
template <int N> __device__ __noinline__ float helper(float* p) { volatile float a[N]; a[(int)p[0]] = p[1]; return a[(int)p[2]]; }
extern "C" __global__ void calls(float* p) { p[0] = helper<40>(p); }
)";

class CubinNvrtc : public NvrtcTest {
 protected:
  NvrtcOutput build(const std::string& target) {
    NvrtcOutput output = compile(kKernels, target, {"--ptxas-options=-v"});
    EXPECT_TRUE(output.ok) << output.log;
    return output;
  }
};

TEST_F(CubinNvrtc, AgreesWithTheAssemblersWords) {
  for (const char* target :
       {"sm_75", "sm_80", "sm_86", "sm_89", "sm_90a", "sm_100a", "sm_103a", "sm_120a", "sm_121a"}) {
    SCOPED_TRACE(target);
    NvrtcOutput output = build(target);
    Result<std::vector<KernelResources>> kernels = read_cubin(output.cubin);
    ASSERT_TRUE(kernels.ok()) << kernels.error().message;
    std::map<std::string, PtxasKernelFacts> said;
    for (const PtxasKernelFacts& facts : parse_ptxas_log(output.log)) said[facts.symbol] = facts;
    ASSERT_EQ(kernels->size(), 5u);
    ASSERT_EQ(said.size(), 5u) << output.log;
    for (const KernelResources& kernel : *kernels) {
      SCOPED_TRACE(kernel.symbol);
      ASSERT_TRUE(said.count(kernel.symbol));
      const PtxasKernelFacts& facts = said[kernel.symbol];
      EXPECT_EQ(kernel.registers, facts.registers);
      EXPECT_EQ(kernel.static_smem, facts.smem);
      EXPECT_EQ(kernel.stack, facts.stack);
      EXPECT_EQ(kernel.barriers, facts.barriers);
      EXPECT_GT(kernel.registers, 0);
      EXPECT_GT(kernel.code_bytes, 0);
    }
    // Both readers could be wrong together: what the source says.
    EXPECT_EQ(said["shared"].smem, 4000);
    EXPECT_EQ(said["shared"].barriers, 6);
    EXPECT_EQ(said["plain"].smem, 0);
    EXPECT_EQ(said["plain"].barriers, 0);
    EXPECT_GE(said["stacked"].stack, 1200);
    EXPECT_EQ(said["stacked"].spill_stores, 0);
    EXPECT_EQ(said["spilled"].registers, 64);
    EXPECT_GT(said["spilled"].spill_stores, 100);
    EXPECT_GT(said["spilled"].spill_loads, 100);
    const std::map<std::string, int> max_threads = {
        {"shared", 256}, {"plain", 0}, {"stacked", 0}, {"spilled", 1024}, {"calls", 0}};
    for (const KernelResources& kernel : *kernels)
      EXPECT_EQ(kernel.max_threads, max_threads.at(kernel.symbol)) << kernel.symbol;
  }
}

TEST(Cubin, OtherBytesAreRefused) {
  for (std::string bytes :
       {std::string(), std::string("\177ELF"), std::string(5000, '\0'), std::string("#!/bin/sh")}) {
    Result<std::vector<KernelResources>> kernels = read_cubin(bytes);
    ASSERT_FALSE(kernels.ok());
    EXPECT_EQ(kernels.error().code, ErrorCode::corrupt);
  }
}

// Hostile bytes: an error or an answer, never a crash (the sanitizer build runs this too).
TEST_F(CubinNvrtc, DamagedCubinsNeverCrash) {
  std::mt19937 random(11);
  int refused = 0;
  for (const char* target : {"sm_80", "sm_100a"}) {
    std::string good = build(target).cubin;
    ASSERT_TRUE(read_cubin(good).ok());
    uint64_t headers = 0;  // where the section headers are: most damage goes where it hurts most
    memcpy(&headers, good.data() + 40, sizeof(headers));
    for (int round = 0; round < 2000; ++round) {
      std::string bad = good;
      int flips = 1 + random() % 8;
      for (int i = 0; i < flips; ++i) {
        size_t at = random() % bad.size();
        if (round % 3 == 1) at = random() % 64;
        if (round % 3 == 2) at = std::min<size_t>(bad.size() - 1, headers + random() % 3000);
        bad[at] = static_cast<char>(random() % 4 == 0 ? 0xff : random());
      }
      if (round % 5 == 0) bad.resize(random() % bad.size());
      refused += !read_cubin(bad).ok();
    }
  }
  EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace rtjit
