// The fragments of sums, from weight rows across lanes to weight rows side by side.
#pragma once

#include "device/matrix.cuh"

namespace rtjit::moe_mxfp4 {

using namespace rtjit::device;

// Two sums of neighbouring tokens in every lane, as bf16: what a lane held for weight row g and tokens 2t,
// 2t+1 becomes token g and weight rows 2t, 2t+1, which lie side by side in the output. All lanes must call.
__device__ inline u32 transpose_pairs(float first, float second) {
  u32 pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return transpose_matrix(pair);
}

}  // namespace rtjit::moe_mxfp4
