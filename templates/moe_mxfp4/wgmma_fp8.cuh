// What both GEMMs with MXFP8 activations on Hopper share: the weights, widened to E5M2 with their block
// scales in registers, are the left operand of wgmma, the tokens in E4M3 with one scale per row its columns.
//
// Everything comes by bulk copies, three per buffer of 128 k, which one thread starts: the weight rows of a
// step (e5m2_layout.cuh) lie in one piece, as do the tokens of a tile (quantise_tiles.cuh). Two warpgroups
// compute, 64 weight rows each. Tiles, rings and columns are those of wgmma.cuh.
//
// The tensor core truncates its sums to 13 bits. So after kSteps buffers they are added to sums in fp32.
#pragma once

#include "device/bulk_copy.cuh"
#include "device/e5m2.cuh"
#include "device/matrix.cuh"
#include "device/pdl.cuh"
#include "device/tensor_map.cuh"
#include "device/wgmma_fp8.cuh"
#include "moe_mxfp4/common.cuh"
#include "moe_mxfp4/e5m2_layout.cuh"
#include "moe_mxfp4/quantise_tiles.cuh"
#include "moe_mxfp4/wgmma.cuh"

namespace rtjit::moe_mxfp4 {

// kBlockM tokens times kBlockN weight rows per thread block. kSteps: buffers between additions in fp32.
template <int kBlockM_, int kStages_, int kSteps_, int kK_>
struct WgmmaFp8Shape {
  static constexpr int kBlockM = kBlockM_, kStages = kStages_, kSteps = kSteps_, kK = kK_;
  static constexpr int kGroups = 2, kBlockN = 64 * kGroups, kStepK = kTokenStep;
  static constexpr int kFullSteps = kK / kStepK, kTail = kK % kStepK;
  static constexpr int kStrips = kBlockN / kStripRows;
  static constexpr int kStripBytes = 2 * kTileBytes, kStripScaleBytes = 2 * kTileScaleBytes;  // of a buffer
  static constexpr int kTokenBytes = kBlockM * kStepK;
  static constexpr int kWeightBytes = kStrips * kStripBytes, kScaleBytes = kStrips * kStripScaleBytes;
  static constexpr int kThreads = kCopyThreads + 128 * kGroups;
  static constexpr int kColumnStep = 16;
  static constexpr int kColumnForms = kBlockM <= 32 ? 1 : min_of(3, kBlockM / kColumnStep - 1);
  static constexpr int kCopyRegisters = 40, kComputeRegisters = 232;
  static_assert(kBlockM % 16 == 0 && kStepK == kE5m2StepK);
};

template <class S>
struct WgmmaFp8Shared {
  alignas(1024) u8 tokens[S::kStages][S::kTokenBytes];
  alignas(128) u8 weights[S::kStages][S::kWeightBytes];
  alignas(128) u8 scales[S::kStages][S::kScaleBytes];
  alignas(16) float factors[S::kGroups][S::kBlockM];
  i32 slots[S::kGroups][S::kBlockM];
  u64 full[S::kStages], empty[S::kStages];
};

// Barriers, and zeros in the buffers: rows of tokens and of weights that do not exist are read as well.
template <class S>
__device__ inline void init_shared(WgmmaFp8Shared<S>& shared) {
  constexpr int kBytes = S::kStages * (S::kTokenBytes + S::kWeightBytes + S::kScaleBytes);
  uint4* buffers = reinterpret_cast<uint4*>(&shared);
#pragma unroll 4
  for (int i = int(threadIdx.x); i < kBytes / int(sizeof(uint4)); i += S::kThreads)
    buffers[i] = make_uint4(0, 0, 0, 0);
  fence_async_shared();
  if (threadIdx.x < S::kStages) {
    barrier_init(&shared.full[threadIdx.x], 1);
    barrier_init(&shared.empty[threadIdx.x], 4 * S::kGroups);
    barrier_init_fence();
  }
  __syncthreads();
}

// What the epilogue needs of the tile's tokens, so that it need not wait for memory: read before the sums are
// computed, a token or two per thread, and shared after it. Each computing warpgroup does so for itself.
template <class S>
class TileTokens {
 public:
  // `slots` may be null.
  __device__ TileTokens(WgmmaFp8Shared<S>& shared, int group, const float* factors, const i32* slots,
                        int rows)
      : factors_(shared.factors[group]), slots_(shared.slots[group]), group_(group) {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int m = min(thread() + i * 128, rows - 1);
      factor_[i] = factors[m];
      slot_[i] = slots != nullptr ? slots[m] : 0;
    }
  }
  // All threads of the warpgroup must call.
  __device__ void share() const {
    sync();  // nobody still reads those of the tile before
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int m = thread() + i * 128;
      if (m < S::kBlockM) factors_[m] = factor_[i], slots_[m] = slot_[i];
    }
    sync();
  }
  // Of tokens m and m + 1; m is even.
  __device__ float2 factors(int m) const { return *reinterpret_cast<const float2*>(factors_ + m); }
  __device__ int slot(int m) const { return slots_[m]; }

 private:
  static constexpr int kEach = div_up(S::kBlockM, 128);
  static __device__ int thread() { return int(threadIdx.x & 127); }
  __device__ void sync() const { asm volatile("bar.sync %0, 128;" ::"r"(group_ + 1) : "memory"); }
  float* factors_;
  i32* slots_;
  int group_;
  float factor_[kEach];
  i32 slot_[kEach];
};

