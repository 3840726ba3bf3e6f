// Kernels with the parameters that the manifest passes; what they compute does not matter.
#pragma once

namespace rtjit::widget {

__global__ void pack(const unsigned char* w, const float* b, unsigned char* w_packed, float* b_packed, int width) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < width * width / 2) w_packed[i] = w[i];
  if (b != nullptr && i < width) b_packed[i] = b[i];
}

__global__ void prepare(const unsigned short* x, const void* ids, int id_bytes, long long x_stride, const float* scale,
                        float* sums, int width) {
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    float bits = static_cast<float>(x[blockIdx.x * x_stride + i]);
    sums[blockIdx.x * static_cast<long long>(width) + i] = bits + (scale != nullptr ? scale[i] : 0.0f) + id_bytes;
  }
}

template <int kTile, int kThreads>
__global__ void __launch_bounds__(kThreads)
    tiled(const float* sums, const unsigned char* w, const float* b, float* out, long long tokens, int width, float alpha) {
  extern __shared__ float shared[];
  shared[threadIdx.x] = sums[threadIdx.x % width] * alpha * kTile;
  __syncthreads();
  if (blockIdx.x < tokens) out[threadIdx.x % width] = shared[kThreads - 1 - threadIdx.x] + w[0] + (b != nullptr ? b[0] : 0);
}

__global__ void finish(float* out) { out[threadIdx.x] += 1.0f; }

__global__ void reference(const float* sums, const unsigned char* w, const float* b, float* out, long long tokens,
                          int width, float alpha) {
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    out[blockIdx.x * static_cast<long long>(width) + i] = sums[i] * alpha + w[i] + (b != nullptr ? b[i] : 0) + tokens;
  }
}

}  // namespace rtjit::widget
