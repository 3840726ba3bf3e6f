// What both GEMMs on Hopper's warp-group tensor cores share: the weights, widened to bf16 in registers, are
// the left operand of wgmma, the tokens its columns.
//
// A block has one warpgroup that copies (cp.async into `stages` buffers of 64 k) and kGroups that compute; it
// walks over (token tile, block of weight rows) pairs, and copying runs ahead into the next pair while the
// sums of the last are written out. Buffers change hands by two mbarriers each. The number of columns is
// chosen per tile among a few compiled ones, so that a tile that is not full costs little more than what is
// in it.
#pragma once

#include "device/async_copy.cuh"
#include "device/matrix.cuh"
#include "device/mbarrier.cuh"
#include "device/pdl.cuh"
#include "device/tensor_map.cuh"
#include "device/wgmma.cuh"
#include "moe_mxfp4/common.cuh"
#include "moe_mxfp4/fragments.cuh"

namespace rtjit::moe_mxfp4 {

constexpr int kCopyThreads = 128;

// kHalf: k may end in a half tile (k % 64 == 32).
template <int kBlockM_, int kBlockN_, int kGroups_, int kStages_, bool kHalf_>
struct WgmmaShape {
  static constexpr int kBlockM = kBlockM_, kBlockN = kBlockN_, kGroups = kGroups_, kStages = kStages_;
  static constexpr bool kHalf = kHalf_;
  static constexpr int kParts = kBlockN / (64 * kGroups);  // blocks of 64 weight rows per computing warpgroup
  static constexpr int kStrips = kBlockN / kStripRows;
  static constexpr int kTokenBytes = kBlockM * kTileK * 2;  // of a buffer
  static constexpr int kWeightBytes = kStrips * kTileBytes, kScaleBytes = kStrips * kTileScaleBytes;
  static constexpr int kThreads = kCopyThreads + 128 * kGroups;
  // The numbers of columns that wgmma is compiled for: kBlockM and some fewer, as many as ptxas has registers
  // for without waiting after every wgmma (its warning C7512). Below 32 the tensor cores gain nothing.
  static constexpr int kSums = kBlockM / 2 * kParts;
  // The step for a half tile makes each form a third longer, so with the largest forms there is one fewer.
  static constexpr int kMostForms = kGroups == 2 ? (kSums > 144 ? 3 : 4) - kHalf
                                    : kGroups == 3 && kSums < (kParts == 1 ? 88 : 80) ? 4
                                                                                      : 2;
  static constexpr int kColumnStep = kBlockM > 64 ? 16 : 8;
  static constexpr int kColumnForms = kBlockM <= 32 ? 1 : min_of(kMostForms, (kBlockM - 24) / kColumnStep);
  // The copying warps give most of their registers to the computing ones.
  static constexpr int kCopyRegisters = kGroups == 2 ? 56 : 48;
  static constexpr int kLaunchRegisters = min_of(255, 65536 / kThreads) / 8 * 8;
  static constexpr int kComputeRegisters =
      min_of(240, (kLaunchRegisters * kThreads - kCopyRegisters * kCopyThreads) / (128 * kGroups) / 8 * 8);
  // Whether a step's weights are read from shared memory a step ahead: where registers are left for them.
  static constexpr bool kReadAhead = kComputeRegisters - kSums >= 76;
  // Whether the numbers of a tile's weight rows are asked for before its sums, likewise.
  static constexpr bool kEarlyRows = kComputeRegisters - kSums - 4 * kParts >= (kHalf ? 76 : 68);
  static_assert(kBlockM % 8 == 0 && kBlockN == 64 * kGroups * kParts && kParts >= 1);
  static_assert(kSums + 40 <= kComputeRegisters, "more sums than registers");
};

template <class S>
struct WgmmaShared {
  alignas(1024) u8 tokens[S::kStages][S::kTokenBytes];
  alignas(128) u8 weights[S::kStages][S::kWeightBytes];
  u8 scales[S::kStages][S::kScaleBytes];
  u64 full[S::kStages], empty[S::kStages];
};

struct WgmmaWeights {
  const u8* tiles;
  const u8* scales;
  int rows, k;
};

// The position in the ring of buffers.
template <int kStages>
struct Ring {
  int stage = 0;
  u32 parity = 0;
  __device__ void next() {
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
};

template <class S>
__device__ inline void init_barriers(WgmmaShared<S>& shared) {
  if (threadIdx.x < S::kStages) {
    barrier_init(&shared.full[threadIdx.x], kCopyThreads);
    barrier_init(&shared.empty[threadIdx.x], 128 * S::kGroups);
  }
  __syncthreads();
}

// A value that the compiler cannot look into: it would compute addresses anew in every step, or ahead of time
// where registers are short.
__device__ inline u32 keep(u32 value) {
  asm volatile("mov.b32 %0, %0;" : "+r"(value));
  return value;
}

// The same in every lane, which the compiler does not see.
__device__ inline u32 uniform(u32 value) { return __shfl_sync(0xffffffffu, value, 0); }

// Calls `work` with the number of columns for so many rows as a Constant.
template <class S, int kForm = S::kColumnForms - 1, class Work>
__device__ inline void with_columns(int rows, const Work& work) {
  constexpr int kColumns = S::kBlockM - kForm * S::kColumnStep;
  if constexpr (kForm == 0) {
    work(Constant<kColumns>());
  } else {
    if (rows <= kColumns) {
      work(Constant<kColumns>());
    } else {
      with_columns<S, kForm - 1>(rows, work);
    }
  }
}

// The copying warpgroup, one tile; `token_row(m)` is where row m of the tile starts. Rows and strips that are
// not there may be any that can be read: their results are not stored, and each result has a token and a
// weight row of its own. With `early`, which only a block's first tile may have, as many weights as there are
// buffers are under way before `wait()`; tokens are read after it.
template <class S, class TokenRow, class Wait>
__device__ inline void copy_tile(WgmmaShared<S>& shared, Ring<S::kStages>& ring, const WgmmaWeights& weights,
                                 const TokenTile& tile, int first_strip, const TokenRow& token_row,
                                 bool early, const Wait& wait) {
  constexpr int kBlockM = S::kBlockM;
  const int thread = int(threadIdx.x);
  constexpr int kPieces = kTileK / 8, kRowsPerPass = kCopyThreads / kPieces;
  constexpr int kPasses = div_up(kBlockM, kRowsPerPass);
  const int piece = thread % kPieces, first_m = thread / kPieces;
  const u16* rows[kPasses];
#pragma unroll
  for (int i = 0; i < kPasses; ++i)
    rows[i] = token_row(min(first_m + i * kRowsPerPass, kBlockM - 1)) + piece * 8;
  const u32 token_target = u32(first_m * 128 + (piece ^ (first_m & 7)) * 16);
  static_assert(kRowsPerPass % 8 == 0);
  int passes = kPasses;  // what is needed of them
  with_columns<S>(tile.rows, [&](auto columns) { passes = div_up(decltype(columns)::value, kRowsPerPass); });

  const i64 bytes = strip_bytes(weights.k);
  const int scale_bytes = strip_scale_bytes(weights.k);
  const int strips = weights.rows / kStripRows, last_strip = strips - 1 - first_strip;
  const i64 strip = i64(tile.expert) * strips + first_strip;
  constexpr int kStripPieces = kTileBytes / 16, kStripsPerPass = kCopyThreads / kStripPieces;
  constexpr int kWeightPasses = S::kStrips / kStripsPerPass;
  static_assert(S::kBlockN / 8 <= kCopyThreads);
  const int weight_piece = thread % kStripPieces;
  const u8* tiles = weights.tiles + strip * bytes + weight_piece * 16;
  u32 strip_offsets[kWeightPasses];
#pragma unroll
  for (int i = 0; i < kWeightPasses; ++i)
    strip_offsets[i] = u32(min(thread / kStripPieces + i * kStripsPerPass, last_strip)) * u32(bytes);
  const u8* scales = weights.scales + (strip + min(thread / 2, last_strip)) * scale_bytes + thread % 2 * 16;

  auto copy_weights = [&](int stage, bool half) {
    const u32 weight_target = shared_address(shared.weights[stage]) + u32(thread * 16);
#pragma unroll
    for (int i = 0; i < kWeightPasses; ++i) {
      copy_async_16(weight_target + u32(i * kCopyThreads * 16), tiles + strip_offsets[i],
                    !half || weight_piece < kStripPieces / 2);
    }
    tiles += kTileBytes;
    if (thread < S::kBlockN / 8) {
      copy_async_16(shared_address(shared.scales[stage]) + u32(thread * 16), scales,
                    !half || thread % 2 == 0);
    }
    scales += kTileScaleBytes;
  };
  auto copy_tokens = [&](int stage, bool half) {
    const u32 tokens = shared_address(shared.tokens[stage]) + token_target;
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      if (i < passes && (kBlockM % kRowsPerPass == 0 || first_m + i * kRowsPerPass < kBlockM))
        copy_async_16(tokens + u32(i * kRowsPerPass * 128), rows[i], !half || piece < kPieces / 2);
      rows[i] += kTileK;
    }
    barrier_arrive_after_copies(&shared.full[stage]);
  };
  auto copy_step = [&](bool half) {
    barrier_wait(&shared.empty[ring.stage], ring.parity ^ 1);
    copy_weights(ring.stage, half);
    copy_tokens(ring.stage, half);
    ring.next();
  };
  const int full_steps = weights.k / kTileK;
  int done = 0;
  if (early) {
    done = min(full_steps, S::kStages);
#pragma unroll 1
    for (int step = 0; step < done; ++step) copy_weights(step, false);
    wait();
#pragma unroll 1
    for (int step = 0; step < done; ++step) {
      copy_tokens(ring.stage, false);
      ring.next();
    }
  }
#pragma unroll 1
  for (int step = done; step < full_steps; ++step) copy_step(false);
  if (S::kHalf && weights.k % kTileK != 0) copy_step(true);
}

// A computing warpgroup. Part p of its rows is block p * kGroups + group of 64, one strip per warp.
template <class S>
class Computer {
 public:
  static constexpr int kParts = S::kParts;

