// The kinds of races of one block, between the blocks of a cluster: of the proxies, of lanes, and on global
// memory. Each planted one is found, and its ordered twin runs.
#include <gmock/gmock.h>

#include "tests/emulator/cluster_harness.h"

namespace rtjit {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// In a body, HERE stands for `with`, FENCE for a proxy fence, and LATE lets all others go first.
std::string error_of(std::string body, const std::string& with = "", int grid = 0) {
  auto replace = [&](const std::string& word, const std::string& by) {
    for (size_t at = body.find(word); at != std::string::npos; at = body.find(word))
      body.replace(at, word.size(), by);
  };
  replace("HERE", with);
  replace("FENCE", "asm volatile(\"fence.proxy.async.shared::cta;\" ::: \"memory\");");
  replace("LATE", "for (int i = 0; i < 100; ++i) __nanosleep(1);");
  EmulatorOptions options;
  options.host_threads = 1;
  return run_cluster(body, 2, 64, grid, 1024, options).error;
}

const std::string kBarrier =
    "__shared__ __align__(8) u64 bar; if (t == 0) { init(at(&bar), 1); expect(at(&bar), 256); }";

TEST(ClusterRaces, SourceOfACopyToAnotherBlockNeedsAFence) {
  auto copy = [](const std::string& operation) {
    return "__shared__ __align__(16) u32 s[64], d[64]; s[t] = t; d[t] = 1;" + kBarrier +
           "HERE sync(); if (t == 0) asm volatile(\"cp." + operation +
           " [%0], [%1], 256, [%2];\" ::\"r\"(peer(at(d), 1 - rank)), \"r\"(at(s)), \"r\"(peer(at(&bar), 1 - "
           "rank)) : \"memory\");__syncwarp(); wait_for(at(&bar), 0); p[rank * 64 + t] = d[t]; sync();";
  };
  const std::string forms[] = {
      "async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes",
      "reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.add.u32"};
  for (const std::string& form : forms) {
    EXPECT_EQ(error_of(copy(form), "FENCE"), "") << form;
    EXPECT_THAT(error_of(copy(form)), HasSubstr("missing-proxy-fence")) << form;
  }
}

// Block 0 copies into both blocks. `before`: between their own writes there and its copy.
std::string multicast(const std::string& before, const std::string& after) {
  return "__shared__ __align__(16) u32 d[64]; d[t] = rank;" + kBarrier + before +
         "if (rank == 0 && t == 0) asm "
         "volatile(\"cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
         "[%0], [%1], 256, [%2], %3;\" ::\"r\"(at(d)), \"l\"(p), \"r\"(at(&bar)), \"h\"((unsigned short)3) : "
         "\"memory\"); __syncwarp();" +
         after + "sync();";
}

TEST(ClusterRaces, DestinationsOfAMulticastNeedAFence) {
  const std::string after = "wait_for(at(&bar), 0); p[64 + rank * 64 + t] = d[t];";
  EXPECT_EQ(error_of(multicast("FENCE sync();", after)), "");
  EXPECT_EQ(error_of(multicast("sync(); FENCE", after)), "");
  EXPECT_THAT(error_of(multicast("sync();", after)), HasSubstr("missing-proxy-fence"));
  // The other block's writes need it too, and the report says whose they are.
  EXPECT_THAT(error_of(multicast("if (rank == 0) { FENCE } sync();", after)),
              AllOf(HasSubstr("missing-proxy-fence"), HasSubstr("of block (1,0,0)")));
}

TEST(ClusterRaces, CopiesAreThereForWhoWaited) {
  EXPECT_EQ(error_of(multicast("FENCE sync();",
                               "if (t < 32) { wait_for(at(&bar), 0); p[64 + rank * 64 + t] = d[t]; }")),
            "");
  // Warp 1 reads what only warp 0 waited for; in time, it is late enough.
  const std::string other =
      "if (t < 32) wait_for(at(&bar), 0); HERE if (t >= 32) { LATE p[256 + rank * 64 + t] = d[t]; }";
  EXPECT_EQ(error_of(multicast("FENCE sync();", other), "__syncthreads();"), "");
  EXPECT_THAT(error_of(multicast("FENCE sync();", other)),
              AllOf(HasSubstr("race"), HasSubstr("nothing orders the two")));
}

TEST(ClusterRaces, AsynchronousStores) {
  const std::string store =
      "__shared__ __align__(16) u32 d[64];" + kBarrier +
      "sync(); asm volatile(\"st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];\" "
      "::\"r\"(peer(at(d + t), 1 - rank)), \"r\"(t), \"r\"(peer(at(&bar), 1 - rank)) : \"memory\");";
  EXPECT_EQ(error_of(store + "wait_for(at(&bar), 0); p[rank * 64 + t] = d[t]; sync();"), "");
  const std::string other =
      "if (t < 32) wait_for(at(&bar), 0); HERE if (t >= 32) { LATE p[rank * 64 + t] = d[t]; } sync();";
  EXPECT_EQ(error_of(store + other, "__syncthreads();"), "");
  EXPECT_THAT(error_of(store + other), HasSubstr("race"));
  // What arrived may go on through the asynchronous proxy.
  EXPECT_EQ(
      error_of(
          store +
          "wait_for(at(&bar), 0); if (t == 0) asm volatile(\"cp.async.bulk.global.shared::cta.bulk_group "
          "[%0], [%1], 256;\\ncp.async.bulk.commit_group;\\ncp.async.bulk.wait_group 0;\" ::\"l\"(p + rank * "
          "64), \"r\"(at(d)) : \"memory\"); sync();"),
      "");
}

TEST(ClusterRaces, LanesInAnotherBlock) {
  const std::string body =
      "__shared__ u32 s[32]; if (t < 32) s[t] = 0; sync(); if (t < 32 && rank == 0) { *peer(s + t, 1) = t + "
      "1; HERE p[t] = *peer(s + (t ^ 1), 1); } sync();";
  EXPECT_EQ(error_of(body, "__syncwarp();"), "");
  EXPECT_THAT(error_of(body), AllOf(HasSubstr("race: lane "), HasSubstr("of the same warp")));
}

TEST(ClusterRaces, GlobalMemoryWithinTheCluster) {
  const std::string body = "if (rank == 0) p[t] = 7; HERE if (rank == 1) { LATE p[64 + t] = p[t]; } sync();";
  EXPECT_THAT(error_of(body),
              AllOf(HasSubstr("race: this block reads global memory that block (0,0,0) wrote")));
  EXPECT_EQ(error_of(body, "sync();"), "");
}

TEST(ClusterRaces, GlobalMemoryOfAnotherCluster) {
  // A barrier of the cluster does not order it with others; what one of its blocks waited for counts for all.
  const std::string body =
      "u32 c = blockIdx.x / 2; if (c == 0 && rank == 0) p[t] = 7; HERE sync(); if (c == 1 && rank == 1) p[64 "
      "+ t] = p[t]; sync();";
  EXPECT_THAT(error_of(body, "", 4),
              HasSubstr("race: this block reads global memory that block (0,0,0) wrote"));
  EXPECT_EQ(error_of(body, "if (c == 1 && rank == 0) __threadfence();", 4), "");
}

}  // namespace
}  // namespace rtjit
