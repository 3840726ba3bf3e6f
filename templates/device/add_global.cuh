// Additions to bf16 in global memory, without an answer (sm_90 and up). Each element is rounded to nearest on
// its own; those of a vector are not added at once, and additions to one element come in any order.
#pragma once

#include "device/types.cuh"

namespace rtjit::device {

// Four elements, 8-byte aligned. Without a branch around what computes the values: many of them overlap.
__device__ inline void add_bf16x4_if(bool take, void* target, u32 first, u32 second) {
  asm volatile(
      "{.reg .pred p; setp.ne.b32 p, %3, 0; @p red.global.add.noftz.v2.bf16x2 [%0], {%1, %2};}" ::"l"(target),
      "r"(first), "r"(second), "r"(int(take))
      : "memory");
}

// Eight elements, 16-byte aligned.
__device__ inline void add_bf16x8(void* target, const uint4& values) {
  asm volatile("red.global.add.noftz.v4.bf16x2 [%0], {%1, %2, %3, %4};" ::"l"(target), "r"(values.x),
               "r"(values.y), "r"(values.z), "r"(values.w)
               : "memory");
}

}  // namespace rtjit::device
