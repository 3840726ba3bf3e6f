// Sorts the slots by expert (stable, no atomics on order, no host) and lists the token tiles of both GEMMs.
// Where the GEMMs take x as MXFP8, more thread blocks of the last launch quantise it meanwhile.
//
// A block takes up to kAlignRound slots at a time: every warp ranks its piece of them by expert, prefix sums
// over experts and warps turn ranks into places. Few slots: one block does it all (align_small), or one warp of
// it (align_few). Many: a first launch counts each block's slots per expert, a second one, which ranks its slots
// meanwhile, adds up what lies before a block and places them.
#pragma once

#include "device/pdl.cuh"
#include "device/warp.cuh"
#include "moe_mxfp4/common.cuh"
#include "moe_mxfp4/few_slots.cuh"
#include "moe_mxfp4/quantise_panels.cuh"
#include "moe_mxfp4/routing.cuh"

namespace rtjit::moe_mxfp4 {

constexpr int kAlignThreads = 512;
constexpr int kAlignWarps = kAlignThreads / 32;
constexpr int kAlignItems = 8;  // slots of a thread at a time
constexpr int kAlignRound = kAlignThreads * kAlignItems;

// Where the tile lists go.
struct TileLists {
  TokenTile* tiles1;  // of GEMM1 with tiles of at most block_m1 rows
  TokenTile* tiles2;
  i32* tile_counts;  // [2]
  int block_m1, block_m2;
};

struct AlignShared {
  u16 ranks[kAlignWarps][kMaxExperts];  // slots of a warp per expert, then those of the warps before it
  i32 first_row[kMaxExperts + 1];       // slots per expert, then where each expert's slots start
  i32 first_tile1[kMaxExperts], first_tile2[kMaxExperts];
  u64 scratch[32];
};

// The slots of a thread: item i is slot first + 32 i.
struct RoundSlots {
  int first, items;
  int experts[kAlignItems];  // -1: skipped
  int ranks[kAlignItems];    // among this warp's slots of the same expert
};

// The lanes that have the same expert as this one, by one vote per bit of an expert's number. Of no use to a
// lane without an expert.
__device__ inline u32 lanes_of_expert(int expert, int experts) {
  u32 lanes = __ballot_sync(0xffffffffu, expert >= 0);
  for (int bit = 0; (experts - 1) >> bit > 0; ++bit) {
    const bool set = (expert >> bit & 1) != 0;
    const u32 votes = __ballot_sync(0xffffffffu, set);
    lanes &= set ? votes : ~votes;
  }
  return lanes;
}

// Ranks the slots begin .. end - 1, at most kAlignRound, within their warps; shared.ranks holds how many
// slots of each expert the warps before have, and `count(expert, slots)` hears the totals.
template <class Count>
__device__ inline RoundSlots rank_round(AlignShared& shared, const Routing& routing, int begin, int end,
                                        int valid_slots, const Count& count) {
  const int experts = routing.experts, warp = warp_index();
  const int per_warp = round_up(div_up(end - begin, kAlignWarps), 32);
  RoundSlots slots;
  slots.first = begin + warp * per_warp + lane_index();
  slots.items = per_warp / 32;
#pragma unroll
  for (int i = 0; i < kAlignItems; ++i) {
    const int slot = slots.first + 32 * i;
    slots.experts[i] = i < slots.items && slot < end ? local_expert(routing, slot, valid_slots) : -1;
  }
  for (int e = lane_index(); e < experts; e += 32) shared.ranks[warp][e] = 0;
  __syncwarp();
  const u32 lower_lanes = (1u << lane_index()) - 1;
  volatile u16* next = shared.ranks[warp];
#pragma unroll
  for (int i = 0; i < kAlignItems; ++i) {
    if (i >= slots.items) break;
    const int expert = slots.experts[i];
    const u32 same = lanes_of_expert(expert, experts);
    const int rank = __popc(same & lower_lanes);
    const int before = expert >= 0 ? next[expert] : 0;
    __syncwarp();
    if (expert >= 0 && rank == 0) next[expert] = u16(before + __popc(same));
    __syncwarp();
    slots.ranks[i] = before + rank;
  }
  __syncthreads();
  for (int e = int(threadIdx.x); e < experts; e += kAlignThreads) {
    int sum = 0;
#pragma unroll
    for (int w = 0; w < kAlignWarps; ++w) {
      const int own = shared.ranks[w][e];
      shared.ranks[w][e] = u16(sum);
      sum += own;
    }
    count(e, sum);
  }
  __syncthreads();
  return slots;
}

// What a GEMM2 that adds into out needs, null where there is none such.
struct SumsInOut {
  u16* out;
  int zeroing_blocks;
  const void* weights;
  int weight_bytes, top_k;
  TokenShare* shares;
};

// Writes the slots of a round to their places; `base[expert]` is where the round's first slot of an expert
// goes.
template <Sums kSums>
__device__ inline void place_round(const AlignShared& shared, const RoundSlots& slots, const i32* base,
                                   i32* sorted_slots, const SumsInOut& sums) {
#pragma unroll
  for (int i = 0; i < kAlignItems; ++i) {
    if (i >= slots.items) break;
    const int expert = slots.experts[i];
    if (expert < 0) continue;
    sorted_slots[base[expert] + shared.ranks[warp_index()][expert] + slots.ranks[i]] = slots.first + 32 * i;
    if constexpr (kSums == Sums::any_order) {
      if (sums.shares == nullptr) continue;
      const int slot = slots.first + 32 * i;
      sums.shares[base[expert] + shared.ranks[warp_index()][expert] + slots.ranks[i]] = {
          slot / sums.top_k, routing_weight(sums.weights, sums.weight_bytes, slot)};
    }
  }
}

// Turns shared.first_row from slots per expert into first rows (the last entry is the total). All threads
// must call; the lists are written by the threads of all `blocks` blocks together.
__device__ inline void emit_tiles(AlignShared& shared, const TileLists& lists, int experts, int blocks) {
  // Up to 2^23 rows and 2^20 tiles of each kind: one sum for all three.
  constexpr int kTilesBits = 20;
  const int per_thread = div_up(experts, kAlignThreads);
  const int begin = min(int(threadIdx.x) * per_thread, experts), end = min(begin + per_thread, experts);
  u64 sums = 0;
  auto tiles_of = [&](int rows) {
    return u64(rows) << (2 * kTilesBits) | u64(div_up(rows, lists.block_m1)) << kTilesBits |
           u64(div_up(rows, lists.block_m2));
  };
  for (int e = begin; e < end; ++e) sums += tiles_of(shared.first_row[e]);
  u64 totals;
  sums = block_exclusive_sum(sums, shared.scratch, &totals);
  constexpr u32 kMask = (1u << kTilesBits) - 1;
  for (int e = begin; e < end; ++e) {
    const int rows = shared.first_row[e];
    shared.first_row[e] = int(sums >> (2 * kTilesBits));
    shared.first_tile1[e] = int(u32(sums >> kTilesBits) & kMask);
    shared.first_tile2[e] = int(u32(sums) & kMask);
    sums += tiles_of(rows);
  }
  const int total1 = int(u32(totals >> kTilesBits) & kMask), total2 = int(u32(totals) & kMask);
  if (threadIdx.x == 0) {
    shared.first_row[experts] = int(totals >> (2 * kTilesBits));
    if (blockIdx.x == 0) lists.tile_counts[0] = total1, lists.tile_counts[1] = total2;
  }
  __syncthreads();
  for (int list = 0; list < 2; ++list) {
    const i32* first_tile = list == 0 ? shared.first_tile1 : shared.first_tile2;
    TokenTile* tiles = list == 0 ? lists.tiles1 : lists.tiles2;
    const int total = list == 0 ? total1 : total2;
    for (int tile = int(blockIdx.x * kAlignThreads + threadIdx.x); tile < total;
         tile += blocks * kAlignThreads) {
      int low = 0, high = experts;  // the last expert whose first tile is <= tile
      while (high - low > 1) {
        const int middle = (low + high) / 2;
        (first_tile[middle] <= tile ? low : high) = middle;
      }
      const int rows = shared.first_row[low + 1] - shared.first_row[low];
      const int own_tiles = (low + 1 < experts ? first_tile[low + 1] : total) - first_tile[low];
      const int height = tile_height(rows, own_tiles), begin_row = (tile - first_tile[low]) * height;
      tiles[tile] = {u16(low), u16(min(height, rows - begin_row)), shared.first_row[low] + begin_row};
    }
  }
}

// Where x goes as MXFP8: as quantise.cuh describes, or in panels (kForm 1; scales are then their factors).
struct RowsToQuantise {
  const u16* x;
  i64 stride;
  int hidden;
  u8 *codes, *scales;
};

constexpr int kZeroedPieces = 4;  // of 16 bytes, by each thread that zeroes out

// Does the work of a block that zeroes: the last ones.
template <Sums kSums>
__device__ inline bool zeroes(const SumsInOut& sums, int tokens, int hidden) {
  if constexpr (kSums == Sums::any_order) {
    const int block = int(blockIdx.x) - (int(gridDim.x) - sums.zeroing_blocks);
    if (block < 0) return false;
    const i64 pieces = i64(tokens) * (hidden / 8);
    uint4* out = reinterpret_cast<uint4*>(sums.out);
#pragma unroll
    for (int i = 0; i < kZeroedPieces; ++i) {
      const i64 piece = (i64(block) * kZeroedPieces + i) * kAlignThreads + int(threadIdx.x);
      if (piece < pieces) out[piece] = make_uint4(0, 0, 0, 0);
    }
    return true;
  }
  return false;
}

// How many of the blocks of the last launch sort: the first ones. The others quantise x or zero out.
template <Activations kActivations, int kForm, Sums kSums>
__device__ inline int sorting_blocks(const Routing& routing, int hidden, const SumsInOut& sums) {
  int blocks = int(gridDim.x);
  if constexpr (kSums == Sums::any_order) blocks -= sums.zeroing_blocks;
  if constexpr (kActivations == Activations::mxfp8)
    blocks -= kForm == 1 ? panel_quantising_blocks<kAlignThreads>(routing.tokens, hidden)
                         : quantising_blocks<kAlignThreads>(routing.tokens, hidden);
  return blocks;
}

// Does the work of a block that does not sort. Padding is left out: nobody reads its codes.
template <Activations kActivations, int kForm>
__device__ inline bool quantises(const Routing& routing, const RowsToQuantise& rows, int sorting) {
  if constexpr (kActivations == Activations::mxfp8) {
    if (int(blockIdx.x) >= sorting) {
      const u32 valid = u32(routed_tokens(routing)), thread_block = u32(int(blockIdx.x) - sorting);
      if constexpr (kForm == 1) {
        quantise_panel_blocks<kAlignThreads>(rows.x, rows.stride, valid, u32(routing.tokens), rows.hidden,
                                             rows.codes, reinterpret_cast<float*>(rows.scales), thread_block);
      } else {
        quantise_blocks<kAlignThreads>(rows.x, rows.stride, valid, rows.hidden, rows.codes, rows.scales,
                                       thread_block);
      }
      return true;
    }
  }
  return false;
}

// All of it for a few slots, by one warp.
template <Sums kSums, int kItems>
__device__ inline void align_few(const Routing& routing, const TileLists& lists, i32* sorted_slots,
                                 const SumsInOut& sums) {
  // Both numbers of tiles in one: there are no more of each than slots.
  const auto few = sort_few_slots<kItems>(routing, [&](int rows) {
    return u32(div_up(rows, lists.block_m1)) | u32(div_up(rows, lists.block_m2)) << 16;
  });
  if (lane_index() == 0)
    lists.tile_counts[0] = int(few.all & 0xffff), lists.tile_counts[1] = int(few.all >> 16);
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const int expert = few.experts[i], slot = lane_index() + 32 * i, row = few.places[i];
    if (expert < 0) continue;
    sorted_slots[row] = slot;
    if constexpr (kSums == Sums::any_order) {
      if (sums.shares != nullptr)
        sums.shares[row] = {slot / sums.top_k, routing_weight(sums.weights, sums.weight_bytes, slot)};
    }
    if (few.ranks[i] != 0) continue;  // an expert's first slot lists its tiles
    const int rows = few.rows[i];
    write_tiles(lists.tiles1 + (few.before[i] & 0xffff), div_up(rows, lists.block_m1), expert, rows, row);
    write_tiles(lists.tiles2 + (few.before[i] >> 16), div_up(rows, lists.block_m2), expert, rows, row);
  }
}

