// out = (x + 1) * w, with the weights kept last to first.
#pragma once

namespace rtjit::packed_scale {

__device__ inline long long place() { return static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; }

__global__ void turn(const float* w, float* turned, long long width) {
  if (const long long i = place(); i < width) turned[width - 1 - i] = w[i];
}

__global__ void raise(const float* x, float* raised, long long n) {
  if (const long long i = place(); i < n) raised[i] = x[i] + 1.0f;
}

template <int kBlock>
__global__ void __launch_bounds__(kBlock)
    blocked(const float* raised, const float* turned, float* out, long long width, long long n) {
  if (const long long i = place(); i < n) out[i] = raised[i] * turned[width - 1 - i % width];
}

__global__ void reference(const float* raised, const float* turned, float* out, long long width, long long n) {
  if (const long long i = place(); i < n) out[i] = turned[width - 1 - i % width] * raised[i];
}

}  // namespace rtjit::packed_scale
