// Sorts the slots by expert (stable, no atomics on order, no host) and lists the token tiles of both GEMMs.
//
// Slots are cut into chunks, one warp each: every warp counts its chunk per expert, a prefix sum over experts
// and chunks gives each (expert, chunk) its first place, then every warp walks its chunk again in order and
// places it. Few slots: all of it in one block and in shared memory (align_small). Many: four launches over a
// count matrix.
#pragma once

#include "device/pdl.cuh"
#include "device/warp.cuh"
#include "moe_mxfp4/common.cuh"
#include "moe_mxfp4/routing.cuh"

namespace rtjit::moe_mxfp4 {

constexpr int kAlignWarps = 8;
constexpr int kAlignThreads = 32 * kAlignWarps;
constexpr int kMaxExperts = 1024;

// Where the result goes.
struct Alignment {
  i32* sorted_slots;    // [tokens * top_k], by expert, then by slot
  i32* expert_offsets;  // [experts + 1]
  TokenTile* tiles1;    // of GEMM1 with tiles of block_m1 rows
  TokenTile* tiles2;
  i32* tile_counts;  // [2]
  int block_m1, block_m2;
};

// One warp walks slots [begin, end) in order. `next[expert]` counts up. With kPlace, slots go to their
// places, otherwise they are only counted.
template <bool kPlace>
__device__ inline void walk_chunk(const Routing& routing, int begin, int end, int valid_slots,
                                  volatile i32* next, i32* sorted_slots) {
  const u32 lower_lanes = (1u << lane_index()) - 1;
  for (int base = begin; base < end; base += 32) {
    const int slot = base + lane_index();
    const int expert = slot < end ? local_expert(routing, slot, valid_slots) : -1;
    const u32 same = __match_any_sync(0xffffffffu, expert);
    const int rank = __popc(same & lower_lanes);
    int first = 0;
    if (expert >= 0) first = next[expert];
    __syncwarp();
    if (expert >= 0 && rank == 0) next[expert] = first + __popc(same);
    __syncwarp();
    if (kPlace && expert >= 0) sorted_slots[first + rank] = slot;
  }
}

// Turns counts per expert (in place) into first rows, and writes offsets and tile lists. `counts` has experts
// + 1 entries; `first_tile1`, `first_tile2` likewise. One block; all threads must call.
__device__ inline void emit_tiles(const Alignment& out, int experts, i32* counts, i32* first_tile1,
                                  i32* first_tile2, i32* scratch) {
  const int per_thread = (experts + int(blockDim.x) - 1) / int(blockDim.x);
  const int begin = min(int(threadIdx.x) * per_thread, experts), end = min(begin + per_thread, experts);
  int rows = 0, tiles1 = 0, tiles2 = 0;
  for (int e = begin; e < end; ++e) {
    rows += counts[e];
    tiles1 += (counts[e] + out.block_m1 - 1) / out.block_m1;
    tiles2 += (counts[e] + out.block_m2 - 1) / out.block_m2;
  }
  int total_rows, total1, total2;
  rows = block_exclusive_sum(rows, scratch, &total_rows);
  tiles1 = block_exclusive_sum(tiles1, scratch, &total1);
  tiles2 = block_exclusive_sum(tiles2, scratch, &total2);
  for (int e = begin; e < end; ++e) {
    const int count = counts[e];
    counts[e] = rows, first_tile1[e] = tiles1, first_tile2[e] = tiles2;
    out.expert_offsets[e] = rows;
    rows += count;
    tiles1 += (count + out.block_m1 - 1) / out.block_m1;
    tiles2 += (count + out.block_m2 - 1) / out.block_m2;
  }
  if (threadIdx.x == 0) {
    out.expert_offsets[experts] = total_rows;
    out.tile_counts[0] = total1, out.tile_counts[1] = total2;
  }
  __syncthreads();
  for (int list = 0; list < 2; ++list) {
    const i32* first_tile = list == 0 ? first_tile1 : first_tile2;
    TokenTile* tiles = list == 0 ? out.tiles1 : out.tiles2;
    const int block_m = list == 0 ? out.block_m1 : out.block_m2;
    const int total = list == 0 ? total1 : total2;
    for (int tile = int(threadIdx.x); tile < total; tile += int(blockDim.x)) {
      int low = 0, high = experts;  // the last expert whose first tile is <= tile
      while (high - low > 1) {
        const int middle = (low + high) / 2;
        (first_tile[middle] <= tile ? low : high) = middle;
      }
      tiles[tile] = {low, counts[low] + (tile - first_tile[low]) * block_m};
    }
  }
}

__global__ void __launch_bounds__(kAlignThreads)
    align_small(const void* ids, const i32* valid_tokens, int id_bytes, int tokens, int top_k, int experts,
                int expert_offset, i32* sorted_slots, i32* expert_offsets, TokenTile* tiles1,
                TokenTile* tiles2, i32* tile_counts, int block_m1, int block_m2) {
  __shared__ i32 next[kAlignWarps][kMaxExperts];
  __shared__ i32 first_row[kMaxExperts], first_tile1[kMaxExperts], first_tile2[kMaxExperts];
  __shared__ i32 scratch[32];
  for (int i = int(threadIdx.x); i < kAlignWarps * experts; i += kAlignThreads)
    next[i / experts][i % experts] = 0;
  __syncthreads();
  wait_for_predecessor();
  let_successor_start();
  const Routing routing{ids, valid_tokens, id_bytes, tokens, top_k, experts, expert_offset};
  const int slots = tokens * top_k, valid_slots = routed_tokens(routing) * top_k;
  const int chunk = (slots + 32 * kAlignWarps - 1) / (32 * kAlignWarps) * 32;
  const int begin = min(warp_index() * chunk, slots), end = min(begin + chunk, slots);
  walk_chunk<false>(routing, begin, end, valid_slots, next[warp_index()], nullptr);
  __syncthreads();
  for (int e = int(threadIdx.x); e < experts; e += kAlignThreads) {
    int sum = 0;
    for (int w = 0; w < kAlignWarps; ++w) {
      const int count = next[w][e];
      next[w][e] = sum;
      sum += count;
    }
    first_row[e] = sum;
  }
  __syncthreads();
  emit_tiles({sorted_slots, expert_offsets, tiles1, tiles2, tile_counts, block_m1, block_m2}, experts,
             first_row, first_tile1, first_tile2, scratch);
  for (int i = int(threadIdx.x); i < kAlignWarps * experts; i += kAlignThreads) {
    next[i / experts][i % experts] += first_row[i % experts];
  }
  __syncthreads();
  walk_chunk<true>(routing, begin, end, valid_slots, next[warp_index()], sorted_slots);
}

// Many slots, launch 1: counts[chunk][expert]. Every warp uses the row of its chunk as its counters.
__global__ void __launch_bounds__(kAlignThreads)
    align_count(const void* ids, const i32* valid_tokens, int id_bytes, int tokens, int top_k, int experts,
                int expert_offset, int slots_per_chunk, int chunks, i32* counts) {
  wait_for_predecessor();
  let_successor_start();
  const int chunk = int(blockIdx.x) * kAlignWarps + warp_index();
  if (chunk >= chunks) return;
  i32* mine = counts + i64(chunk) * experts;
  for (int e = lane_index(); e < experts; e += 32) mine[e] = 0;
  __syncwarp();
  const Routing routing{ids, valid_tokens, id_bytes, tokens, top_k, experts, expert_offset};
  const int slots = tokens * top_k;
  const int begin = chunk * slots_per_chunk, end = min(begin + slots_per_chunk, slots);
  walk_chunk<false>(routing, begin, end, routed_tokens(routing) * top_k, mine, nullptr);
}

// Launch 2: one warp per expert turns its column of counts into exclusive prefix sums over chunks.
__global__ void __launch_bounds__(kAlignThreads)
    align_prefix(int experts, int chunks, i32* counts, i32* expert_rows) {
  wait_for_predecessor();
  let_successor_start();
  const int expert = int(blockIdx.x) * kAlignWarps + warp_index();
  if (expert >= experts) return;
  int before = 0;
  for (int base = 0; base < chunks; base += 32) {
    const int chunk = base + lane_index();
    const int count = chunk < chunks ? counts[i64(chunk) * experts + expert] : 0;
    const int inclusive = warp_inclusive_sum(count);
    if (chunk < chunks) counts[i64(chunk) * experts + expert] = before + inclusive - count;
    before += __shfl_sync(0xffffffffu, inclusive, 31);
  }
  if (lane_index() == 0) expert_rows[expert] = before;
}

// Launch 3: offsets and tile lists.
__global__ void __launch_bounds__(1024)
    align_tiles(int experts, const i32* expert_rows, i32* expert_offsets, TokenTile* tiles1,
                TokenTile* tiles2, i32* tile_counts, int block_m1, int block_m2) {
  __shared__ i32 first_row[kMaxExperts], first_tile1[kMaxExperts], first_tile2[kMaxExperts];
  __shared__ i32 scratch[32];
  wait_for_predecessor();
  let_successor_start();
  for (int e = int(threadIdx.x); e < experts; e += int(blockDim.x)) first_row[e] = expert_rows[e];
  __syncthreads();
  emit_tiles({nullptr, expert_offsets, tiles1, tiles2, tile_counts, block_m1, block_m2}, experts, first_row,
             first_tile1, first_tile2, scratch);
}

// Launch 4: places every slot.
__global__ void __launch_bounds__(kAlignThreads)
    align_place(const void* ids, const i32* valid_tokens, int id_bytes, int tokens, int top_k, int experts,
                int expert_offset, int slots_per_chunk, int chunks, i32* counts, const i32* expert_offsets,
                i32* sorted_slots) {
  wait_for_predecessor();
  let_successor_start();
  const int chunk = int(blockIdx.x) * kAlignWarps + warp_index();
  if (chunk >= chunks) return;
  i32* mine = counts + i64(chunk) * experts;
  for (int e = lane_index(); e < experts; e += 32) mine[e] += expert_offsets[e];
  __syncwarp();
  const Routing routing{ids, valid_tokens, id_bytes, tokens, top_k, experts, expert_offset};
  const int slots = tokens * top_k;
  const int begin = chunk * slots_per_chunk, end = min(begin + slots_per_chunk, slots);
  walk_chunk<true>(routing, begin, end, routed_tokens(routing) * top_k, mine, sorted_slots);
}

}  // namespace rtjit::moe_mxfp4
