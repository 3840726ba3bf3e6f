// Each planted fault is found and named with its place; its clean twin runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "emulator/emulator.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

// Runs kernel `k` of the source with an int buffer of 64 zeros; returns the error's text, "" when it ran.
std::string run(const std::string& source, int threads = 64, uint32_t shared = 0,
                const char* target = "sm_90a", const EmulatorOptions& options = {}) {
  Emulator emulator(target, options);
  emulator.compile(source);
  auto data = emulator.buffer(std::vector<int>(64, 0));
  Status status = emulator.run("k", 1, threads, shared, data);
  return status.ok() ? "" : status.error().message;
}

std::string kernel(const std::string& body) {
  return "extern \"C\" __global__ void k(int* p) {" + body + "}";
}

TEST(Strictness, GlobalOutOfBounds) {
  std::string error = run(kernel("p[threadIdx.x + 1] = 1;"));
  EXPECT_THAT(error, HasSubstr("out-of-bounds"));
  EXPECT_THAT(error, HasSubstr("4 B at offset 256 of an allocation of 256 B"));
  EXPECT_THAT(error, HasSubstr("thread (63,0,0)"));
  EXPECT_THAT(error, HasSubstr("st.global.u32"));
  EXPECT_THAT(error, HasSubstr("kernel k, PTX line"));
  EXPECT_EQ(run(kernel("p[threadIdx.x] = 1;")), "");
  EXPECT_THAT(run(kernel("*(int*)16 = 1;")), HasSubstr("no allocation is there"));
}

TEST(Strictness, UseAfterFree) {
  Emulator emulator("sm_80");
  emulator.compile(kernel("p[0] = 1;"));
  auto data = emulator.buffer(std::vector<int>(64, 0));
  EXPECT_TRUE(emulator.run("k", 1, 1, 0, data).ok());
  emulator.device().free(data.address);
  Status status = emulator.run("k", 1, 1, 0, data);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("use-after-free"));
}

TEST(Strictness, MisalignedVectorAccess) {
  EXPECT_THAT(run(kernel("*(int4*)(p + threadIdx.x * 4 + 1) = make_int4(1, 2, 3, 4);"), 8),
              HasSubstr("misaligned"));
  EXPECT_EQ(run(kernel("*(int4*)(p + threadIdx.x * 4) = make_int4(1, 2, 3, 4);"), 8), "");
}

TEST(Strictness, SharedOutOfBounds) {
  EXPECT_THAT(run(kernel("extern __shared__ int s[]; s[threadIdx.x] = 1;"), 64, 252),
              HasSubstr("of 252 B of shared memory"));
  EXPECT_EQ(run(kernel("extern __shared__ int s[]; s[threadIdx.x] = 1;"), 64, 256), "");
}

TEST(Strictness, UnwrittenShared) {
  std::string error =
      run(kernel("__shared__ int s[64]; if (threadIdx.x != 5) s[threadIdx.x] = 1; __syncthreads(); "
                 "p[threadIdx.x] = s[threadIdx.x];"));
  EXPECT_THAT(error, HasSubstr("uninitialised"));
  EXPECT_THAT(error, HasSubstr("thread (5,0,0)"));
  EXPECT_EQ(
      run(kernel(
          "__shared__ int s[64]; s[threadIdx.x] = 1; __syncthreads(); p[threadIdx.x] = s[threadIdx.x];")),
      "");
}

TEST(Strictness, UnwrittenGlobal) {
  Emulator emulator("sm_80");
  emulator.compile("extern \"C\" __global__ void k(int* p, int* q) { q[0] = p[1]; }");
  auto p = emulator.empty<int>(4);
  auto q = emulator.empty<int>(4);
  Status status = emulator.run("k", 1, 1, 0, p, q);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("nobody has written"));
}

