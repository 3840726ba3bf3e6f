// Clusters of several blocks: addresses, remote accesses, barriers and mbarriers, asynchronous stores and
// copies.
#include <gmock/gmock.h>

#include <algorithm>
#include <bit>

#include "tests/emulator/cluster_harness.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

TEST(Cluster, SpecialRegisters) {
  Emulator emulator("sm_90a");
  std::string body;
  const char* names[] = {"%clusterid.x",     "%clusterid.y",      "%clusterid.z",      "%nclusterid.x",
                         "%nclusterid.y",    "%nclusterid.z",     "%cluster_ctaid.x",  "%cluster_ctaid.y",
                         "%cluster_ctaid.z", "%cluster_nctaid.x", "%cluster_nctaid.y", "%cluster_nctaid.z",
                         "%cluster_ctarank", "%cluster_nctarank"};
  int i = 0;
  for (const char* name : names)
    body += "mov.u32 %r1, " + std::string(name) + ";\nst.global.u32 [%p0+" + std::to_string(4 * i++) +
            "], %r1;\n";
  body += "mov.pred %q, %is_explicit_cluster;\nselp.u32 %r1, 1, 0, %q;\nst.global.u32 [%p0+56], %r1;\n";
  emulator.load(
      ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 k_0) {\n"
      ".reg .b64 %p<3>;\n.reg .b32 %r<8>;\n.reg .pred %q;\n"
      "ld.param.u64 %p0, [k_0];\nmov.u32 %r0, %ctaid.z;\nmov.u32 %r2, %nctaid.y;\nmov.u32 %r3, %ctaid.y;\n"
      "mad.lo.u32 %r0, %r0, %r2, %r3;\nmov.u32 %r2, %nctaid.x;\nmov.u32 %r3, %ctaid.x;\n"
      "mad.lo.u32 %r0, %r0, %r2, %r3;\nmad.wide.u32 %p0, %r0, 64, %p0;\n" +
      body + "ret;\n}\n");
  const uint32_t c[3] = {2, 1, 3}, grid[3] = {6, 2, 6};
  auto out = emulator.buffer(std::vector<uint32_t>(6 * 2 * 6 * 16, 99));
  emulator.cluster(Emulator::Dim(2, 1, 3));
  Status status = emulator.run("k", Emulator::Dim(6, 2, 6), 1, 0, out);
  ASSERT_TRUE(status.ok()) << status.error().message;
  std::vector<uint32_t> seen = emulator.read(out);
  for (uint32_t z = 0; z < grid[2]; ++z) {
    for (uint32_t y = 0; y < grid[1]; ++y) {
      for (uint32_t x = 0; x < grid[0]; ++x) {
        uint32_t rank = x % 2 + 2 * (z % 3);
        std::vector<uint32_t> expected = {x / c[0], y / c[1], z / c[2], 3,    2,    2, x % c[0], y % c[1],
                                          z % c[2], c[0],     c[1],     c[2], rank, 6, 1};
        const uint32_t* got = seen.data() + ((z * grid[1] + y) * grid[0] + x) * 16;
        EXPECT_EQ(std::vector<uint32_t>(got, got + 15), expected) << x << " " << y << " " << z;
      }
    }
  }
}

TEST(Cluster, AddressesOfOtherBlocks) {
  // Every block looks at every block, with 32- and 64-bit addresses; its own address maps to itself; the same
  // place of the neighbour differs in one bit.
  ClusterRun run = run_cluster(R"(
    __shared__ u32 s[4];
    for (u32 r = 0; r < ranks; ++r) {
      u32 a = peer(at(s), r), of, of_generic, inside, own; u64 g = (u64)peer(s, r);
      asm("getctarank.shared::cluster.u32 %0, %1;" : "=r"(of) : "r"(a));
      asm("getctarank.u64 %0, %1;" : "=r"(of_generic) : "l"(g));
      asm("{.reg .pred p;\nisspacep.shared::cluster p, %1;\nselp.u32 %0, 1, 0, p;}" : "=r"(inside) : "l"(g));
      asm("{.reg .pred p;\nisspacep.shared::cta p, %1;\nselp.u32 %0, 1, 0, p;}" : "=r"(own) : "l"(g));
      u32* q = p + (rank * ranks + r) * 8;
      q[0] = of; q[1] = of_generic; q[2] = inside; q[3] = own; q[4] = a == at(s); q[5] = (u32)g == a;
      q[6] = (a & ~(1u << 24)) == peer(at(s), r & ~1u);
    }
    sync();)",
                               4);
  ASSERT_EQ(run.error, "");
  for (uint32_t rank = 0; rank < 4; ++rank) {
    for (uint32_t r = 0; r < 4; ++r) {
      const uint32_t* q = run.out.data() + (rank * 4 + r) * 8;
      EXPECT_EQ(std::vector<uint32_t>(q, q + 7),
                (std::vector<uint32_t>{r, r, 1, r == rank, r == rank, 1, 1}));
    }
  }
}

