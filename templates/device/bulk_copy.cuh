// Bulk copies from global to shared memory that complete on an mbarrier (sm_90 and up).
#pragma once

#include "device/mbarrier.cuh"
#include "device/types.cuh"

namespace rtjit::device {

// Arrives, and lets the phase also wait for so many bytes of bulk copies.
__device__ inline void barrier_expect(u32 barrier, u32 bytes) {
  asm volatile("{.reg .b64 state; mbarrier.arrive.expect_tx.shared.b64 state, [%0], %1;}" ::"r"(barrier),
               "r"(bytes)
               : "memory");
}

// Addresses and `bytes` are multiples of 16.
__device__ inline void copy_bulk(u32 target, const void* source, u32 bytes, u32 barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(target),
      "l"(source), "r"(bytes), "r"(barrier)
      : "memory");
}

// Barriers that this thread initialised become visible to bulk copies.
__device__ inline void barrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
}  // namespace rtjit::device