TEST(Strictness, UnwrittenLocal) {
  std::string body =
      "int a[16]; for (int i = 0; i < 8; ++i) a[(i * p[0] + i) & 15] = i; p[32 + threadIdx.x] = a[p[1] + ";
  EXPECT_THAT(run(kernel(body + "9];"), 32), HasSubstr("uninitialised"));
  EXPECT_EQ(run(kernel(body + "7];"), 32), "");
}

TEST(Strictness, BarrierReachedByPartOfAWarp) {
  std::string error = run(kernel("if (threadIdx.x % 2) asm volatile(\"bar.sync 0;\"); p[threadIdx.x] = 1;"));
  EXPECT_THAT(error, HasSubstr("barrier: 16 of the warp's 32 live threads reached barrier 0"));
  EXPECT_EQ(run(kernel("asm volatile(\"bar.sync 0;\"); p[threadIdx.x] = 1;")), "");
}

TEST(Strictness, BarrierThatCannotComplete) {
  std::string error =
      run(kernel("if (threadIdx.x < 32) asm volatile(\"bar.sync 1, 64;\"); p[threadIdx.x] = 1;"));
  EXPECT_THAT(error, HasSubstr("deadlock"));
  EXPECT_THAT(error, HasSubstr("warp 0 waits at barrier 1"));
  EXPECT_EQ(run(kernel("if (threadIdx.x < 32) asm volatile(\"bar.sync 1, 64;\"); else asm "
                       "volatile(\"bar.arrive 1, 64;\"); p[threadIdx.x] = 1;")),
            "");
}

TEST(Strictness, NoForwardProgress) {
  EmulatorOptions options;
  options.strictness.steps_per_block = 100000;
  EXPECT_THAT(run(kernel("while (((volatile int*)p)[0] == 0);"), 32, 0, "sm_90a", options),
              HasSubstr("step-budget"));
  EXPECT_EQ(run(kernel("while (((volatile int*)p)[0] != 0);"), 32, 0, "sm_90a", options), "");
}

const char kCopy[] = R"(
  __shared__ __align__(16) int s[64];
  unsigned to = (unsigned)__cvta_generic_to_shared(&s[threadIdx.x * 4]);
  if (threadIdx.x < 16) asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(p + threadIdx.x * 4) : "memory");
  asm volatile("cp.async.commit_group;" ::: "memory");
)";

TEST(Strictness, AsyncCopyUsedTooEarly) {
  std::string use = "__syncthreads(); p[threadIdx.x] = s[63 - threadIdx.x] + 1;";
  std::string error = run(kernel(std::string(kCopy) + use));
  EXPECT_THAT(error, HasSubstr("async-too-early"));
  EXPECT_THAT(error, HasSubstr("has not been waited for"));
  EXPECT_EQ(
      run(kernel(std::string(kCopy) + "asm volatile(\"cp.async.wait_group 0;\" ::: \"memory\");" + use)), "");
  EXPECT_THAT(
      run(kernel(std::string(kCopy) + "asm volatile(\"cp.async.wait_group 1;\" ::: \"memory\");" + use)),
      HasSubstr("async-too-early"));
}

const char kBulk[] = R"(
  __shared__ __align__(128) int s[64];
  __shared__ __align__(8) unsigned long long bar;
  unsigned b = (unsigned)__cvta_generic_to_shared(&bar), to = (unsigned)__cvta_generic_to_shared(s);
  if (threadIdx.x == 0) asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(b) : "memory");
  __syncthreads();
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], BYTES;" ::"r"(b) : "memory");
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], 256, [%2];" ::"r"(to), "l"(p), "r"(b) : "memory");
  }
)";
const char kWait[] = R"(
  asm volatile("{ .reg .pred P; L: mbarrier.try_wait.parity.shared::cta.b64 P, [%0], 0; @!P bra L; }" ::"r"(b) : "memory");
)";
std::string bulk(const std::string& bytes, bool wait) {
  std::string text = kBulk;
  text.replace(text.find("BYTES"), 5, bytes);
  return kernel(text + (wait ? kWait : "") + "p[threadIdx.x] = s[63 - threadIdx.x] + 1;");
}