// Up to kAlignRound slots, one block.
template <Activations kActivations, int kForm = 0, Sums kSums = Sums::ordered>
__global__ void __launch_bounds__(kAlignThreads)
    align_small(const void* ids, const i32* valid_tokens, int id_bytes, int tokens, int top_k, int experts,
                int expert_offset, i32* sorted_slots, TokenTile* tiles1, TokenTile* tiles2, i32* tile_counts,
                int block_m1, int block_m2, const u16* x, i64 x_stride, int hidden, u8* x_codes, u8* x_scales,
                u16* out, int zeroing_blocks, const void* weights, int weight_bytes, TokenShare* shares) {
  __shared__ AlignShared shared;
  wait_for_predecessor();
  let_successor_start();
  const Routing routing{ids, valid_tokens, id_bytes, tokens, top_k, experts, expert_offset};
  const SumsInOut sums{out, zeroing_blocks, weights, weight_bytes, top_k, shares};
  if (zeroes<kSums>(sums, tokens, hidden)) return;
  const int sorting = sorting_blocks<kActivations, kForm, kSums>(routing, hidden, sums);
  if (quantises<kActivations, kForm>(routing, {x, x_stride, hidden, x_codes, x_scales}, sorting)) return;
  const TileLists lists{tiles1, tiles2, tile_counts, block_m1, block_m2};
  if (tokens * top_k <= kFewSlots) {
    if (warp_index() != 0) return;
    if (tokens * top_k <= 32) {
      align_few<kSums, 1>(routing, lists, sorted_slots, sums);
    } else {
      align_few<kSums, kFewSlots / 32>(routing, lists, sorted_slots, sums);
    }
    return;
  }
  const RoundSlots slots = rank_round(shared, routing, 0, tokens * top_k, routed_tokens(routing) * top_k,
                                      [&](int e, int count) { shared.first_row[e] = count; });
  emit_tiles(shared, lists, experts, sorting);
  place_round<kSums>(shared, slots, shared.first_row, sorted_slots, sums);
}