// Each block fills s with values that name it, reads the next block's through `text` (%0: u32 result, %1:
// 32-bit address, %2: generic address) and lets others finish.
std::vector<uint32_t> read_next(const std::string& text) {
  ClusterRun run = run_cluster(
      "__shared__ __align__(16) u32 s[32]; s[t] = 0x80000000u + rank * 1000 + t; sync();\n"
      "u32 v, next = (rank + 1) % ranks; asm volatile(\"" +
          text +
          "\" : \"=r\"(v) : \"r\"(peer(at(s + t), next)), \"l\"(peer(s + t, next)) : \"memory\");\n"
          "p[rank * 32 + t] = v; sync();",
      3);
  EXPECT_EQ(run.error, "") << text;
  run.out.resize(96);
  return run.out;
}

TEST(Cluster, RemoteLoads) {
  std::vector<uint32_t> words;
  for (uint32_t rank = 0; rank < 3; ++rank) {
    for (uint32_t t = 0; t < 32; ++t) words.push_back(0x80000000u + (rank + 1) % 3 * 1000 + t);
  }
  auto expect = [&](const std::string& text, auto f) {
    std::vector<uint32_t> expected = words;
    for (uint32_t& w : expected) w = f(w);
    EXPECT_EQ(read_next(text), expected) << text;
  };
  auto same = [](uint32_t w) { return w; };
  expect("ld.shared::cluster.u32 %0, [%1];", same);
  expect("ld.relaxed.cluster.shared::cluster.u32 %0, [%1];", same);
  expect("ld.u32 %0, [%2];", same);
  expect("{.reg .u16 h;\\nld.shared::cluster.u16 h, [%1];\\ncvt.u32.u16 %0, h;}",
         [](uint32_t w) { return w & 0xffff; });
  expect("ld.shared::cluster.s8 %0, [%1];",
         [](uint32_t w) { return static_cast<uint32_t>(static_cast<int8_t>(w)); });
  expect("atom.shared::cluster.exch.b32 %0, [%1], 5;", same);
  expect("atom.relaxed.cluster.add.u32 %0, [%2], 5;", same);
}

TEST(Cluster, RemoteVectorsStoresAndAtomics) {
  ClusterRun run = run_cluster(R"(
    __shared__ __align__(16) u32 s[128]; __shared__ u64 w[32]; __shared__ u32 sums[4];
    u32 next = (rank + 1) % ranks;
    for (int i = 0; i < 4; ++i) s[4 * t + i] = 0;
    w[t] = 0; if (t < 4) sums[t] = t == 3 ? 1000 : 0;
    sync();
    asm volatile("st.shared::cluster.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(peer(at(s + 4 * t), next)), "r"(rank), "r"(t), "r"(7u), "r"(~0u) : "memory");
    *peer(w + t, next) = (u64)rank << 40 | t;
    for (u32 r = 0; r < ranks; ++r) {
      asm volatile("red.shared::cluster.add.u32 [%0], %1;" ::"r"(peer(at(sums), r)), "r"(t + rank) : "memory");
      asm volatile("red.relaxed.cluster.shared::cluster.max.u32 [%0], %1;" ::"r"(peer(at(sums + 1), r)), "r"(t * 3 + rank) : "memory");
      atomicXor(peer(sums + 2, r), 1u << t);
      asm volatile("red.shared::cluster.min.u32 [%0], %1;" ::"r"(peer(at(sums + 3), r)), "r"(t + 10 * rank + 1) : "memory");
    }
    sync();
    for (int i = 0; i < 4; ++i) p[rank * 256 + 4 * t + i] = s[4 * t + i];
    p[rank * 256 + 128 + t] = (u32)(w[t] >> 40); p[rank * 256 + 160 + t] = (u32)w[t];
    if (t < 4) p[rank * 256 + 192 + t] = sums[t];)",
                               3);
  ASSERT_EQ(run.error, "");
  for (uint32_t rank = 0; rank < 3; ++rank) {
    const uint32_t* q = run.out.data() + rank * 256;
    uint32_t from = (rank + 2) % 3;
    for (uint32_t t = 0; t < 32; ++t) {
      EXPECT_EQ(std::vector<uint32_t>(q + 4 * t, q + 4 * t + 4), (std::vector<uint32_t>{from, t, 7, ~0u}));
      EXPECT_EQ(q[128 + t], from);
      EXPECT_EQ(q[160 + t], t);
    }
    EXPECT_EQ(q[192], 3 * 31 * 16 + 32 * 3u);
    EXPECT_EQ(q[193], 31 * 3 + 2u);
    EXPECT_EQ(q[194], ~0u);  // three times each bit
    EXPECT_EQ(q[195], 1u);
  }
}

