// Sorts a few slots by expert: by one warp, in registers. Where there are only these, a GEMM does it itself
// before its first loads, which costs less than a launch before it.
#pragma once

#include "device/warp.cuh"
#include "moe_mxfp4/common.cuh"
#include "moe_mxfp4/routing.cuh"

namespace rtjit::moe_mxfp4 {

constexpr int kFewSlots = 64;

// Of each lane: item i is slot lane + 32 i.
template <int kItems>
struct FewSlots {
  int experts[kItems];  // -1: skipped; then the rest has no meaning
  int rows[kItems];     // slots of this expert
  int ranks[kItems];    // among them
  int places[kItems];   // among all, sorted
  u32 before[kItems];   // what `number_of(rows)` is together for the experts before this one
  u32 all;              // and for all
};

// `number_of` an expert's rows: how many tiles they take, say. All lanes must call.
template <int kItems, class Number>
__device__ inline FewSlots<kItems> sort_few_slots(const Routing& routing, const Number& number_of) {
  const int slots = routing.tokens * routing.top_k, valid_slots = routed_tokens(routing) * routing.top_k;
  FewSlots<kItems> few{};
  u32 same[kItems][kItems];  // the lanes whose item j has the expert of this lane's item i
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const int slot = lane_index() + 32 * i;
    few.experts[i] = slot < slots ? local_expert(routing, slot, valid_slots) : -1;
  }
#pragma unroll
  for (int j = 0; j < kItems; ++j) {
    const u32 lanes = __ballot_sync(0xffffffffu, few.experts[j] >= 0);
#pragma unroll
    for (int i = 0; i < kItems; ++i) same[i][j] = lanes;
  }
  for (int bit = 0; (routing.experts - 1) >> bit > 0; ++bit) {
#pragma unroll
    for (int j = 0; j < kItems; ++j) {
      const u32 votes = __ballot_sync(0xffffffffu, (few.experts[j] >> bit & 1) != 0);
#pragma unroll
      for (int i = 0; i < kItems; ++i) same[i][j] &= (few.experts[i] >> bit & 1) != 0 ? votes : ~votes;
    }
  }
  u32 own[kItems];  // an expert's number, at its first slot
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
#pragma unroll
    for (int j = 0; j < kItems; ++j) {
      few.rows[i] += __popc(same[i][j]);
      if (j <= i) few.ranks[i] += __popc(j < i ? same[i][j] : same[i][j] & ((1u << lane_index()) - 1));
    }
    own[i] = few.experts[i] >= 0 && few.ranks[i] == 0 ? number_of(few.rows[i]) : 0;
    few.places[i] = few.ranks[i];
  }
#pragma unroll
  for (int j = 0; j < kItems; ++j) {
    for (int lane = 0; lane < min(32, slots - 32 * j); ++lane) {
      const int expert = __shfl_sync(0xffffffffu, few.experts[j], lane);
      const u32 number = __shfl_sync(0xffffffffu, own[j], lane);
      few.all += number;
#pragma unroll
      for (int i = 0; i < kItems; ++i) {
        if (expert >= 0 && expert < few.experts[i]) ++few.places[i], few.before[i] += number;
      }
    }
  }
  return few;
}

// Writes the tiles of an expert's rows, of which the first is sorted row `first_row`.
__device__ inline void write_tiles(TokenTile* target, int tiles, int expert, int rows, int first_row) {
  const int height = tile_height(rows, tiles);
  for (int t = 0; t < tiles; ++t)
    target[t] = {u16(expert), u16(min(height, rows - t * height)), first_row + t * height};
}

// What align would have left in memory for one GEMM, in shared memory.
struct FewRouted {
  TokenTile tiles[kFewSlots];
  i32 sorted_slots[kFewSlots];
  i32 tile_count;
};

template <int kItems>
__device__ inline void route_slots(const Routing& routing, int block_m, FewRouted& routed) {
  const auto few = sort_few_slots<kItems>(routing, [&](int rows) { return u32(div_up(rows, block_m)); });
  if (lane_index() == 0) routed.tile_count = int(few.all);
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    if (few.experts[i] < 0) continue;
    routed.sorted_slots[few.places[i]] = lane_index() + 32 * i;
    if (few.ranks[i] != 0) continue;
    write_tiles(routed.tiles + few.before[i], div_up(few.rows[i], block_m), few.experts[i], few.rows[i],
                few.places[i]);
  }
}

// By one warp.
__device__ inline void route_few_slots(const Routing& routing, int block_m, FewRouted& routed) {
  if (routing.tokens * routing.top_k <= 32) {
    route_slots<1>(routing, block_m, routed);
  } else {
    route_slots<kFewSlots / 32>(routing, block_m, routed);
  }
}

}  // namespace rtjit::moe_mxfp4
