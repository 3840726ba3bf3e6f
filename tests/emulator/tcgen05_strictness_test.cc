// Each misuse of tensor memory and of tcgen05 is found and named with its place; its clean twin runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "emulator/emulator.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

// D (128 x 16, f32) = A (128 x 16) * B (16 x 16) of halves that are all 1, in steps that a test may change.
const char kSource[] = R"(
using u32 = unsigned; using u64 = unsigned long long;
extern __shared__ __align__(1024) unsigned char raw[];
__shared__ __align__(8) u64 bars[2];
__shared__ u32 slot;
__device__ u32 at(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ u64 matrix(const void* p) { return (u64)1 << 46 | (u64)16 << 32 | (at(p) & 0x3ffff) >> 4 | (u64)6 << 61; }
__device__ void alloc(u32 columns) {
  asm volatile("tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%0], %1;" ::"r"(at(&slot)), "r"(columns) : "memory");
}
__device__ void dealloc(u32 a, u32 columns) {
  asm volatile("tcgen05.dealloc.cta_group::1.sync.aligned.b32 %0, %1;" ::"r"(a), "r"(columns) : "memory");
}
__device__ void relinquish() { asm volatile("tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;" ::: "memory"); }
__device__ void st(u32 a, u32 x) { asm volatile("tcgen05.st.sync.aligned.32x32b.x1.b32 [%0], {%1};" ::"r"(a), "r"(x) : "memory"); }
__device__ u32 ld(u32 a) {
  u32 x;
  asm volatile("tcgen05.ld.sync.aligned.32x32b.x1.b32 {%0}, [%1];" : "=r"(x) : "r"(a) : "memory");
  return x;
}
__device__ void wait_ld() { asm volatile("tcgen05.wait::ld.sync.aligned;" ::: "memory"); }
__device__ void wait_st() { asm volatile("tcgen05.wait::st.sync.aligned;" ::: "memory"); }
__device__ void mma(u32 d, u64 a, u64 b, u32 n, u32 accumulate) {
  u32 id = 1u << 4 | (n / 8) << 17 | 8u << 24;
  asm volatile("{ .reg .pred p; setp.ne.u32 p, %4, 0; tcgen05.mma.cta_group::1.kind::f16 [%0], %1, %2, %3, p; }"
               ::"r"(d), "l"(a), "l"(b), "r"(id), "r"(accumulate) : "memory");
}
__device__ void mma_ts(u32 d, u32 a, u64 b) {
  asm volatile("{ .reg .pred p; setp.ne.u32 p, 0, 0; tcgen05.mma.cta_group::1.kind::f16 [%0], [%1], %2, %3, p; }"
               ::"r"(d), "r"(a), "l"(b), "r"(1u << 4 | 2u << 17 | 8u << 24) : "memory");
}
__device__ void cp(u32 d, u64 a) { asm volatile("tcgen05.cp.cta_group::1.128x256b [%0], %1;" ::"r"(d), "l"(a) : "memory"); }
__device__ void commit(int i = 0) {
  asm volatile("tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%0];" ::"r"(at(&bars[i])) : "memory");
}
__device__ void fence_before() { asm volatile("tcgen05.fence::before_thread_sync;" ::: "memory"); }
__device__ void fence_after() { asm volatile("tcgen05.fence::after_thread_sync;" ::: "memory"); }
__device__ void wait_unfenced(int i = 0, u32 parity = 0) {
  asm volatile("{ .reg .pred p; L: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1; @!p bra L; }" ::"r"(at(&bars[i])), "r"(parity) : "memory");
}
__device__ void wait(int i = 0, u32 parity = 0) { wait_unfenced(i, parity); fence_after(); }
__device__ void sync() { fence_before(); __syncthreads(); fence_after(); }
extern "C" __global__ void k(u32* out) {
  u32 t = threadIdx.x, w = t / 32, lanes = (w % 4) << 21;
  unsigned char *sa = raw, *sb = raw + 8192;
  for (u32 i = t; i < 8192 / 2; i += blockDim.x) ((unsigned short*)raw)[i] = ((unsigned short*)sb)[i] = 0x3c00;
  if (t == 0)
    for (int i = 0; i < 2; ++i) asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(at(&bars[i])) : "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  u64 da = matrix(sa), db = matrix(sb);
  if (w == 0) alloc(64);
  sync();
  u32 base = slot;
  BODY
}
)";

