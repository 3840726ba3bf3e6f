// out[i] = a * x[i] + y[i]
#pragma once

namespace rtjit::scale_add {

// Neighbouring threads take neighbouring elements, so that every load of a warp is one line of memory.
template <int kBlock, int kItems>
__global__ void __launch_bounds__(kBlock)
    unrolled(const float* x, const float* y, float* out, long long n, float a) {
  long long first = static_cast<long long>(blockIdx.x) * (kBlock * kItems) + threadIdx.x;
#pragma unroll
  for (int item = 0; item < kItems; ++item) {
    long long i = first + item * kBlock;
    if (i < n) out[i] = fmaf(a, x[i], y[i]);
  }
}

__global__ void reference(const float* x, const float* y, float* out, long long n, float a) {
  long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) out[i] = fmaf(a, x[i], y[i]);
}

}  // namespace rtjit::scale_add