  __device__ Computer(WgmmaShared<S>& shared, int group) {
    const int lane = int(threadIdx.x & 31), strip = group * 4 + (int(threadIdx.x >> 5) & 3);
    tokens_ = keep(shared_address(&shared.tokens[0][0]));
    weights_ = keep(shared_address(&shared.weights[0][strip * kTileBytes + lane * 16]));
    scales_ = keep(shared_address(&shared.scales[0][strip * kTileScaleBytes + (lane >> 2) * 4]));
    full_ = keep(shared_address(&shared.full[0]));
  }

  // The sums of one tile.
  template <int kColumns>
  __device__ void compute(Ring<S::kStages>& ring, int k, float (&sums)[kParts][kColumns / 2]) const {
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
#pragma unroll
      for (int i = 0; i < kColumns / 2; ++i) sums[p][i] = 0.0f;
    }
    const int steps = k / kTileK;
    LaneTile parts[kParts];
    u32 previous = 0;  // the buffer of the step before
    if (S::kReadAhead && steps > 0) load_parts(ring, parts);
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      if (!S::kReadAhead) load_parts(ring, parts);
      // The descriptor's halves are added up on their own: a carry between them would cost registers.
      const u32 tokens = uniform(u32(swizzled_128_descriptor(token_address(ring.stage))));
      const u32 buffer = full_ + kFullToEmpty + u32(ring.stage * 8);
      ring.next();
      // The tokens came through the generic proxy; wgmma reads them through the asynchronous one.
      fence_async_shared();
      // Halves of each part's step take turns: one is widened while the tensor cores work on the other.
#pragma unroll
      for (int p = 0; p < kParts; ++p) {
        u32 left0[2][4], left1[2][4];
        widen_group<0>(parts[p], left0);
        multiply<kColumns>(sums[p], left0, tokens);
        wgmma_wait<1>();
        if (p == 0 && previous != 0) release(previous);  // the last half of the step before is done
        widen_group<1>(parts[p], left1);
        multiply<kColumns>(sums[p], left1, tokens + 4);
        if (S::kReadAhead && p + 1 == kParts && step + 1 < steps) load_parts(ring, parts);
        wgmma_wait<1>();
      }
      previous = buffer;
    }
    if (S::kHalf && k % kTileK != 0) {
      barrier_wait(full_ + u32(ring.stage * 8), ring.parity);
      fence_async_shared();
      const u32 lane = threadIdx.x & 31;  // a lane's share is half as large
      const u32 tokens = uniform(u32(swizzled_128_descriptor(token_address(ring.stage))));
#pragma unroll
      for (int p = 0; p < kParts; ++p) {
        u32 left[2][4];
        widen_group<0>(load_half_lane_tile(part_address(ring.stage, p) - lane * 8,
                                           scale_address(ring.stage, p) - (lane >> 2) * 2),
                       left);
        multiply<kColumns>(sums[p], left, tokens);
        wgmma_wait<0>();
      }
      if (previous != 0) release(previous);
      previous = full_ + kFullToEmpty + u32(ring.stage * 8);
      ring.next();
    }
    wgmma_wait<0>();
    release(previous);
  }

 private:
  static constexpr u32 kFullToEmpty = S::kStages * sizeof(u64);  // they lie one after the other

  __device__ u32 token_address(int stage) const { return tokens_ + u32(stage * S::kTokenBytes); }
  __device__ u32 part_address(int stage, int p) const {
    return weights_ + u32(stage * S::kWeightBytes) + u32(p * S::kGroups * 4 * kTileBytes);
  }
  __device__ u32 scale_address(int stage, int p) const {
    return scales_ + u32(stage * S::kScaleBytes) + u32(p * S::kGroups * 4 * kTileScaleBytes);
  }

  // Waits for the ring's current buffer and reads this lane's weights.
  __device__ void load_parts(const Ring<S::kStages>& ring, LaneTile (&parts)[kParts]) const {
    barrier_wait(full_ + u32(ring.stage * 8), ring.parity);
#pragma unroll
    for (int p = 0; p < kParts; ++p)
      parts[p] = load_full_lane_tile(part_address(ring.stage, p), scale_address(ring.stage, p));
  }

  // Gives a buffer back to the copying warps; every lane that read it says so.
  static __device__ void release(u32 buffer) { barrier_arrive(buffer); }

  // Two steps of 16 k, 32 bytes apart in a token's row.
  template <int kColumns>
  static __device__ void multiply(float (&sums)[kColumns / 2], const u32 (&left)[2][4], u32 tokens) {
    constexpr u64 kUpper = swizzled_128_descriptor(0) >> 32 << 32;
    wgmma_fence();
    Wgmma<kColumns>::multiply(sums, left, kUpper | tokens, kUpper | (tokens + 2));
    wgmma_commit();
  }

  u32 tokens_, weights_, scales_, full_;  // addresses in shared memory; of weights and scales, this lane's
};