std::string run(const std::string& body, int threads = 128, uint64_t failed_waits = 0, bool races = true,
                bool tensor_fences = true) {
  std::string text = kSource;
  text.replace(text.find("BODY"), 4, body);
  EmulatorOptions options;
  options.strictness.races = races;
  options.strictness.tensor_fences = tensor_fences;
  if (failed_waits) options.strictness.failed_waits_per_block = failed_waits;
  Emulator emulator("sm_100a", options);
  emulator.compile(text);
  auto out = emulator.buffer(std::vector<uint32_t>(256, 0));
  Status status = emulator.run("k", 1, threads, 16384, out);
  return status.ok() ? "" : status.error().message;
}

const std::string kEnd = "sync(); if (w == 0) dealloc(base, 64);";
const std::string kProduct = "if (t == 0) { mma(base, da, db, 16, 0); commit(); } __syncwarp();";

TEST(Tcgen05Strictness, ResultUsedBeforeTheCommitIsWaitedFor) {
  std::string error = run(kProduct + "sync(); out[t] = ld(base + lanes); wait_ld(); wait();" + kEnd);
  EXPECT_THAT(error, HasSubstr("async-too-early"));
  EXPECT_THAT(error, HasSubstr("the tcgen05.mma at PTX line"));
  EXPECT_THAT(error, HasSubstr("kernel k, PTX line"));
  EXPECT_THAT(error, HasSubstr("(tcgen05.ld.sync.aligned.32x32b.x1.b32), block (0,0,0), thread (0,0,0)"));
  EXPECT_EQ(run(kProduct + "wait(); out[t] = ld(base + lanes); wait_ld();" + kEnd), "");
  // A commit that another thread made does not cover this thread's product.
  EXPECT_THAT(
      run("if (t == 0) mma(base, da, db, 16, 0); if (t == 32) commit(); wait(); out[t] = ld(base + lanes);"),
      HasSubstr("has not been waited for"));
  // An earlier commit does not cover a later product.
  EXPECT_THAT(
      run("if (t == 0) { mma(base, da, db, 16, 0); commit(); mma(base, da, db, 16, 1); } wait(); out[t] = "
          "ld(base + lanes);"),
      HasSubstr("has not been waited for"));
}

TEST(Tcgen05Strictness, OperandsInSharedMemoryMustStay) {
  auto change = [](const std::string& before, const std::string& after, bool races = true) {
    return run(kProduct + before + "wait(); sync();" + after + kEnd, 128, 0, races);
  };
  // The thread that issued the product, another one, and another one behind a barrier.
  const std::string overwrite = "if (t == 0) *(u32*)(sb + 4) = 0;";
  for (std::string by : {overwrite, std::string("if (t == 64) *(u32*)(sa + 4) = 0;"),
                         std::string("sync(); if (t == 64) *(u32*)(sa + 4) = 0;")}) {
    std::string error = change(by, "");
    EXPECT_THAT(error,
                HasSubstr("writes shared memory that an asynchronous tcgen05 operation read at PTX line"));
    EXPECT_THAT(error, HasSubstr("(st.shared"));
  }
  EXPECT_EQ(change("", overwrite), "");
  // Without the race detector the operation itself sees it.
  std::string error = change(overwrite, "", false);
  EXPECT_THAT(error, HasSubstr("was changed before the instruction completed"));
  EXPECT_THAT(error, HasSubstr("(tcgen05.mma.cta_group::1.kind::f16), block (0,0,0), thread (0,0,0)"));
  EXPECT_EQ(change("", overwrite, false), "");
}

// A barrier after the issue does not order a result for warps that did not wait for the mbarrier themselves.
TEST(Tcgen05Strictness, EveryReaderIsOrderedAfterTheCommit) {
  const std::string load = "out[t] = ld(base + lanes); wait_ld();";
  EXPECT_THAT(
      run(kProduct + "sync(); if (w == 0) wait(); for (int i = 0; i < 2000; ++i) out[128 + t] = i;" + load),
      HasSubstr("race"));
  EXPECT_EQ(run(kProduct + "sync(); if (w == 0) wait(); sync();" + load + kEnd), "");
}