// What the epilogue needs of this lane's weight rows g and g + 8 of a strip, likewise read before. Sums are
// in units of kE5m2Unit; rows that do not exist may be any.
struct LaneRows {
  float lower_factor, upper_factor, lower_bias, upper_bias;
};
template <Bias kBias>
__device__ inline LaneRows lane_rows(const u8* row_exponents, const void* bias, int expert, int rows,
                                     int row) {
  const i64 index = i64(expert) * rows + min(row, rows - kStripRows) + (int(threadIdx.x & 31) >> 2);
  return {e8m0_to_float(row_exponents[index]) * kE5m2Unit,
          e8m0_to_float(row_exponents[index + 8]) * kE5m2Unit, load_bias<kBias>(bias, index),
          load_bias<kBias>(bias, index + 8)};
}

// The copying thread, one tile. With `early`, which only a block's first tile may have, the weights of as
// many steps as there are buffers are under way before `wait()`; tokens are read after it.
template <class S, class Wait>
__device__ inline void copy_tile_in_bulk(WgmmaFp8Shared<S>& shared, Ring<S::kStages>& ring,
                                         const WgmmaWeights& weights, const u8* codes, const TokenTile& tile,
                                         int first_strip, bool early, const Wait& wait) {
  const int rows = tile.rows, strips = weights.rows / kStripRows;
  const u32 own = u32(max(0, min(S::kStrips, strips - first_strip)));
  const u8* source = weights.tiles + tile.expert * e5m2_expert_bytes(weights.rows, S::kK);
  const u8* distances = weights.scales + tile.expert * e5m2_expert_distances(weights.rows, S::kK);
  const u8* tokens = codes + i64(tile.first_row) * token_pitch(S::kK);
  const u32 full = shared_address(&shared.full[0]);

  auto copy_weights = [&](int stage, auto step_k) {
    constexpr u32 kCodes = decltype(step_k)::value * kStripRows / 2, kScales = decltype(step_k)::value / 2;
    const u32 barrier = full + u32(stage * 8);
    barrier_expect(barrier, own * (kCodes + kScales) + u32(rows * kTokenStep));
    if (own > 0) {
      copy_bulk(shared_address(shared.weights[0]) + u32(stage * S::kWeightBytes),
                source + first_strip * i64(kCodes), own * kCodes, barrier);
      copy_bulk(shared_address(shared.scales[0]) + u32(stage * S::kScaleBytes),
                distances + first_strip * i64(kScales), own * kScales, barrier);
    }
    source += strips * i64(kCodes), distances += strips * i64(kScales);
  };
  auto copy_tokens = [&](int stage) {
    copy_bulk(shared_address(shared.tokens[stage]), tokens, u32(rows * kTokenStep), full + u32(stage * 8));
    tokens += rows * kTokenStep;
  };
  auto copy_step = [&](auto step_k) {
    barrier_wait(&shared.empty[ring.stage], ring.parity ^ 1);
    copy_weights(ring.stage, step_k);
    copy_tokens(ring.stage);
    ring.next();
  };
  int done = 0;
  if (early) {
    done = min_of(S::kFullSteps, S::kStages);
#pragma unroll 1
    for (int step = 0; step < done; ++step) copy_weights(step, Constant<S::kStepK>());
    wait();
#pragma unroll 1
    for (int step = 0; step < done; ++step) {
      copy_tokens(ring.stage);
      ring.next();
    }
  }
#pragma unroll 1
  for (int step = done; step < S::kFullSteps; ++step) copy_step(Constant<S::kStepK>());
  if constexpr (S::kTail != 0) copy_step(Constant<S::kTail>());
}