// What belongs to this lane's weight rows in a tile: of a matrix with so many rows per expert, the parts that
// begin at `first_row` and every 64 * kGroups rows from there. Rows that do not exist may be any.
template <class S, Bias kBias>
__device__ inline void load_tile_rows(const u8* row_exponents, const void* bias, int expert, int rows,
                                      int first_row, RawRows (&raw)[S::kParts]) {
  const i64 own = i64(expert) * rows + (int(threadIdx.x & 31) >> 2);
#pragma unroll
  for (int p = 0; p < S::kParts; ++p) {
    const int row = min(first_row + p * (64 * S::kGroups), rows - kStripRows);
    raw[p] = load_raw_rows<kBias>(row_exponents, bias, own + row);
  }
}

// The pairs (token tile, block of weight rows) of this thread block, rows running fastest, so that all tiles
// of an expert are near in time and its weights come from memory once.
template <class Visit>
__device__ inline void for_each_tile(const TokenTile* tiles, const i32* tile_count, int row_blocks,
                                     const Visit& visit) {
  const int total = *tile_count * row_blocks;
#pragma unroll 1
  for (int index = int(blockIdx.x); index < total; index += int(gridDim.x)) {
    const int t = index / row_blocks;
    visit(tiles[t], index - t * row_blocks);
  }
}

// A store without a branch around what computes `value`: many of them overlap.
__device__ inline void store_if(bool take, void* target, u32 value) {
  asm volatile("{.reg .pred p; setp.ne.b32 p, %2, 0; @p st.global.b32 [%0], %1;}" ::"l"(target), "r"(value),
               "r"(int(take))
               : "memory");
}

extern __shared__ __align__(1024) unsigned char wgmma_shared[];

}  // namespace rtjit::moe_mxfp4
