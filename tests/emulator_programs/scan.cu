// Inclusive prefix sums of each block's part, in dynamic shared memory with two buffers.
extern "C" __global__ void scan(const int* in, int* out, int n) {
  extern __shared__ int buffers[];
  int t = threadIdx.x, threads = blockDim.x, i = blockIdx.x * threads + t;
  int from = 0;
  buffers[t] = i < n ? in[i] : 0;
  __syncthreads();
  for (int step = 1; step < threads; step <<= 1) {
    int* source = buffers + from * threads;
    int* target = buffers + (1 - from) * threads;
    target[t] = source[t] + (t >= step ? source[t - step] : 0);
    from = 1 - from;
    __syncthreads();
  }
  if (i < n) out[i] = buffers[from * threads + t];
}
