// Operands for loops that only multiply. Zeros would let the chip clock higher than any real product does, so
// that all bits vary; none is NaN, infinite or so large that sums overflow.
#pragma once

#include "device/types.cuh"

namespace rtjit::ceilings {

using namespace rtjit::device;

__device__ inline u32 scrambled(u32 value) {
  value = (value ^ (value >> 16)) * 0x7feb352du;
  value = (value ^ (value >> 15)) * 0x846ca68bu;
  return value ^ (value >> 16);
}

// Two bf16 of either sign, 0.5 to 2.
__device__ inline u32 bf16_operand(u32 seed) { return (scrambled(seed) & 0x80ff80ffu) | 0x3f003f00u; }

// Four E4M3 of either sign, 0.5 to 2.
__device__ inline u32 e4m3_operand(u32 seed) { return (scrambled(seed) & 0x8f8f8f8fu) | 0x30303030u; }

// Stores only what no sum is, so that no product is left out.
template <int kCount>
__device__ inline void keep(const float (&sums)[kCount], float* out) {
  float total = 0;
#pragma unroll
  for (int i = 0; i < kCount; ++i) total += sums[i];
  if (total == 1.2345e30f) *out = total;
}

}  // namespace rtjit::ceilings