TEST(Cluster, BarrierForms) {
  for (const char* arrive : {"arrive", "arrive.release", "arrive.aligned", "arrive.release.aligned"}) {
    for (const char* wait : {"wait", "wait.acquire", "wait.aligned", "wait.acquire.aligned"}) {
      std::string barrier = "asm volatile(\"barrier.cluster." + std::string(arrive) + ";\\nbarrier.cluster." +
                            std::string(wait) + ";\" ::: \"memory\");\n";
      ClusterRun run =
          run_cluster("__shared__ u32 s[96]; for (u32 i = 0; i < 3; ++i) { s[t] = rank + i;" + barrier +
                          "p[rank * 96 + t] += *peer(s + t, 1 - rank);" + barrier + "}",
                      2, 96);
      ASSERT_EQ(run.error, "") << arrive << " " << wait;
      for (uint32_t i = 0; i < 192; ++i) EXPECT_EQ(run.out[i], 3 * (i < 96) + 3u);
    }
  }
  // Threads of one warp need not arrive together, and warps that exited do not count.
  ClusterRun run = run_cluster(R"(
    __shared__ u32 s; if (t == 0) s = 7 + rank;
    if (rank == 1 && t >= 32) return;
    if (t % 2) asm volatile("barrier.cluster.arrive;" ::: "memory"); else asm volatile("barrier.cluster.arrive;" ::: "memory");
    asm volatile("barrier.cluster.wait;" ::: "memory");
    p[rank * 64 + t] = *peer(&s, 1 - rank);
    asm volatile("barrier.cluster.arrive;\nbarrier.cluster.wait;" ::: "memory");)",
                               2, 64);
  ASSERT_EQ(run.error, "");
  for (uint32_t t = 0; t < 64; ++t) {
    EXPECT_EQ(run.out[t], 8u);
    EXPECT_EQ(run.out[64 + t], t < 32 ? 7u : 0u);
  }
}

TEST(Cluster, RemoteMbarrierOrdersAccesses) {
  // Every block writes into block 0 and arrives at its mbarrier; block 0 reads after its wait.
  std::string body = R"(
    __shared__ u32 s[8]; __shared__ __align__(8) u64 bar;
    if (t == 0 && rank == 0) init(at(&bar), ranks);
    sync();
    if (t == 0) { *peer(s + rank, 0) = 100 + rank; ARRIVE }
    if (rank == 0) { wait_for(at(&bar), 0); if (t < ranks) p[t] = s[t]; }
    sync();)";
  auto with = [&](const std::string& arrive) {
    std::string text = body;
    return run_cluster(text.replace(text.find("ARRIVE"), 6, arrive), 4);
  };
  for (const char* form :
       {"arrive_at(peer(at(&bar), 0));",
        "asm volatile(\"mbarrier.arrive.shared::cluster.b64 _, [%0], 1;\" ::\"r\"(peer(at(&bar), 0)));",
        "asm volatile(\"mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0], %1;\" "
        "::\"r\"(peer(at(&bar), 0)), \"r\"(1));"}) {
    ClusterRun run = with(form);
    ASSERT_EQ(run.error, "") << form;
    for (uint32_t r = 0; r < 4; ++r) EXPECT_EQ(run.out[r], 100 + r);
  }
  EXPECT_THAT(
      with("if (rank != 2) arrive_at(peer(at(&bar), 0)); if (rank == 1) arrive_at(peer(at(&bar), 0));").error,
      testing::AnyOf(HasSubstr("race"), HasSubstr("uninitialised")));
  EXPECT_THAT(with("if (rank) arrive_at(peer(at(&bar), 0));").error, HasSubstr("deadlock"));
}

