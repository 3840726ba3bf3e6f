// A fence.proxy.async that is missing between a write through the generic proxy and an instruction that goes
// through the asynchronous one: found for every such instruction, and not reported where the fence is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "emulator/emulator.h"

namespace rtjit {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const char kPrelude[] = R"(
using u16 = unsigned short; using u32 = unsigned; using u64 = unsigned long long;
struct alignas(64) Map { char bytes[128]; };
extern __shared__ __align__(1024) unsigned char raw[];
__shared__ __align__(8) u64 bars[2];
__shared__ u32 slot;
__device__ u32 at(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ void fence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
__device__ void wait(int i) {
  asm volatile("{ .reg .pred P; L: mbarrier.try_wait.parity.shared::cta.b64 P, [%0], 0; @!P bra L; }" ::"r"(at(&bars[i])) : "memory");
}
__device__ void fill(u32 bytes) { for (u32 i = threadIdx.x * 4; i < bytes; i += blockDim.x * 4) *(u32*)(raw + i) = 0x3f803f80; }
__device__ void init(int threads) {
  if (threadIdx.x == 0)
    for (int i = 0; i < 2; ++i) asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(at(&bars[i])), "r"(threads) : "memory");
  __syncthreads();
}
)";

// What reads shared memory; all of it has been written by `fill` through the generic proxy.
struct Reader {
  const char* name;
  const char* target;
  const char* instruction;  // in the report
  std::string code;
};

std::string wgmma(bool shared_a) {
  std::string sums = "float c[4] = {};",
              constraints = R"(: "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : )";
  std::string a = shared_a ? "%4" : "{%4, %4, %4, %4}", type = shared_a ? "\"l\"(d)" : "\"r\"(0x3f803f80u)";
  return "u64 d = (u64)16 << 32 | (u64)8 << 16 | at(raw) >> 4;" + sums +
         R"(asm volatile("wgmma.fence.sync.aligned; wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%0, %1, %2, %3}, )" +
         a + ", %5, 1, 1, 1, " + (shared_a ? "0, 0" : "0") +
         R"(; wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;" )" + constraints + type +
         R"(, "l"(d) : "memory"); out[threadIdx.x] = c[0];)";
}

std::vector<Reader> readers() {
  const std::string tensor = R"(
    if (threadIdx.x < 32) asm volatile("tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%0], 64;" ::"r"(at(&slot)) : "memory");
    __syncthreads();
    u64 d = (u64)1 << 46 | (u64)16 << 32 | (at(raw) & 0x3ffff) >> 4 | (u64)6 << 61;
    if (threadIdx.x == 0) {
      INSTRUCTION
      asm volatile("tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%0];" ::"r"(at(&bars[0])) : "memory");
    }
    wait(0);
    asm volatile("tcgen05.fence::after_thread_sync;" ::: "memory");
    __syncthreads();
    if (threadIdx.x < 32) asm volatile("tcgen05.dealloc.cta_group::1.sync.aligned.b32 %0, 64;" ::"r"(slot) : "memory");
  )";
  auto tcgen05 = [&](const std::string& instruction) {
    std::string text = tensor;
    return text.replace(text.find("INSTRUCTION"), 11, instruction);
  };
  const std::string finish =
      R"(asm volatile("cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;" ::: "memory"); })";
  return {
      {"wgmma, B", "sm_90a", "wgmma.mma_async", wgmma(false)},
      {"wgmma, A and B", "sm_90a", "wgmma.mma_async", wgmma(true)},
      {"bulk store", "sm_90a", "cp.async.bulk.global",
       R"(if (threadIdx.x == 0) { asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], 512;" ::"l"(out), "r"(at(raw)) : "memory");)" +
           finish},
      {"bulk reduction", "sm_90a", "cp.reduce.async.bulk.global",
       R"(if (threadIdx.x == 0) { asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.u32 [%0], [%1], 512;" ::"l"(out), "r"(at(raw)) : "memory");)" +
           finish},
      {"tensor store", "sm_90a", "cp.async.bulk.tensor.2d.global",
       R"(if (threadIdx.x == 0) { asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %1}], [%2];" ::"l"(&map), "r"(0), "r"(at(raw)) : "memory");)" +
           finish},
      {"tensor reduction", "sm_90a", "cp.reduce.async.bulk.tensor.2d",
       R"(if (threadIdx.x == 0) { asm volatile("cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.tile.bulk_group [%0, {%1, %1}], [%2];" ::"l"(&map), "r"(0), "r"(at(raw)) : "memory");)" +
           finish},
      {"scatter", "sm_100a", "scatter4",
       R"(if (threadIdx.x == 0) { asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile::scatter4.bulk_group [%0, {%1, %1, %2, %3, %4}], [%5];" ::"l"(&map), "r"(0), "r"(1), "r"(2), "r"(3), "r"(at(raw)) : "memory");)" +
           finish},
      {"tcgen05.mma", "sm_100a", "tcgen05.mma",
       tcgen05(
           R"(asm volatile("{ .reg .pred p; setp.ne.u32 p, 0, 0; tcgen05.mma.cta_group::1.kind::f16 [%0], %1, %1, %2, p; }" ::"r"(slot), "l"(d), "r"(1u << 4 | 1u << 7 | 1u << 10 | 2u << 17 | 8u << 24) : "memory");)")},
      {"tcgen05.cp", "sm_100a", "tcgen05.cp",
       tcgen05(
           R"(asm volatile("tcgen05.cp.cta_group::1.128x128b [%0], %1;" ::"r"(slot), "l"(d) : "memory");)")},
      // A load that overwrites what was written, which may then land after it.
      {"bulk load over it", "sm_90a", "cp.async.bulk.shared::cluster",
       R"(if (threadIdx.x == 0) {
         asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 512;" ::"r"(at(&bars[0])) : "memory");
         asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], 512, [%2];" ::"r"(at(raw)), "l"(out), "r"(at(&bars[0])) : "memory");
       } wait(0);)"},
  };
}

