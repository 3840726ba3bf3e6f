// Reads, or copies, a buffer once, 16 bytes per load and kUnroll loads of a thread under way: what the memory
// delivers.
#pragma once

#include "device/types.cuh"

namespace rtjit::ceilings {

using namespace rtjit::device;

constexpr int kThreads = 512;

__device__ inline uint4 load_once(const uint4* from) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(from));
  return value;
}

// `pieces`, of 16 bytes, is a multiple of kThreads * kUnroll. Stores only what no contents give, so that no
// load is left out.
template <int kUnroll>
__global__ void __launch_bounds__(kThreads) read(const uint4* from, i64 pieces, u32* out) {
  u32 seen = 0;
  const i64 step = i64(gridDim.x) * (kThreads * kUnroll);
  for (i64 at = i64(blockIdx.x) * (kThreads * kUnroll) + threadIdx.x; at < pieces; at += step) {
    uint4 values[kUnroll];
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) values[i] = load_once(from + at + i * kThreads);
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) seen |= values[i].x | values[i].y | values[i].z | values[i].w;
  }
  if (seen == 0xffffffffu) *out = seen;
}

template <int kUnroll>
__global__ void __launch_bounds__(kThreads) copy(const uint4* from, i64 pieces, uint4* to) {
  const i64 step = i64(gridDim.x) * (kThreads * kUnroll);
  for (i64 at = i64(blockIdx.x) * (kThreads * kUnroll) + threadIdx.x; at < pieces; at += step) {
    uint4 values[kUnroll];
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) values[i] = load_once(from + at + i * kThreads);
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) __stcs(to + at + i * kThreads, values[i]);
  }
}

}  // namespace rtjit::ceilings