// This lane's weights of 64 rows x 128 k: words, and four times the distance of each block's scale from its
// row's.
struct LaneUnit {
  u32 words[8], distances[2];
};

// The left operands of two steps of 32 k: tile kTile of the unit.
template <int kTile>
__device__ inline void widen_unit(const LaneUnit& unit, u32 (&left)[2][4]) {
  const u32 distances = unit.distances[kTile];
  const u32* words = unit.words + 4 * kTile;
  widen_e5m2(words[0], e5m2_table<0>(distances), left[0][0], left[0][2]);
  widen_e5m2(words[1], e5m2_table<1>(distances), left[0][1], left[0][3]);
  widen_e5m2(words[2], e5m2_table<2>(distances), left[1][0], left[1][2]);
  widen_e5m2(words[3], e5m2_table<3>(distances), left[1][1], left[1][3]);
}

// A computing warpgroup: 64 weight rows, one strip per warp.
template <class S>
class Fp8Computer {
 public:
  __device__ Fp8Computer(WgmmaFp8Shared<S>& shared, int group) {
    const u32 lane = threadIdx.x & 31;
    strip_ = u32(group * 4) + ((threadIdx.x >> 5) & 3);
    tokens_ = keep(shared_address(&shared.tokens[0][0]));
    weights_ = keep(shared_address(&shared.weights[0][strip_ * S::kStripBytes + lane * 16]));
    scales_ = keep(shared_address(&shared.scales[0][strip_ * S::kStripScaleBytes + (lane >> 2) * 4]));
    full_ = keep(shared_address(&shared.full[0]));
  }

  // The sums of one tile.
  template <int kColumns>
  __device__ void compute(Ring<S::kStages>& ring, float (&sums)[kColumns / 2]) const {
    constexpr int kPieces = S::kFullSteps / S::kSteps, kRest = S::kFullSteps % S::kSteps;
    float part_sums[kColumns / 2];
#pragma unroll
    for (int i = 0; i < kColumns / 2; ++i) sums[i] = 0.0f, part_sums[i] = 0.0f;
    LaneUnit unit;
    u32 left0[2][4], left1[2][4];
    if (kPieces > 0) {
      wait_full(ring);
      load_unit(ring.stage, unit);
      widen_unit<0>(unit, left0);
    }
#pragma unroll 1
    for (int piece = 0; piece < kPieces; ++piece) {
      piece_steps<kColumns, S::kSteps, false>(ring, piece + 1 < kPieces, unit, left0, left1, part_sums);
#pragma unroll
      for (int i = 0; i < kColumns / 2; ++i) sums[i] += part_sums[i];
    }
    if constexpr (kRest > 0 || kHasTail) {
      wait_full(ring);
      if (kRest > 0) {
        load_unit(ring.stage, unit);
      } else {
        load_tail(ring.stage, unit);
      }
      widen_unit<0>(unit, left0);
      piece_steps<kColumns, kRest + kHasTail, kHasTail>(ring, false, unit, left0, left1, part_sums);
#pragma unroll
      for (int i = 0; i < kColumns / 2; ++i) sums[i] += part_sums[i];
    }
  }

  // Without computing anything: this warpgroup has no rows that exist.
  __device__ void skip(Ring<S::kStages>& ring) const {
#pragma unroll 1
    for (int step = 0; step < S::kFullSteps + (S::kTail != 0); ++step) {
      wait_full(ring);
      release(ring.stage);
      ring.next();
    }
  }

 private:
  static constexpr bool kHasTail = S::kTail != 0;

