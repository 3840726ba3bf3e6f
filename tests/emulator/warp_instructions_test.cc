// shfl, vote, match, redux, elect, barriers with reductions, and atomics of every type against plain loops.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "emulator/emulator.h"

namespace rtjit {
namespace {

using u32 = uint32_t;

// Runs `expression` (of t, x, y: lane, two inputs) on one warp and returns each lane's result.
std::vector<u32> lanes(const std::string& expression, const std::vector<u32>& x,
                       const char* target = "sm_90a") {
  Emulator emulator(target);
  emulator.compile(
      "extern \"C\" __global__ void k(const unsigned* in, unsigned* out) { int t = threadIdx.x; unsigned x = "
      "in[t], r = 0;" +
      expression + "out[t] = r; }");
  auto in = emulator.buffer(x);
  auto out = emulator.buffer(std::vector<u32>(x.size(), 0));
  Status status = emulator.run("k", 1, static_cast<int>(x.size()), 0, in, out);
  EXPECT_TRUE(status.ok()) << status.error().message;
  return emulator.read(out);
}

std::vector<u32> values() {
  std::mt19937 generator(9);
  std::vector<u32> x(32);
  for (u32& v : x) v = generator() % 5 * 0x40000001u + generator() % 3;
  return x;
}

TEST(WarpInstructions, Shuffles) {
  auto x = values();
  auto up = lanes("r = __shfl_up_sync(~0u, x, 5);", x),
       down = lanes("r = __shfl_down_sync(~0u, x, 7, 16);", x),
       bfly = lanes("r = __shfl_xor_sync(~0u, x, 9);", x),
       idx = lanes("r = __shfl_sync(~0u, x, t * 3, 8);", x);
  for (u32 l = 0; l < 32; ++l) {
    EXPECT_EQ(up[l], l < 5 ? x[l] : x[l - 5]);
    EXPECT_EQ(down[l], l % 16 + 7 < 16 ? x[l + 7] : x[l]);
    EXPECT_EQ(bfly[l], x[l ^ 9]);
    EXPECT_EQ(idx[l], x[l / 8 * 8 + l * 3 % 8]);
  }
}

TEST(WarpInstructions, VotesAndMatches) {
  auto x = values();
  u32 ballot = 0;
  for (u32 l = 0; l < 32; ++l) ballot |= u32(x[l] % 2) << l;
  auto got = lanes("r = __ballot_sync(~0u, x % 2);", x),
       any = lanes("r = __any_sync(~0u, x == 77u) * 2 + __all_sync(~0u, x < 0xffffffffu);", x),
       match = lanes("r = __match_any_sync(~0u, x);", x),
       all = lanes("int p; r = __match_all_sync(~0u, x & 0, &p) + p;", x),
       half = lanes("if (t % 2) r = __ballot_sync(0xaaaaaaaau, x % 2); else r = __activemask();", x),
       elected = lanes(
           "unsigned p; asm volatile(\"{ .reg .pred P; elect.sync %0|P, 0xffffffff; selp.b32 %1, 1, 0, P; "
           "}\" : \"=r\"(r), \"=r\"(p)); r = r * 2 + p;",
           x);
  for (u32 l = 0; l < 32; ++l) {
    u32 same = 0;
    for (u32 k = 0; k < 32; ++k) same |= u32(x[k] == x[l]) << k;
    EXPECT_EQ(got[l], ballot);
    EXPECT_EQ(any[l], 1u);
    EXPECT_EQ(match[l], same);
    EXPECT_EQ(all[l], ~0u + 1);
    EXPECT_EQ(half[l], l % 2 ? ballot & 0xaaaaaaaa : 0x55555555u);
    EXPECT_EQ(elected[l], u32(l == 0));
  }
}

TEST(WarpInstructions, Reductions) {
  auto x = values();
  auto sum = lanes("r = __reduce_add_sync(~0u, x);", x),
       low = lanes("r = __reduce_min_sync(~0u, (int)x);", x),
       high = lanes("r = __reduce_max_sync(~0u, x);", x), bits = lanes("r = __reduce_xor_sync(~0u, x);", x),
       odd = lanes("if (t & 1) r = __reduce_or_sync(0xaaaaaaaau, x);", x);
  u32 add = std::accumulate(x.begin(), x.end(), 0u), exclusive = 0, joined = 0;
  int minimum = INT32_MAX;
  for (u32 l = 0; l < 32; ++l) {
    exclusive ^= x[l];
    if (l % 2) joined |= x[l];
    minimum = std::min(minimum, static_cast<int>(x[l]));
  }
  EXPECT_EQ(sum[3], add);
  EXPECT_EQ(low[4], static_cast<u32>(minimum));
  EXPECT_EQ(high[5], *std::max_element(x.begin(), x.end()));
  EXPECT_EQ(bits[6], exclusive);
  EXPECT_EQ(odd[7], joined);
  EXPECT_EQ(odd[8], 0u);
}

TEST(WarpInstructions, BarrierReductions) {
  std::vector<u32> x(96);
  std::iota(x.begin(), x.end(), 0);
  auto count = lanes(
      "r = __syncthreads_count(x % 3 == 0) * 4 + __syncthreads_and(x < 96) * 2 + __syncthreads_or(x == 96);",
      x);
  for (u32 v : count) EXPECT_EQ(v, 32u * 4 + 2);
}

TEST(WarpInstructions, Atomics) {
  Emulator emulator("sm_90a");
  emulator.compile(
      R"(extern "C" __global__ void k(unsigned* u, float* f, double* d, unsigned long long* q, unsigned short* h) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    atomicAdd(&u[0], i);
    atomicMax(&u[1], i * 7 % 1000);
    atomicMin((int*)&u[2], -i);
    atomicInc(&u[3], 99);
    atomicDec(&u[4], 50);
    atomicOr(&u[5], 1u << i % 32);
    atomicXor(&u[6], 1u << i % 17);
    atomicAnd(&u[7], ~(1u << i % 5));
    atomicAdd(f, 0.5f);
    atomicAdd(d, 0.25);
    atomicAdd(q, 1ull << 33);
    for (unsigned old = u[8], seen; ; old = seen) { seen = atomicCAS(&u[8], old, old + 3); if (seen == old) break; }
    asm volatile("red.global.add.noftz.bf16x2 [%0], %1;" ::"l"(h), "r"(0x3f803f80) : "memory");
    asm volatile("red.global.add.v2.f32 [%0], {%1, %2};" ::"l"(f + 2), "f"(1.0f), "f"(2.0f) : "memory");
    if (i == 5) u[9] = atomicExch(&u[10], 123);
  })");
  auto u = emulator.buffer(std::vector<u32>{0, 0, 0, 0, 0, 0, 0, ~0u, 0, 0, 77});
  auto f = emulator.buffer(std::vector<float>(4, 0));
  auto d = emulator.buffer(std::vector<double>(1, 0));
  auto q = emulator.buffer(std::vector<uint64_t>(1, 5));
  auto h = emulator.buffer(std::vector<uint16_t>{0, 0});
  Status status = emulator.run("k", 4, 64, 0, u, f, d, q, h);
  ASSERT_TRUE(status.ok()) << status.error().message;
  u32 xors = 0;
  int best = 0;
  for (int i = 0; i < 256; ++i) xors ^= 1u << i % 17, best = std::max(best, i * 7 % 1000);
  EXPECT_EQ(emulator.read(u), (std::vector<u32>{255 * 128, static_cast<u32>(best), static_cast<u32>(-255),
                                                256 % 100, 51 - 256 % 51, ~0u, xors, ~31u, 768, 77, 123}));
  EXPECT_EQ(emulator.read(f), (std::vector<float>{128, 0, 256, 512}));
  EXPECT_EQ(emulator.read(d)[0], 64);
  EXPECT_EQ(emulator.read(q)[0], 5 + (uint64_t(256) << 33));
  EXPECT_EQ(emulator.read(h)[1], 0x4380);  // 256
}

}  // namespace
}  // namespace rtjit