TEST(Tcgen05Strictness, StoresAndLoadsNeedTheirWaits) {
  const std::string fill = "for (int i = 0; i < 16; ++i) st(base + lanes + i, i);";
  EXPECT_THAT(run("st(base + lanes, t); out[t] = ld(base + lanes);"), HasSubstr("with tcgen05.wait::st"));
  EXPECT_EQ(run("st(base + lanes, t); wait_st(); out[t] = ld(base + lanes); wait_ld();" + kEnd), "");
  std::string accumulate = "if (t == 0) { mma(base, da, db, 16, 1); commit(); } wait();";
  EXPECT_THAT(run(fill + "sync();" + accumulate), HasSubstr("with tcgen05.wait::st"));
  EXPECT_EQ(run(fill + "wait_st(); sync();" + accumulate + kEnd), "");
  EXPECT_THAT(run(fill + "wait_st(); out[t] = ld(base + lanes); sync();" + accumulate),
              HasSubstr("with tcgen05.wait::ld"));
  EXPECT_EQ(run(fill + "wait_st(); out[t] = ld(base + lanes); wait_ld(); sync();" + accumulate + kEnd), "");
}

TEST(Tcgen05Strictness, WarpsOfTensorMemoryAreOrdered) {
  // The barrier between the stores and the product is missing, then the one between the loads and the next
  // product.
  const std::string fill = "for (int i = 0; i < 16; ++i) st(base + lanes + i, i); wait_st();";
  const std::string first = "if (t == 0) { mma(base, da, db, 16, 1); commit(0); } wait(0);";
  const std::string second = "if (t == 0) { mma(base, da, db, 16, 1); commit(1); } wait(1);";
  EXPECT_THAT(
      run("if (w == 0) { " + fill + "} else { " + fill + " } if (t == 32) { mma(base, da, db, 16, 1); }"),
      HasSubstr("race"));
  const std::string load = "out[t] = ld(base + lanes); wait_ld();";
  EXPECT_THAT(run(fill + "sync();" + first + load + second + kEnd), HasSubstr("race"));
  EXPECT_EQ(run(fill + "sync();" + first + load + "sync();" + second + kEnd), "");
}

// Barriers alone do not order uses of tensor memory by different threads.
TEST(Tcgen05Strictness, FencesAroundWhatOrders) {
  const std::string load = "out[t] = ld(base + lanes); wait_ld();";
  // What a commit announces needs the fence of who waited.
  std::string error = run(kProduct + "wait_unfenced();" + load + kEnd);
  EXPECT_THAT(error, HasSubstr("missing-tensor-fence: reads tensor memory that"));
  EXPECT_THAT(error, HasSubstr("something orders the two, but tcgen05.fence::after_thread_sync after it"));
  EXPECT_THAT(error, HasSubstr("(tcgen05.ld.sync.aligned.32x32b.x1.b32), block (0,0,0), thread (0,0,0)"));
  EXPECT_EQ(run(kProduct + "wait_unfenced(); fence_after();" + load + kEnd), "");
  EXPECT_EQ(run(kProduct + "wait_unfenced();" + load + kEnd, 128, 0, true, false), "");

  // Between other threads both are needed, for stores before a product and for loads before the next.
  const std::string fill = "for (int i = 0; i < 16; ++i) st(base + lanes + i, i); wait_st();";
  const std::string first = "if (t == 0) { mma(base, da, db, 16, 1); commit(0); } wait(0);";
  const std::string second = "if (t == 0) { mma(base, da, db, 16, 1); commit(1); } wait(1);";
  for (const char* sync :
       {"__syncthreads();", "fence_before(); __syncthreads();", "__syncthreads(); fence_after();",
        "__syncthreads(); fence_before(); fence_after();"}) {
    error = run(fill + sync + first + kEnd);
    EXPECT_THAT(error, HasSubstr("missing-tensor-fence: writes tensor memory that")) << sync;
    EXPECT_THAT(error, HasSubstr("tcgen05.fence::before_thread_sync before it, or")) << sync;
    error = run(fill + "sync();" + first + load + sync + second + kEnd);
    EXPECT_THAT(error, HasSubstr("missing-tensor-fence")) << sync;
    EXPECT_THAT(error, HasSubstr("read at PTX line")) << sync;
  }
  EXPECT_EQ(run(fill + "sync();" + first + load + "sync();" + second + kEnd), "");

  // By way of a third warp, whose fences do not matter.
  const std::string relay =
      "if (w == 0) { st(base, 1); wait_st(); fence_before(); } asm volatile(\"bar.sync 1, 64;\"); ";
  const std::string chain =
      "if (w < 2) {" + relay + "} if (w == 1 || w == 2) asm volatile(\"bar.sync 2, 64;\");";
  const std::string use = "mma(base, da, db, 16, 0); commit(); } wait(); " + kEnd;
  EXPECT_THAT(run(chain + "if (t == 64) {" + use), HasSubstr("missing-tensor-fence"));
  EXPECT_EQ(run(chain + "if (t == 64) { fence_after();" + use), "");

  // A thread's own stores need their wait alone.
  EXPECT_EQ(run("if (w == 0) { st(base, 1); wait_st(); if (t == 0) { mma(base, da, db, 16, 0); commit(); } } "
                "__syncwarp(); wait();" +
                load + kEnd),
            "");
}

