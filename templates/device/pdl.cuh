// Programmatic dependent launch: a kernel may start while its predecessor drains. No effect below sm_90 or
// when the launch does not ask for it.
#pragma once

namespace rtjit::device {

// Until here nothing that the predecessor writes may be read, and nothing that it reads may be written.
__device__ inline void wait_for_predecessor() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// From here on the successor may be scheduled (its wait still covers this whole grid).
__device__ inline void let_successor_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace rtjit::device
