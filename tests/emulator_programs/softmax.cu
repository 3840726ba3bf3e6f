// Softmax of rows of bf16, one block a row.
#include <cuda_bf16.h>

extern "C" __global__ void softmax(const __nv_bfloat16* in, __nv_bfloat16* out, int columns) {
  __shared__ float shared[32];
  const __nv_bfloat16* row = in + blockIdx.x * columns;
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  float most = -INFINITY;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) most = fmaxf(most, __bfloat162float(row[i]));
  for (int mask = 16; mask; mask >>= 1) most = fmaxf(most, __shfl_xor_sync(~0u, most, mask));
  if (lane == 0) shared[warp] = most;
  __syncthreads();
  most = shared[0];
  for (int i = 1; i < warps; i++) most = fmaxf(most, shared[i]);
  __syncthreads();
  float sum = 0;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += __expf(__bfloat162float(row[i]) - most);
  for (int mask = 16; mask; mask >>= 1) sum += __shfl_xor_sync(~0u, sum, mask);
  if (lane == 0) shared[warp] = sum;
  __syncthreads();
  sum = 0;
  for (int i = 0; i < warps; i++) sum += shared[i];
  for (int i = threadIdx.x; i < columns; i += blockDim.x)
    out[blockIdx.x * columns + i] = __float2bfloat16(__fdividef(__expf(__bfloat162float(row[i]) - most), sum));
}