  // kSteps buffers, of which the last may have only kTail k. left0 holds the first half of the first, and
  // with `more` in the end that of the buffer after the last.
  template <int kColumns, int kSteps, bool kTailed>
  __device__ void piece_steps(Ring<S::kStages>& ring, bool more, LaneUnit& unit, u32 (&left0)[2][4],
                              u32 (&left1)[2][4], float (&part_sums)[kColumns / 2]) const {
    int previous = 0;
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      const bool last = i + 1 == kSteps;
      const u32 tokens = token_descriptor(ring.stage);
      if (i == 0) {
        multiply<kColumns, false>(part_sums, left0, tokens);
      } else {
        multiply<kColumns, true>(part_sums, left0, tokens);
        wgmma_wait<1>();
        release(previous);
      }
      previous = ring.stage;
      ring.next();
      const bool second = !(kTailed && last) || S::kTail > kTileK;
      if (second) {
        widen_unit<1>(unit, left1);
        multiply<kColumns, true>(part_sums, left1, tokens + 4);
      }
      if (!last) {
        wait_full(ring);
        if (kTailed && i + 2 == kSteps) {
          load_tail(ring.stage, unit);
        } else {
          load_unit(ring.stage, unit);
        }
        wgmma_wait<1>();
        widen_unit<0>(unit, left0);
      } else if (more) {
        wait_full(ring);
        load_unit(ring.stage, unit);
        wgmma_wait<1>();
        widen_unit<0>(unit, left0);
      }
    }
    wgmma_wait<0>();
    release(previous);
  }

  __device__ u32 token_descriptor(int stage) const {
    return uniform(u32(swizzled_128_descriptor(tokens_ + u32(stage * S::kTokenBytes))));
  }
  __device__ void wait_full(const Ring<S::kStages>& ring) const {
    barrier_wait(full_ + u32(ring.stage * 8), ring.parity);
  }
  // Gives a buffer back to the copying thread.
  __device__ void release(int stage) const {
    __syncwarp();
    if ((threadIdx.x & 31) == 0) barrier_arrive(full_ + u32(S::kStages * sizeof(u64)) + u32(stage * 8));
  }

  __device__ void load_unit(int stage, LaneUnit& unit) const {
    const u32 words = weights_ + u32(stage * S::kWeightBytes), scales = scales_ + u32(stage * S::kScaleBytes);
#pragma unroll
    for (int tile = 0; tile < 2; ++tile)
      take(load_full_lane_tile(words + u32(tile * kTileBytes), scales + u32(tile * kTileScaleBytes)), tile,
           unit);
  }
  // The same of a buffer with kTail k, in which strips are narrower. What it does not have are zeros.
  __device__ void load_tail(int stage, LaneUnit& unit) const {
    constexpr int kCodes = S::kTail * kStripRows / 2, kScales = S::kTail / 2;
    const u32 lane = threadIdx.x & 31;
    const u32 words = weights_ + u32(stage * S::kWeightBytes) - strip_ * (S::kStripBytes - kCodes),
              bytes = scales_ + u32(stage * S::kScaleBytes) - strip_ * (S::kStripScaleBytes - kScales);
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
      if (S::kTail >= (tile + 1) * kTileK) {
        take(load_full_lane_tile(words + u32(tile * kTileBytes), bytes + u32(tile * kTileScaleBytes)), tile,
             unit);
      } else if (S::kTail > tile * kTileK) {  // a lane's share of a half tile is half as large
        LaneTile half = load_half_lane_tile(words + u32(tile * kTileBytes) - lane * 8,
                                            bytes + u32(tile * kTileScaleBytes) - (lane >> 2) * 2);
        half.words[2] = 0, half.words[3] = 0;
        take(half, tile, unit);
      }
    }
  }
  static __device__ void take(const LaneTile& from, int tile, LaneUnit& unit) {
#pragma unroll
    for (int i = 0; i < 4; ++i) unit.words[4 * tile + i] = from.words[i];
    unit.distances[tile] = from.scales;
  }

  // Two steps of 32 k, 32 bytes apart in a token's row.
  template <int kColumns, bool kAdd>
  static __device__ void multiply(float (&sums)[kColumns / 2], const u32 (&left)[2][4], u32 tokens) {
    constexpr u64 kUpper = swizzled_128_descriptor(0) >> 32 << 32;
    wgmma_fence();
    WgmmaFp8<kColumns>::template multiply<kAdd>(sums, left, kUpper | tokens, kUpper | (tokens + 2));
    wgmma_commit();
  }

  u32 strip_;                             // this warp's
  u32 tokens_, weights_, scales_, full_;  // addresses in shared memory; of weights and scales, this lane's
};

}  // namespace rtjit::moe_mxfp4
