// CUDA kernels for clusters, with the PTX of clusters as functions.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "emulator/emulator.h"

namespace rtjit {

// In front of each kernel: `rank`, `ranks`, `t` and these functions.
inline constexpr const char* kClusterFunctions = R"(
typedef unsigned u32; typedef unsigned long long u64;
static __device__ u32 at(const void* p) { return (u32)__cvta_generic_to_shared(p); }
static __device__ u32 peer(u32 address, u32 rank) {
  u32 r; asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(address), "r"(rank)); return r;
}
template <class T> static __device__ T* peer(T* p, u32 rank) {
  u64 r; asm("mapa.u64 %0, %1, %2;" : "=l"(r) : "l"(p), "r"(rank)); return (T*)r;
}
static __device__ void arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
static __device__ void arrive_relaxed() { asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory"); }
static __device__ void wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }
static __device__ void sync() { arrive(); wait(); }
static __device__ void init(u32 bar, u32 count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(bar), "r"(count) : "memory");
}
static __device__ void expect(u32 bar, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes) : "memory");
}
static __device__ void arrive_at(u32 bar) {  // of any block
  asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(bar) : "memory");
}
static __device__ void wait_for(u32 bar, u32 parity) {
  asm volatile("{\n.reg .pred p;\nAGAIN: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%0], %1;\n@!p bra AGAIN;\n}"
               ::"r"(bar), "r"(parity) : "memory");
}
)";

struct ClusterRun {
  std::string error;          // "" when it ran
  std::vector<uint32_t> out;  // what the kernel wrote to `u32* p`
};

// Runs one cluster of `blocks` blocks (a grid of `grid` blocks, when given) with a kernel's body.
inline ClusterRun run_cluster(const std::string& body, int blocks = 2, int threads = 32, int grid = 0,
                              size_t words = 1024, const EmulatorOptions& options = {},
                              const char* target = "sm_90a") {
  Emulator emulator(target, options);
  emulator.compile(std::string(kClusterFunctions) +
                   "extern \"C\" __global__ void k(u32* p) {\n"
                   "u32 rank, ranks, t = threadIdx.x;\n"
                   "asm volatile(\"mov.u32 %0, %%cluster_ctarank;\" : \"=r\"(rank));\n"
                   "asm volatile(\"mov.u32 %0, %%cluster_nctarank;\" : \"=r\"(ranks));\n" +
                   body + "\n}");
  auto p = emulator.buffer(std::vector<uint32_t>(words, 0));
  emulator.cluster(blocks);
  Status status = emulator.run("k", grid ? grid : blocks, threads, 0, p);
  if (!status.ok()) return {status.error().message, {}};
  return {"", emulator.read(p)};
}

}  // namespace rtjit