std::string run(const char* target, const std::string& code) {
  Emulator emulator(target);
  emulator.compile(std::string(kPrelude) +
                   R"(extern "C" __global__ void k(const __grid_constant__ Map map, float* out) {)" + code +
                   "}");
  auto out = emulator.buffer(std::vector<float>(128, 0));
  TensorMapRequest request;
  request.base = out.address;
  request.dtype = DType::i32;
  request.rank = 2;
  request.dims = {16, 8};
  request.strides = {64};
  request.box = {16, std::string_view(target) == "sm_100a" ? 1u : 8u};
  TensorMapBytes map;
  if (Status status = emulator.device().encode_tensor_map(request, &map); !status.ok())
    return status.error().message;
  Status status = emulator.run("k", 1, 128, 16384, map, out);
  return status.ok() ? "" : status.error().message;
}

TEST(Proxies, EveryReaderNeedsTheFence) {
  const std::string write = "init(1); fill(8192);";
  for (const Reader& reader : readers()) {
    SCOPED_TRACE(reader.name);
    EXPECT_THAT(run(reader.target, write + "__syncthreads();" + reader.code),
                AllOf(HasSubstr("missing-proxy-fence"), HasSubstr("through the generic proxy"),
                      HasSubstr(reader.instruction), HasSubstr("block (0,0,0), thread (")));
    // By who wrote, before the barrier; or by who reads, after it.
    EXPECT_EQ(run(reader.target, write + "fence(); __syncthreads();" + reader.code), "");
    EXPECT_EQ(run(reader.target, write + "__syncthreads(); fence(); __syncwarp();" + reader.code), "");
    // A fence that comes before the write does not help, nor does one for global memory.
    EXPECT_THAT(run(reader.target, "init(1); fence(); fill(8192); __syncthreads();" + reader.code),
                HasSubstr("missing-proxy-fence"));
    EXPECT_THAT(run(reader.target,
                    write + R"(asm volatile("fence.proxy.async.global;" ::: "memory"); __syncthreads();)" +
                        reader.code),
                HasSubstr("missing-proxy-fence"));
    // A fence without an order of warps is a race all the same (there is a barrier in the code of tcgen05).
    if (!std::string_view(reader.name).starts_with("tcgen05")) {
      EXPECT_NE(run(reader.target, write + "fence();" + reader.code), "");
    }
  }
}

// cp.async goes through the generic proxy, whether it is waited for or completes on an mbarrier.
TEST(Proxies, CopiesOfThreadsAreGeneric) {
  const std::string copy = R"(
    init(128);
    for (u32 i = threadIdx.x * 16; i < 8192; i += blockDim.x * 16)
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at(raw + i)), "l"((char*)out + i % 512) : "memory");
  )";
  const std::string wait_all = R"(asm volatile("cp.async.wait_all;" ::: "memory");)";
  const std::string on_barrier =
      R"(asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(at(&bars[0])) : "memory"); wait(0);)";
  for (const std::string& waits : {wait_all, on_barrier}) {
    EXPECT_THAT(run("sm_90a", copy + waits + "__syncthreads();" + wgmma(true)),
                HasSubstr("missing-proxy-fence"));
    EXPECT_EQ(run("sm_90a", copy + waits + "fence(); __syncthreads();" + wgmma(true)), "");
  }
  EXPECT_EQ(run("sm_90a", copy + on_barrier + "fence();" + wgmma(true)), "");
}

// What a bulk copy brought needs no fence: its completion is one.
TEST(Proxies, BulkCopiesAreNot) {
  const std::string copy = R"(
    init(1);
    if (threadIdx.x == 0) {
      asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 8192;" ::"r"(at(&bars[0])) : "memory");
      for (int i = 0; i < 8192; i += 512)
        asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], 512, [%2];" ::"r"(at(raw + i)), "l"(out), "r"(at(&bars[0])) : "memory");
    }
    wait(0);
  )";
  EXPECT_EQ(run("sm_90a", copy + wgmma(true)), "");
}

// Global memory that the launch itself wrote, read by a bulk load.
TEST(Proxies, GlobalMemory) {
  const std::string load = R"(
    if (threadIdx.x == 0) {
      asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 512;" ::"r"(at(&bars[0])) : "memory");
      asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], 512, [%2];" ::"r"(at(raw)), "l"(out), "r"(at(&bars[0])) : "memory");
    }
    wait(0);
  )";
  const std::string write = "init(1); out[threadIdx.x] = 1;";
  EXPECT_THAT(run("sm_90a", write + "__syncthreads();" + load),
              AllOf(HasSubstr("missing-proxy-fence"), HasSubstr("global memory")));
  EXPECT_EQ(run("sm_90a",
                write + R"(asm volatile("fence.proxy.async.global;" ::: "memory"); __syncthreads();)" + load),
            "");
}

}  // namespace
}  // namespace rtjit