TEST(Tcgen05Strictness, LanesOfAWarp) {
  std::string error = run("st(base + (lanes ^ 1 << 21), 1);");
  EXPECT_THAT(
      error,
      HasSubstr("tensor-memory: warp 0 reaches lanes 0 to 31 of tensor memory; 32 lanes from lane 32"));
  EXPECT_THAT(run("st(base + lanes + (16 << 16), 1);"), HasSubstr("32 lanes from lane 16"));
  EXPECT_EQ(run("if (w == 5) { st(base + lanes, 1); wait_st(); }" + kEnd, 256), "");
  EXPECT_THAT(run("st(base + lanes + t, 1);"),
              HasSubstr("the tensor memory address must be the same in all lanes"));
  EXPECT_THAT(run("if (t % 2) st(base + lanes, 1);"), HasSubstr("needs all 32 lanes"));
}

TEST(Tcgen05Strictness, UnwrittenTensorMemory) {
  EXPECT_THAT(run("out[t] = ld(base + lanes + 3);"),
              HasSubstr("nobody has written lane 0, column 3 of tensor memory before it is read"));
  EXPECT_THAT(run("if (t == 0) { mma(base, da, db, 16, 1); commit(); } wait();"), HasSubstr("uninitialised"));
  EXPECT_THAT(run("if (t == 0) { mma_ts(base, base + 32, db); commit(); } wait();"),
              HasSubstr("uninitialised"));
  EXPECT_EQ(run("if (t == 0) { cp(base + 32, da); mma_ts(base, base + 32, db); commit(); } wait();" + kEnd),
            "");
  std::string error = run("if (t == 0) { mma(base, matrix(raw + 14336), db, 16, 0); commit(); } wait();");
  EXPECT_THAT(error, HasSubstr("of shared memory"));
}

TEST(Tcgen05Strictness, Allocation) {
  EXPECT_THAT(run("sync();"), HasSubstr("the block ended without deallocating the 64 columns"));
  EXPECT_THAT(run("st(base + lanes + 64, 1);"),
              HasSubstr("columns 64 to 64 of tensor memory are not (or no longer)"));
  EXPECT_THAT(run("sync(); if (w == 0) { dealloc(base, 64); st(base + lanes, 1); }"),
              HasSubstr("(or no longer)"));
  EXPECT_THAT(run("sync(); if (w == 0) dealloc(base, 32);"), HasSubstr("32 columns are deallocated"));
  EXPECT_THAT(run("sync(); if (w == 0) dealloc(base + 8, 64);"),
              HasSubstr("no allocation of tensor memory begins"));
  EXPECT_THAT(run("if (w == 0) { relinquish(); alloc(32); }"),
              HasSubstr("after tcgen05.relinquish_alloc_permit"));
  EXPECT_EQ(run("sync(); if (w == 0) { alloc(32); u32 b = slot; relinquish(); dealloc(b, 32); }" + kEnd), "");
  EXPECT_THAT(run("if (w == 0) alloc(128);"), HasSubstr("may not be larger than the one before"));
  EXPECT_THAT(run("if (w == 0) alloc(48);"), HasSubstr("48 columns of tensor memory; 32, 64, 128"));
  EXPECT_THAT(run(kProduct + "if (w == 0) dealloc(base, 64); wait();"),
              HasSubstr("is deallocated, but the tcgen05.mma at PTX line"));
  EXPECT_THAT(run("st(base + lanes, 1); wait_st(); if (w == 3) dealloc(base, 64);"), HasSubstr("race"));
}