TEST(Cluster, RequiredByTheKernel) {
  Emulator emulator("sm_90a");
  emulator.compile(
      "extern \"C\" __global__ void __cluster_dims__(2, 2, 1) k(int* p) { int n; asm(\"mov.u32 %0, "
      "%%cluster_nctarank;\" : \"=r\"(n)); p[blockIdx.y * 2 + blockIdx.x] = n; }");
  auto p = emulator.buffer(std::vector<int>(4, 0));
  ASSERT_TRUE(emulator.run("k", Emulator::Dim(2, 2), 1, 0, p).ok()) << emulator.status().error().message;
  EXPECT_EQ(emulator.read(p), std::vector<int>(4, 4));
  emulator.cluster(4);
  EXPECT_THAT(emulator.run("k", Emulator::Dim(4, 4), 1, 0, p).error().message,
              HasSubstr("a cluster of 4x1x1 blocks, the kernel requires 2x2x1"));
}

TEST(Cluster, Limits) {
  EXPECT_EQ(run_cluster("sync();", 8).error, "");
  EXPECT_THAT(
      run_cluster("sync();", 16).error,
      HasSubstr(
          "a cluster of 16 blocks, the target allows 8 (up to 16 need the opt-in for non-portable sizes)"));
  EmulatorOptions options;
  options.strictness.non_portable_clusters = true;
  ClusterRun run = run_cluster("__shared__ u32 s; s = rank; sync(); p[rank] = *peer(&s, 15 - rank); sync();",
                               16, 1, 0, 64, options);
  ASSERT_EQ(run.error, "");
  for (uint32_t r = 0; r < 16; ++r) EXPECT_EQ(run.out[r], 15 - r);
  EXPECT_THAT(run_cluster("sync();", 17, 32, 0, 64, options).error,
              HasSubstr("a cluster of 17 blocks, the target allows 16"));
  EXPECT_THAT(run_cluster("sync();", 4, 32, 6).error,
              HasSubstr("the grid of 6x1x1 blocks is not a multiple of the cluster of 4x1x1"));
  Emulator old("sm_80");
  old.compile("extern \"C\" __global__ void k() {}");
  old.cluster(2);
  EXPECT_THAT(old.run("k", 2, 1, 0).error().message, HasSubstr("the target has none"));
}

TEST(Cluster, ManyClustersOnManyWorkers) {
  ClusterRun run = run_cluster(
      "__shared__ u32 s[64]; s[t] = blockIdx.x; sync(); u32 sum = 0;"
      "for (u32 r = 0; r < ranks; ++r) sum += *peer(s + t, r);"
      "p[blockIdx.x] = sum; sync();",
      4, 64, 400);
  ASSERT_EQ(run.error, "");
  for (uint32_t b = 0; b < 400; ++b) EXPECT_EQ(run.out[b], b / 4 * 16 + 6);
}

// 32 warps in each of 16 blocks: more participants than the race detector's short clocks hold.
TEST(Cluster, LargestCluster) {
  EmulatorOptions options;
  options.strictness.non_portable_clusters = true;
  std::string body =
      "__shared__ u32 s[1024]; s[t] = rank; sync(); u32 v = *peer(s + (t + 32) % 1024, (rank + 1) % 16);"
      "BARRIER s[t] = v + 1; sync(); p[rank * 1024 + t] = s[t];";
  auto with = [&](const std::string& barrier) {
    std::string text = body;
    return run_cluster(text.replace(text.find("BARRIER"), 7, barrier), 16, 1024, 0, 16384, options);
  };
  ClusterRun run = with("sync();");
  ASSERT_EQ(run.error, "");
  for (uint32_t i = 0; i < 16384; ++i) EXPECT_EQ(run.out[i], (i / 1024 + 1) % 16 + 1);
  EXPECT_THAT(with("").error, HasSubstr("race"));
}

}  // namespace
}  // namespace rtjit
