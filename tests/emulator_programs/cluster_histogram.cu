// A histogram whose bins are spread over the shared memory of a cluster (cooperative groups).
#include <cooperative_groups.h>

namespace cg = cooperative_groups;

extern "C" __global__ void cluster_histogram(const int* values, int count, int* bins, int bins_per_block) {
  extern __shared__ int mine[];
  cg::cluster_group cluster = cg::this_cluster();
  for (int i = threadIdx.x; i < bins_per_block; i += blockDim.x) mine[i] = 0;
  cluster.sync();
  int first = blockIdx.x * blockDim.x + threadIdx.x, step = gridDim.x * blockDim.x;
  for (int i = first; i < count; i += step) {
    int bin = min(max(values[i], 0), bins_per_block * (int)cluster.num_blocks() - 1);
    int* there = cluster.map_shared_rank(mine, bin / bins_per_block);
    atomicAdd(there + bin % bins_per_block, 1);
  }
  cluster.sync();
  int* to = bins + cluster.block_rank() * bins_per_block;
  for (int i = threadIdx.x; i < bins_per_block; i += blockDim.x) atomicAdd(to + i, mine[i]);
}

// Every block adds up its part; the first block of the cluster reads the others' sums where they are.
extern "C" __global__ void __cluster_dims__(4, 1, 1) cluster_sum(const float* values, int count, float* sums) {
  __shared__ float part[32], total;
  cg::cluster_group cluster = cg::this_cluster();
  float sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) sum += values[i];
  for (int offset = 16; offset; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    total = 0;
    for (int i = 0; i < blockDim.x / 32; i++) total += part[i];
  }
  cluster.sync();
  if (cluster.block_rank() == 0 && threadIdx.x == 0) {
    float all = 0;
    for (int rank = 0; rank < cluster.num_blocks(); rank++) all += *cluster.map_shared_rank(&total, rank);
    sums[blockIdx.x / cluster.num_blocks()] = all;
  }
  cluster.sync();
}