// An allocation waits for room. Warp 1 frees it, or nobody does.
TEST(Tcgen05Strictness, AllocationBlocks) {
  const std::string fill = "if (w == 0) { for (int i = 0; i < 7; ++i) alloc(64); } sync();";
  const std::string again = "if (w == 0) { alloc(64); out[0] = slot; }";
  EXPECT_THAT(run(fill + again, 128, 1000), HasSubstr("deadlock"));
  EXPECT_EQ(run(fill + again +
                "if (w == 1) { for (int i = 0; i < 100; ++i) out[32 + t] = i; dealloc(128, 64); }"
                "sync(); if (w == 0) for (int i = 0; i < 8; ++i) dealloc(i * 64, 64);"),
            "");
}

TEST(Tcgen05Strictness, CommitNeedsAnMbarrierThatExpectsIt) {
  EXPECT_THAT(
      run("if (t == 0) asm volatile(\"tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 "
          "[%0];\" ::\"r\"(at(raw)) : \"memory\");"),
      HasSubstr("no initialised mbarrier"));
  EXPECT_THAT(run("wait();" + kEnd, 128, 1000), HasSubstr("deadlock"));
}

TEST(Tcgen05Strictness, CopiesAndOperandsInTensorMemory) {
  const std::string load = "out[t] = ld(base + lanes + 32); wait_ld();", copy = "cp(base + 32, da);";
  EXPECT_THAT(run("if (t == 0) { " + copy + " commit(); } __syncwarp();" + load),
              HasSubstr("the tcgen05.cp at PTX line"));
  EXPECT_EQ(run("if (t == 0) { " + copy + " commit(); } __syncwarp(); wait();" + load + kEnd), "");
  // A of a product that is under way is overwritten.
  const std::string product =
      "if (t == 0) { " + copy + " mma_ts(base, base + 32, db); commit(); } __syncwarp();";
  const std::string store = "st(base + lanes + 32, 0); wait_st();";
  EXPECT_THAT(run(product + store), HasSubstr("has not been waited for with tcgen05.commit"));
  EXPECT_EQ(run(product + "wait();" + store + kEnd), "");
  // The result of a product is no operand of another until it has been waited for.
  EXPECT_THAT(run("if (t == 0) { mma(base + 32, da, db, 8, 0); mma_ts(base, base + 32, db); }"),
              HasSubstr("has not been waited for"));
}

// Two products of different shapes on one accumulator are not ordered by themselves.
TEST(Tcgen05Strictness, ProductsOfOtherShapes) {
  EXPECT_THAT(run("if (t == 0) { mma(base, da, db, 16, 0); mma(base, da, db, 8, 1); commit(); } wait();"),
              HasSubstr("has not been waited for"));
  EXPECT_EQ(
      run("if (t == 0) { mma(base, da, db, 16, 0); mma(base, da, db, 16, 1); commit(); } wait();" + kEnd),
      "");
  EXPECT_EQ(
      run("if (t == 0) { mma(base, da, db, 16, 0); mma(base + 16, da, db, 8, 0); commit(); } wait();" + kEnd),
      "");
}

TEST(Tcgen05Strictness, TargetsWithoutTensorMemory) {
  Emulator emulator("sm_120a");
  emulator.load(
      ".version 9.0\n.target sm_120a\n.address_size 64\n.visible .entry k() {\n"
      "tcgen05.wait::ld.sync.aligned;\nret;\n}\n");
  Status status = emulator.run("k", 1, 32, 0);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("tcgen05"));
}

}  // namespace
}  // namespace rtjit
