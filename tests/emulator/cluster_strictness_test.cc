// Faults that only clusters can have: each is found and named; its clean twin runs.
#include <gmock/gmock.h>

#include "tests/emulator/cluster_harness.h"

namespace rtjit {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

std::string error_of(const std::string& body, int blocks = 2, int threads = 32) {
  return run_cluster(body, blocks, threads).error;
}

TEST(ClusterStrictness, MissingBarrierIsARace) {
  std::string body =
      "__shared__ u32 s[32]; s[t] = rank; sync(); s[t] = 5; BARRIER p[rank * 32 + t] = *peer(s + t, 1 - "
      "rank); sync();";
  auto with = [&](const std::string& barrier) {
    std::string text = body;
    return error_of(text.replace(text.find("BARRIER"), 7, barrier));
  };
  EXPECT_EQ(with("sync();"), "");
  EXPECT_THAT(with(""), AllOf(HasSubstr("race: warp 0 "), HasSubstr("shared memory that warp 0 of block ("),
                              HasSubstr("nothing orders the two")));
  EXPECT_THAT(with("__syncthreads();"), HasSubstr("race"));
  // A relaxed arrival waits, but orders nothing.
  EXPECT_THAT(with("arrive_relaxed(); wait();"), HasSubstr("race"));
  EXPECT_EQ(with("asm volatile(\"fence.acq_rel.cluster;\" ::: \"memory\"); arrive_relaxed(); wait(); asm "
                 "volatile(\"fence.acq_rel.cluster;\" ::: \"memory\");"),
            "");
}

TEST(ClusterStrictness, WritesOfTwoBlocks) {
  EXPECT_THAT(error_of("__shared__ u32 s[32]; *peer(s + t, 0) = rank; sync();"), HasSubstr("race"));
  EXPECT_EQ(error_of("__shared__ u32 s[32]; if (rank == 0) *peer(s + t, 0) = rank; sync(); if (rank == 1) "
                     "*peer(s + t, 0) = rank; sync();"),
            "");
}

TEST(ClusterStrictness, MemoryOfABlockThatExited) {
  // Nothing keeps block 1 until block 0 has read, whichever of them runs first.
  for (const char* first : {"0", "1"}) {
    std::string slow =
        "if (rank == " + std::string(first) + ") for (int i = 0; i < 2000; ++i) p[100 + rank] += i;";
    EXPECT_THAT(error_of("__shared__ u32 s; s = rank; sync();" + slow + "p[rank] = *peer(&s, 1 - rank);"),
                AllOf(HasSubstr("use-after-free"), HasSubstr("block (")));
    EXPECT_EQ(
        error_of("__shared__ u32 s; s = rank; sync();" + slow + "p[rank] = *peer(&s, 1 - rank); sync();"),
        "");
    // Leaving needs no acquire and no release: it is enough that all have been there.
    EXPECT_EQ(error_of("__shared__ u32 s; s = rank; sync();" + slow +
                       "p[rank] = *peer(&s, 1 - rank); arrive_relaxed(); wait();"),
              "");
    EXPECT_THAT(error_of("__shared__ u32 s; s = rank; sync();" + slow + "*peer(&s, 1 - rank) = 3; arrive();"),
                HasSubstr("use-after-free"));
    EXPECT_THAT(error_of("__shared__ u32 s; s = rank; sync();" + slow + "atomicAdd(peer(&s, 1 - rank), 3);"),
                HasSubstr("use-after-free"));
  }
}

TEST(ClusterStrictness, MbarrierOfABlockThatExited) {
  std::string body =
      "__shared__ __align__(8) u64 bar; if (t == 0) init(at(&bar), 1); sync();"
      "if (t == 0 && rank == 0) arrive_at(peer(at(&bar), 1)); END";
  auto with = [&](const std::string& end) {
    std::string text = body;
    return error_of(text.replace(text.find("END"), 3, end));
  };
  EXPECT_THAT(with(""), HasSubstr("use-after-free"));
  EXPECT_EQ(with("if (rank == 1) wait_for(at(&bar), 0);"), "");
}

TEST(ClusterStrictness, BlocksThatDoNotExist) {
  EXPECT_THAT(error_of("__shared__ u32 s; s = 0; p[t] = *peer(&s, 2);"),
              HasSubstr("mapa to the block with rank 2 of a cluster of 2 blocks"));
  EXPECT_THAT(error_of("__shared__ u32 s; s = 0; asm volatile(\"ld.shared::cluster.u32 %0, [%1];\" : "
                       "\"=r\"(p[0]) : \"r\"(at(&s) | 7 << 24));"),
              HasSubstr("shared memory of the block with rank 7; the cluster has 2 blocks"));
  EXPECT_THAT(error_of("p[0] = (u64)peer(p, 1);"), HasSubstr("mapa needs an address of shared memory"));
}

TEST(ClusterStrictness, OnlyClusterAccessesLeaveTheBlock) {
  std::string body =
      "__shared__ u32 s; s = 1; sync(); u32 v; asm volatile(\"LOAD.u32 %0, [%1];\" : \"=r\"(v) : "
      "\"r\"(peer(at(&s), 1 - rank))); p[rank] = v; sync();";
  auto with = [&](const std::string& load) {
    std::string text = body;
    return error_of(text.replace(text.find("LOAD"), 4, load));
  };
  EXPECT_EQ(with("ld.shared::cluster"), "");
  EXPECT_THAT(with("ld.shared"),
              HasSubstr("only .shared::cluster and generic accesses may leave the own block"));
  EXPECT_THAT(with("ld.shared::cta"), HasSubstr("invalid-address"));
  EXPECT_THAT(
      error_of("__shared__ __align__(8) u64 bar; if (t == 0) init(peer(at(&bar), 1 - rank), 1); sync();"),
      HasSubstr("invalid-address"));
  EXPECT_THAT(error_of("__shared__ __align__(8) u64 bar; if (t == 0) init(at(&bar), 1); sync(); "
                       "wait_for(peer(at(&bar), 1 - rank), 0);"),
              HasSubstr("invalid-address"));
}

TEST(ClusterStrictness, BoundsOfAnotherBlock) {
  EXPECT_THAT(error_of("__shared__ u32 s[32]; s[t] = 1; sync(); *peer(s + t + 1, 1 - rank) = 2; sync();"),
              AllOf(HasSubstr("out-of-bounds: 4 B at offset 128 of 128 B of shared memory"),
                    HasSubstr("thread (31,0,0)")));
  EXPECT_THAT(
      error_of("__shared__ u32 s[32]; if (rank == 0) s[t] = 1; sync(); p[t] = *peer(s + t, 1); sync();"),
      HasSubstr("uninitialised"));
}

TEST(ClusterStrictness, MisuseOfTheBarrier) {
  EXPECT_THAT(error_of("arrive(); arrive(); wait();"),
              HasSubstr("follows another one without a barrier.cluster.wait"));
  EXPECT_THAT(error_of("wait();"), HasSubstr("without a barrier.cluster.arrive before it"));
  EXPECT_THAT(error_of("if (t < 16) arrive(); wait();"), HasSubstr("16 of the warp's 32 live threads"));
  EXPECT_THAT(
      error_of("if (rank == 0) sync(); else asm volatile(\"bar.sync 1, 64;\");"),
      AllOf(HasSubstr("deadlock: no warp of the cluster can go on"), HasSubstr("waits at barrier.cluster"),
            HasSubstr("block (1,0,0), warp 0 waits at barrier 1")));
  EXPECT_EQ(error_of("if (rank == 0 || t >= 32) sync();", 2, 64), "");  // who exited is not waited for
}

TEST(ClusterStrictness, AsynchronousStores) {
  std::string body =
      "__shared__ u32 s[32]; __shared__ __align__(8) u64 bar; if (t == 0) { init(at(&bar), 1); "
      "expect(at(&bar), BYTES); } sync();"
      "asm volatile(\"st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];\" "
      "::\"r\"(peer(at(s + t), 1 - rank)), "
      "\"r\"(t), \"r\"(peer(at(&bar), BARRIER)) : \"memory\"); WAIT";
  auto with = [&](const std::string& bytes, const std::string& barrier, const std::string& wait) {
    std::string text = body;
    text.replace(text.find("BYTES"), 5, bytes);
    text.replace(text.find("BARRIER"), 7, barrier);
    return error_of(text.replace(text.find("WAIT"), 4, wait));
  };
  std::string good = "wait_for(at(&bar), 0); p[rank * 32 + t] = s[t]; sync();";
  EXPECT_EQ(with("128", "1 - rank", good), "");
  EXPECT_THAT(with("124", "1 - rank", good), AnyOf(HasSubstr("deadlock"), HasSubstr("async-too-early")));
  EXPECT_THAT(with("132", "1 - rank", good), HasSubstr("deadlock"));
  EXPECT_THAT(with("128", "rank", good), HasSubstr("but its mbarrier is in the block with rank"));
  // The cluster's barrier does not wait for asynchronous stores.
  EXPECT_THAT(with("128", "1 - rank", "sync(); p[rank * 32 + t] = s[t]; wait_for(at(&bar), 0); sync();"),
              HasSubstr("async-too-early"));
  EXPECT_THAT(with("128", "1 - rank", "sync();"), HasSubstr("async-too-early"));
  EXPECT_THAT(with("128", "1 - rank", "*peer(s + t, 1 - rank) = 1;" + good), HasSubstr("async-too-early"));
}

TEST(ClusterStrictness, ReductionsInFlight) {
  std::string body =
      "__shared__ u32 s[32]; INIT __shared__ __align__(8) u64 bar; if (t == 0) { init(at(&bar), 1); "
      "expect(at(&bar), 128); } sync();"
      "asm volatile(\"red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.u32 [%0], "
      "%1, [%2];\" ::\"r\"(peer(at(s + t), 1 - rank)), "
      "\"r\"(t), \"r\"(peer(at(&bar), 1 - rank)) : \"memory\"); WAIT p[rank * 32 + t] = s[t]; sync();";
  auto with = [&](const std::string& start, const std::string& wait) {
    std::string text = body;
    text.replace(text.find("INIT"), 4, start);
    return error_of(text.replace(text.find("WAIT"), 4, wait));
  };
  EXPECT_EQ(with("s[t] = 1;", "wait_for(at(&bar), 0);"), "");
  EXPECT_THAT(with("", "wait_for(at(&bar), 0);"), HasSubstr("uninitialised"));
  EXPECT_THAT(with("s[t] = 1;", "sync();"), HasSubstr("async-too-early"));
  EXPECT_THAT(with("s[t] = 1;", "*peer(s + t, 1 - rank) = 1;"), HasSubstr("async-too-early"));
}

TEST(ClusterStrictness, CopiesThatOutliveABlock) {
  std::string body =
      "__shared__ __align__(16) u32 s[32], d[32]; s[t] = t; __shared__ __align__(8) u64 bar; if (t == 0) { "
      "init(at(&bar), 1); expect(at(&bar), 128); } asm volatile(\"fence.proxy.async.shared::cta;\" ::: "
      "\"memory\"); sync();"
      "if (t == 0 && rank == 0) asm "
      "volatile(\"cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%0], [%1], 128, "
      "[%2];\" "
      "::\"r\"(peer(at(d), 1)), \"r\"(at(s)), \"r\"(peer(at(&bar), 1)) : \"memory\"); END";
  auto with = [&](const std::string& end) {
    std::string text = body;
    return error_of(text.replace(text.find("END"), 3, end));
  };
  EXPECT_EQ(with("if (rank == 1) { wait_for(at(&bar), 0); p[t] = d[t]; } sync();"), "");
  EXPECT_THAT(with("if (rank == 1) { wait_for(at(&bar), 0); p[t] = d[t]; }"),
              HasSubstr("is still to read its shared memory"));
  EXPECT_THAT(with("sync();"), AnyOf(HasSubstr("in flight"), HasSubstr("is still to read")));
}

TEST(ClusterStrictness, OneBlockAlone) {
  EXPECT_THAT(error_of("__shared__ u32 s; s = 3; sync(); p[t] = *peer(&s, 1);", 1),
              HasSubstr("of a cluster of 1 blocks"));
  EXPECT_EQ(error_of("__shared__ u32 s; s = 3; sync(); p[t] = *peer(&s, 0);", 1), "");
}

}  // namespace
}  // namespace rtjit
