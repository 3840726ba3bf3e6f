// Sum and maximum of an array: grid-stride loop, warp shuffles, one atomic per block.
__device__ float warp_sum(float value) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(0xffffffff, value, offset);
  return value;
}

extern "C" __global__ void reduce_sum(const float* in, int n, float* sum, int* largest) {
  __shared__ float partial[32];
  float mine = 0;
  int most = -2147483647 - 1;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    mine += in[i];
    most = max(most, __float2int_rd(in[i]));
  }
  mine = warp_sum(mine);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = mine;
  __syncthreads();
  if (threadIdx.x < 32) {
    mine = threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : 0.0f;
    mine = warp_sum(mine);
    if (threadIdx.x == 0) atomicAdd(sum, mine);
  }
  atomicMax(largest, most);
}
