// Cooperative groups within a block: tiles of 8, reductions, coalesced groups.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
namespace cg = cooperative_groups;

extern "C" __global__ void cooperative(const int* in, int* tile_sums, int* prefix, int* odd_ranks, int* odd_count) {
  cg::thread_block block = cg::this_thread_block();
  auto tile = cg::tiled_partition<8>(block);
  int i = block.group_index().x * block.size() + block.thread_rank();
  int value = in[i];
  int sum = cg::reduce(tile, value, cg::plus<int>());
  if (tile.thread_rank() == 0) tile_sums[i / 8] = sum;
  prefix[i] = cg::exclusive_scan(tile, value);
  odd_ranks[i] = -1;
  if (value & 1) {
    auto odd = cg::coalesced_threads();
    odd_ranks[i] = odd.thread_rank();
    if (odd.thread_rank() == 0) atomicAdd(odd_count, static_cast<int>(odd.size()));
  }
  block.sync();
}
