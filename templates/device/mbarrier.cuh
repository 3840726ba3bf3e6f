// Barriers in shared memory that asynchronous copies can complete, and moving registers between warpgroups.
#pragma once

#include "device/async_copy.cuh"
#include "device/types.cuh"

namespace rtjit::device {

// A phase ends with the `count`-th arrival.
__device__ inline void barrier_init(u64* barrier, int count) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count) : "memory");
}

// Barriers are given by their address in shared memory or by a pointer.
__device__ inline void barrier_arrive(u32 barrier) {
  asm volatile("{.reg .b64 state; mbarrier.arrive.shared.b64 state, [%0];}" ::"r"(barrier) : "memory");
}
__device__ inline void barrier_arrive(u64* barrier) { barrier_arrive(shared_address(barrier)); }

// This thread arrives once all its cp.async so far have landed.
__device__ inline void barrier_arrive_after_copies(u64* barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(shared_address(barrier)) : "memory");
}

// Waits for the end of the phase with this parity (the first phase has parity 0). Parity 1 on a fresh barrier
// passes at once.
__device__ inline void barrier_wait(u32 barrier, u32 parity) {
  asm volatile(
      "{.reg .pred done;\n"
      "again: mbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n"
      "@!done bra again;}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}
__device__ inline void barrier_wait(u64* barrier, u32 parity) {
  barrier_wait(shared_address(barrier), parity);
}

// Registers per thread of this warpgroup from here on; all its warps must call (sm_90a and other "a"
// targets).
template <int kRegisters>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ inline void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

}  // namespace rtjit::device