// Many slots, launch 1: counts[block][expert].
__global__ void __launch_bounds__(kAlignThreads)
    align_count(const void* ids, const i32* valid_tokens, int id_bytes, int tokens, int top_k, int experts,
                int expert_offset, int slots_per_block, i32* counts) {
  __shared__ i32 slots[kMaxExperts];
  for (int e = int(threadIdx.x); e < experts; e += kAlignThreads) slots[e] = 0;
  __syncthreads();
  wait_for_predecessor();
  let_successor_start();
  const Routing routing{ids, valid_tokens, id_bytes, tokens, top_k, experts, expert_offset};
  const int valid_slots = routed_tokens(routing) * top_k;
  const int begin = int(blockIdx.x) * slots_per_block, end = min(begin + slots_per_block, tokens * top_k);
#pragma unroll 4
  for (int slot = begin + int(threadIdx.x); slot < end; slot += kAlignThreads) {
    const int expert = local_expert(routing, slot, valid_slots);
    if (expert >= 0) atomicAdd(&slots[expert], 1);
  }
  __syncthreads();
  for (int e = int(threadIdx.x); e < experts; e += kAlignThreads)
    counts[i64(blockIdx.x) * experts + e] = slots[e];
}

// Launch 2, with the same blocks for sorting: tile lists, and every slot to its place.
template <Activations kActivations, int kForm = 0, Sums kSums = Sums::ordered>
__global__ void __launch_bounds__(kAlignThreads)
    align_place(const void* ids, const i32* valid_tokens, int id_bytes, int tokens, int top_k, int experts,
                int expert_offset, int slots_per_block, const i32* counts, i32* sorted_slots,
                TokenTile* tiles1, TokenTile* tiles2, i32* tile_counts, int block_m1, int block_m2,
                const u16* x, i64 x_stride, int hidden, u8* x_codes, u8* x_scales, u16* out,
                int zeroing_blocks, const void* weights, int weight_bytes, TokenShare* shares) {
  __shared__ AlignShared shared;
  const Routing routing{ids, valid_tokens, id_bytes, tokens, top_k, experts, expert_offset};
  const SumsInOut sums{out, zeroing_blocks, weights, weight_bytes, top_k, shares};
  const int sorting = sorting_blocks<kActivations, kForm, kSums>(routing, hidden, sums);
  // align_count has waited for whatever came before it, so x and out may be used, and ids may be read.
  if (int(blockIdx.x) >= sorting) {
    let_successor_start();
    if (!zeroes<kSums>(sums, tokens, hidden))
      quantises<kActivations, kForm>(routing, {x, x_stride, hidden, x_codes, x_scales}, sorting);
    return;
  }
  static_assert(kMaxExperts == 2 * kAlignThreads);
  int before[2];    // this thread's experts' slots in the blocks before this one
  int in_round[2];  // and in the round
  i32* base = shared.first_tile1;  // once the lists are written
  const int valid_slots = routed_tokens(routing) * top_k;
  const int begin = int(blockIdx.x) * slots_per_block, end = min(begin + slots_per_block, tokens * top_k);
#pragma unroll 1
  for (int first = begin; first < end; first += kAlignRound) {
    // The first round is ranked while align_count still counts.
    const RoundSlots slots =
        rank_round(shared, routing, first, min(first + kAlignRound, end), valid_slots,
                   [&](int e, int count) { (e < kAlignThreads ? in_round[0] : in_round[1]) = count; });
    if (first == begin) {
      wait_for_predecessor();
      let_successor_start();
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int e = int(threadIdx.x) + i * kAlignThreads;
        before[i] = 0;
        if (e >= experts) break;
        int total = 0;
#pragma unroll 16
        for (int b = 0; b < sorting; ++b) {
          if (b == int(blockIdx.x)) before[i] = total;
          total += counts[i64(b) * experts + e];
        }
        shared.first_row[e] = total;
      }
      __syncthreads();
      emit_tiles(shared, {tiles1, tiles2, tile_counts, block_m1, block_m2}, experts, sorting);
      __syncthreads();
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int e = int(threadIdx.x) + i * kAlignThreads;
        if (e < experts) base[e] = shared.first_row[e] + before[i];
      }
      __syncthreads();
    }
    place_round<kSums>(shared, slots, base, sorted_slots, sums);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int e = int(threadIdx.x) + i * kAlignThreads;
      if (e < experts) base[e] += in_round[i];
    }
  }
}

}  // namespace rtjit::moe_mxfp4
