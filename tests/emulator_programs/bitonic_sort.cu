// Sorts keys of 64 bits in shared memory.
extern "C" __global__ void bitonic_sort(unsigned long long* keys) {
  extern __shared__ unsigned long long part[];
  unsigned t = threadIdx.x, n = blockDim.x;
  part[t] = keys[blockIdx.x * n + t];
  __syncthreads();
  for (unsigned size = 2; size <= n; size *= 2)
    for (unsigned step = size / 2; step; step /= 2) {
      unsigned other = t ^ step;
      if (other > t) {
        unsigned long long low = part[t], high = part[other];
        if ((low > high) == ((t & size) == 0)) {
          part[t] = high;
          part[other] = low;
        }
      }
      __syncthreads();
    }
  keys[blockIdx.x * n + t] = part[t];
}
