// Sums and prefix sums over the lanes of a warp and the warps of a block.
#pragma once

#include "device/types.cuh"

namespace rtjit::device {

__device__ inline int lane_index() { return int(threadIdx.x & 31); }
__device__ inline int warp_index() { return int(threadIdx.x >> 5); }

// Sum of the values of this and all lower lanes. All lanes must call.
template <class Number>
__device__ inline Number warp_inclusive_sum(Number value) {
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const Number other = __shfl_up_sync(0xffffffffu, value, distance);
    if (lane_index() >= distance) value += other;
  }
  return value;
}

// Exclusive prefix sum over the threads of a block of at most 32 warps; `total` is the sum of all. `scratch`
// holds 32 numbers of shared memory and may be used again after the call. All threads must call.
template <class Number>
__device__ inline Number block_exclusive_sum(Number value, Number* scratch, Number* total) {
  const Number inclusive = warp_inclusive_sum(value);
  const int warps = int(blockDim.x >> 5);
  if (lane_index() == 31) scratch[warp_index()] = inclusive;
  __syncthreads();
  Number before = 0, all = 0;
  for (int w = 0; w < warps; ++w) {
    const Number sum = scratch[w];
    before += w < warp_index() ? sum : 0;
    all += sum;
  }
  __syncthreads();
  *total = all;
  return before + inclusive - value;
}

}  // namespace rtjit::device