TEST(Strictness, BulkCopyAndMbarrier) {
  EXPECT_EQ(run(bulk("256", true)), "");
  EXPECT_THAT(run(bulk("256", false)), HasSubstr("async-too-early"));
  EmulatorOptions options;
  options.strictness.failed_waits_per_block = 1000;
  // Too few bytes expected: the phase never comes out even.
  EXPECT_THAT(run(bulk("240", true), 64, 0, "sm_90a", options), HasSubstr("deadlock"));
  EXPECT_THAT(run(bulk("272", true), 64, 0, "sm_90a", options), HasSubstr("deadlock"));
}

TEST(Strictness, MbarrierMisuse) {
  std::string setup =
      "__shared__ unsigned long long bar; unsigned b = (unsigned)__cvta_generic_to_shared(&bar);";
  std::string arrive = "asm volatile(\"mbarrier.arrive.shared::cta.b64 _, [%0];\" ::\"r\"(b) : \"memory\");";
  std::string init = "asm volatile(\"mbarrier.init.shared::cta.b64 [%0], 3;\" ::\"r\"(b) : \"memory\");";
  EXPECT_THAT(run(kernel(setup + arrive), 1), HasSubstr("no initialised mbarrier"));
  EXPECT_EQ(run(kernel(setup + init + arrive + arrive), 1), "");
  EXPECT_THAT(run(kernel(setup + init + "bar = 0;"), 1), HasSubstr("overwritten by an ordinary store"));
  EXPECT_THAT(run(kernel(setup + init + init), 1), HasSubstr("already here"));
}

TEST(Strictness, ResourcesOfTheTarget) {
  std::string body = kernel("extern __shared__ int s[]; s[0] = 1;");
  EXPECT_EQ(run(body, 32, 101376, "sm_120a"), "");
  EXPECT_THAT(run(body, 32, 101377, "sm_120a"),
              HasSubstr("101,377 B of shared memory, the target allows 101,376 B"));
  EXPECT_THAT(run(body, 1025, 4), HasSubstr("1025 threads per block"));
}

TEST(Strictness, InstructionTheTargetLacks) {
  Emulator emulator("sm_120a");
  emulator.load(R"(.version 8.6
.target sm_100a
.address_size 64
.visible .entry k() { .reg .b32 %r<2>; .reg .b64 %rd<2>; cp.async.bulk.tensor.2d.global.shared::cta.tile::scatter4.bulk_group [%rd1, {%r1, %r1, %r1, %r1, %r1}], [%r1]; ret; })");
  ASSERT_FALSE(emulator.status().ok());
  EXPECT_THAT(emulator.status().error().message, HasSubstr("sm_120a does not have tma.tile.scatter4"));
}

TEST(Strictness, ShuffleFromALaneThatIsElsewhere) {
  EXPECT_THAT(run(kernel("if (threadIdx.x < 8) p[threadIdx.x] = __shfl_sync(0xffffffffu, 1, 0);"), 32),
              HasSubstr("names lanes that are elsewhere"));
  EXPECT_EQ(run(kernel("if (threadIdx.x < 8) p[threadIdx.x] = __shfl_sync(0xffu, 1, 0);"), 32), "");
}

TEST(Strictness, Trap) { EXPECT_THAT(run(kernel("if (threadIdx.x == 3) __trap();")), HasSubstr("trap")); }

TEST(Strictness, WritingConstantMemory) {
  EXPECT_THAT(run("__constant__ int c[4]; extern \"C\" __global__ void k(int* p) { p[0] = c[p[0]]; asm "
                  "volatile(\"st.global.u32 [%0], %1;\" ::\"l\"(&c[1]), \"r\"(3)); }",
                  1),
              HasSubstr("read-only"));
}

}  // namespace
}  // namespace rtjit
