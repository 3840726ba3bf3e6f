// Data races on shared memory: each planted race is found, its ordered twin runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "emulator/emulator.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

std::string run(const std::string& body, int threads = 128) {
  Emulator emulator("sm_90a");
  emulator.compile(
      "extern \"C\" __global__ void k(int* p) { __shared__ __align__(128) int s[256]; __shared__ "
      "__align__(8) unsigned long long bars[2];"
      "int t = threadIdx.x, w = t / 32; unsigned b = (unsigned)__cvta_generic_to_shared(bars);" +
      body + "}");
  auto data = emulator.buffer(std::vector<int>(256, 1));
  Status status = emulator.run("k", 1, threads, 0, data);
  return status.ok() ? "" : status.error().message;
}

TEST(Races, ReadWithoutBarrier) {
  std::string error = run("s[t] = t; p[t] = s[t ^ 32];");
  EXPECT_THAT(error, HasSubstr("uninitialised"));  // the other warp had not even written
  EXPECT_EQ(run("s[t] = t; __syncthreads(); p[t] = s[t ^ 32];"), "");
  // Written before, then overwritten without a barrier: a race whichever comes first.
  error = run("s[t] = t; __syncthreads(); s[t] = 2 * t; p[t] = s[t ^ 32];");
  EXPECT_THAT(error, HasSubstr("race: warp"));
  EXPECT_THAT(error, HasSubstr("nothing orders the two"));
}

TEST(Races, WriteAfterRead) {
  std::string pipeline =
      "for (int i = 0; i < 3; ++i) { s[t] = i + t; __syncthreads(); p[t] += s[(t + 32) % 128]; BARRIER }";
  auto with = [&](const std::string& barrier) {
    std::string text = pipeline;
    return text.replace(text.find("BARRIER"), 7, barrier);
  };
  EXPECT_THAT(run(with("")), HasSubstr("race"));
  EXPECT_EQ(run(with("__syncthreads();")), "");
}

TEST(Races, TwoWriters) {
  EXPECT_THAT(run("s[t % 32] = t; __syncthreads(); p[t] = s[t % 32];"), HasSubstr("race"));
  EXPECT_EQ(run("s[t] = t; __syncthreads(); p[t] = s[t];"), "");
  EXPECT_EQ(run("((char*)s)[t] = 1; __syncthreads(); p[t] = ((char*)s)[t];"),
            "");  // neighbours in one word are not shared
}

TEST(Races, NamedBarriersOrderOnlyTheirWarps) {
  std::string text =
      "if (w < 2) { s[t] = t; asm volatile(\"bar.sync 1, 64;\" ::: \"memory\"); p[t] = s[t ^ 32]; }";
  EXPECT_EQ(run(text), "");
  EXPECT_THAT(run(text + "else if (w == 2) { for (int i = 0; i < 200; ++i) p[t] += i; s[t - 64] = 3; }"),
              HasSubstr("race"));
}

TEST(Races, AtomicsOrder) {
  EXPECT_EQ(run("if (t == 0) s[0] = 0; __syncthreads(); atomicAdd(&s[0], t); __syncthreads(); p[t] = s[0];"),
            "");
}

// Producer and consumer through a full and an empty mbarrier; without the empty one the producer overwrites
// what is read.
TEST(Races, MbarrierPipeline) {
  std::string text = R"(
    if (t == 0) {
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 32; mbarrier.init.shared::cta.b64 [%1], 32;" ::"r"(b), "r"(b + 8) : "memory");
    }
    __syncthreads();
    auto arrive = [&](unsigned a) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(a) : "memory"); };
    auto wait = [&](unsigned a, int parity) {
      asm volatile("{ .reg .pred P; L: mbarrier.try_wait.parity.shared::cta.b64 P, [%0], %1; @!P bra L; }" ::"r"(a), "r"(parity) : "memory");
    };
    for (int i = 0; i < 4; ++i) {
      if (w == 0) { EMPTY s[t] = i + t; arrive(b); }
      if (w == 1) { wait(b, i & 1); p[t] += s[t ^ 32]; arrive(b + 8); }
    }
  )";
  auto with = [&](const std::string& wait) {
    std::string copy = text;
    return copy.replace(copy.find("EMPTY"), 5, wait);
  };
  EXPECT_EQ(run(with("if (i) wait(b + 8, (i - 1) & 1);"), 64), "");
  EXPECT_NE(run(with(""), 64), "");
}

TEST(Races, AsynchronousCopyOverDataBeingRead) {
  std::string copy =
      R"(asm volatile("cp.async.ca.shared.global [%0], [%1], 4; cp.async.wait_all;" ::"r"((unsigned)__cvta_generic_to_shared(&s[t])), "l"(p + t) : "memory");)";
  std::string text =
      copy + "__syncthreads(); int x = s[t ^ 32]; BARRIER" + copy + "__syncthreads(); p[t] = x + s[t];";
  auto with = [&](const std::string& barrier) {
    std::string copied = text;
    return copied.replace(copied.find("BARRIER"), 7, barrier);
  };
  EXPECT_THAT(run(with("")), HasSubstr("race"));
  EXPECT_EQ(run(with("__syncthreads();")), "");
}

}  // namespace
}  // namespace rtjit
