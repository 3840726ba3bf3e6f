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

// Lanes of one warp are ordered by __syncwarp(), not by the warp's lock-step.
TEST(Races, LanesWithoutSyncwarp) {
  const std::string error = run("s[t] = t; p[t] = s[t ^ 1];", 32);
  EXPECT_THAT(error,
              HasSubstr("race: lane 0 reads shared memory that lane 1 of the same warp wrote at PTX line"));
  EXPECT_THAT(error, HasSubstr("no __syncwarp() lies between"));
  EXPECT_EQ(run("s[t] = t; p[t] = s[t];", 32), "");
  EXPECT_EQ(
      run("s[t] = t; __syncwarp(); int x = s[t ^ 1]; __syncwarp(); s[t] = x; __syncwarp(); p[t] = s[t ^ 3];",
          32),
      "");
}

TEST(Races, LaneWritesWhatAnotherRead) {
  std::string text =
      "s[t] = t; __syncwarp(); int x = s[(t + 1) % 32]; BARRIER s[t] = x; __syncwarp(); p[t] = s[t];";
  auto with = [&](const std::string& barrier) {
    std::string copy = text;
    return copy.replace(copy.find("BARRIER"), 7, barrier);
  };
  std::string error = run(with(""), 32);
  EXPECT_THAT(error, HasSubstr("read at PTX line"));
  EXPECT_THAT(error, HasSubstr("of the same warp"));
  EXPECT_EQ(run(with("__syncwarp();"), 32), "");
  EXPECT_EQ(run(with("__syncthreads();"), 32), "");
}

TEST(Races, LanesWriteDifferentValuesAtOnce) {
  std::string error = run("s[t / 2] = t; __syncwarp(); p[t] = s[t / 2];", 32);
  EXPECT_THAT(error, HasSubstr("lane 1 writes shared memory that lane 0 of the same warp wrote"));
  EXPECT_EQ(run("s[t / 2] = t / 2; __syncwarp(); p[t] = s[t / 2];", 32), "");  // the same value
  EXPECT_EQ(run("((char*)s)[t] = t; __syncwarp(); p[t] = ((char*)s)[t];", 32), "");
}

TEST(Races, DivergentPathsWriteTheSame) {
  auto with = [](const std::string& between) {
    return "if (t < 16) { s[t] = t; }" + between +
           "if (t >= 16) { s[t - 16] = -t; } __syncwarp(); p[t] = s[t % 16];";
  };
  EXPECT_THAT(run(with(""), 32), HasSubstr("of the same warp"));
  EXPECT_EQ(run(with("__syncwarp();"), 32), "");
}

// A lane's cp.async is there for that lane after its wait, for the others after __syncwarp().
TEST(Races, AnotherLanesAsynchronousCopy) {
  std::string copy =
      R"(asm volatile("cp.async.ca.shared.global [%0], [%1], 4; cp.async.wait_all;" ::"r"((unsigned)__cvta_generic_to_shared(&s[t])), "l"(p + t) : "memory");)";
  EXPECT_THAT(run(copy + "p[t] = s[t ^ 1];", 32), HasSubstr("of the same warp"));
  EXPECT_EQ(run(copy + "p[t] = s[t];", 32), "");
  EXPECT_EQ(run(copy + "__syncwarp(); p[t] = s[t ^ 1];", 32), "");
}

// A bulk copy is there for those who waited for it, or were told by one who had; not for a warp that comes
// later.
TEST(Races, BulkCopyThatAnotherWarpWaitedFor) {
  const std::string text = R"(
    if (t == 0) asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(b) : "memory");
    __syncthreads();
    for (int i = 0; i < 3; ++i) {
      if (t == 0) {
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 512;" ::"r"(b) : "memory");
        asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], 512, [%2];" ::"r"((unsigned)__cvta_generic_to_shared(s)), "l"(p), "r"(b) : "memory");
      }
      if (WHO) asm volatile("{ .reg .pred P; L: mbarrier.try_wait.parity.shared::cta.b64 P, [%0], %1; @!P bra L; }" ::"r"(b), "r"(i & 1) : "memory");
      BARRIER
      p[128 + t] = s[t];
      __syncthreads();
    }
  )";
  auto with = [&](const std::string& who, const std::string& barrier) {
    std::string copy = text;
    copy.replace(copy.find("WHO"), 3, who);
    return copy.replace(copy.find("BARRIER"), 7, barrier);
  };
  EXPECT_THAT(run(with("w == 0", "")), HasSubstr("race: warp 1 reads shared memory that warp 0 wrote"));
  EXPECT_EQ(run(with("w == 0", "__syncthreads();")), "");
  EXPECT_EQ(run(with("true", "")), "");
}

// --- blocks ---
std::string run_blocks(const std::string& body, int blocks = 4, int threads = 32) {
  EmulatorOptions options;
  options.host_threads = 1;
  Emulator emulator("sm_90a", options);
  emulator.compile(
      "extern \"C\" __global__ void k(int* p, const int* __restrict__ q, int* flags) { int t = threadIdx.x, "
      "b = blockIdx.x;" +
      body + "}");
  auto data = emulator.buffer(std::vector<int>(256, 1));
  auto flags = emulator.buffer(std::vector<int>(256, 0));
  Status status = emulator.run("k", blocks, threads, 0, data, data, flags);
  return status.ok() ? "" : status.error().message;
}

TEST(Races, BlocksWriteTheSameGlobalMemory) {
  std::string error = run_blocks("p[t + b * 31] = b;");
  EXPECT_THAT(error, HasSubstr("race: this block writes global memory that block ("));
  EXPECT_THAT(error, HasSubstr("PTX line"));
  EXPECT_EQ(run_blocks("p[t + b * 32] = b;"), "");
  EXPECT_EQ(run_blocks("p[t + b * 31] = 7;"), "");  // all the same
  EXPECT_EQ(run_blocks("atomicExch(&p[t + b * 31], b);"), "");
  EXPECT_EQ(run_blocks("((char*)p)[t + b * 32] = b;"), "");  // neighbours
}

TEST(Races, BlockReadsWhatAnotherWrote) {
  EXPECT_THAT(run_blocks("p[128 + t + b * 32] = p[96 + t + b * 32] + 1;", 3),
              HasSubstr("this block reads global memory that block ("));
  EXPECT_EQ(run_blocks("p[128 + t + b * 32] = p[t + b * 32] + 1;"), "");
  // One block hands over to the next by a flag.
  EXPECT_EQ(
      run_blocks(
          "if (b) { while (atomicAdd(&flags[b - 1], 0) == 0); __threadfence(); } __syncwarp(); p[t] += b;"
          "__threadfence(); __syncwarp(); if (t == 0) atomicAdd(&flags[b], 1);"),
      "");
}

TEST(Races, NonCoherentReadOfWhatTheLaunchWrote) {
  const std::string load =
      R"(int x; asm volatile("ld.global.nc.u32 %0, [%1];" : "=r"(x) : "l"(q + t) : "memory"); p[t + 32] = x;)";
  EXPECT_THAT(run_blocks("p[t] = t;" + load, 1), HasSubstr("race: a load by the non-coherent path (.nc)"));
  EXPECT_EQ(run_blocks("p[t + 64] = t;" + load, 1), "");
}

}  // namespace
}  // namespace rtjit
