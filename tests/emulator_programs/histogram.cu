// Counts bytes, read as words, in shared memory first.
extern "C" __global__ void histogram(const unsigned* words, int count, unsigned* bins) {
  __shared__ unsigned local[256];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) local[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    unsigned word = words[i];
#pragma unroll
    for (int byte = 0; byte < 4; byte++) atomicAdd(&local[(word >> (8 * byte)) & 255], 1u);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 256; i += blockDim.x)
    if (local[i]) atomicAdd(&bins[i], local[i]);
}
