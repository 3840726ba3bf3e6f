// cp.async: 16-byte copies from global to shared memory that do not pass through registers (sm_80 and up).
#pragma once

#include "device/types.cuh"

namespace rtjit::device {

__device__ inline u32 shared_address(const void* pointer) { return u32(__cvta_generic_to_shared(pointer)); }

// Copies 16 bytes, or writes 16 zero bytes when `take` is false (then `source` is not read but must be a
// valid pointer).
__device__ inline void copy_async_16(u32 target, const void* source, bool take) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(source), "r"(take ? 16 : 0)
               : "memory");
}

// Copies the first `take` (0 to 4) of 4 bytes and writes zeros for the others.
__device__ inline void copy_async_4(u32 target, const void* source, int take) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(target), "l"(source), "r"(take)
               : "memory");
}

__device__ inline void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most kPending of this thread's newest groups are still under way.
template <int kPending>
__device__ inline void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace rtjit::device
