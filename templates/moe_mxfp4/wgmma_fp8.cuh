// What both GEMMs with MXFP8 activations on Hopper share: the weights, widened to E5M2 with their block
// scales in registers, are the left operand of wgmma, the tokens in E4M3 (quantise_panels.cuh) its columns.
//
// A buffer holds 128 k: a panel of the tokens with its factors, and the weight rows of a step, which lie in
// one piece (e5m2_layout.cuh) and come by bulk copy. Two warpgroups compute, 64 weight rows each. Rings and
// columns are those of wgmma.cuh.
//
// The tensor core truncates its sums to 13 bits. So after kSteps buffers they are multiplied with the tokens'
// factors and added to sums in fp32.
#pragma once

#include "device/bulk_copy.cuh"
#include "device/e5m2.cuh"
#include "device/matrix.cuh"
#include "device/pdl.cuh"
#include "device/tensor_map.cuh"
#include "device/wgmma_fp8.cuh"
#include "moe_mxfp4/common.cuh"
#include "moe_mxfp4/e5m2_layout.cuh"
#include "moe_mxfp4/quantise_panels.cuh"
#include "moe_mxfp4/wgmma.cuh"

namespace rtjit::moe_mxfp4 {

// kBlockM tokens times kBlockN weight rows per thread block. kSteps: buffers between additions in fp32.
// kGathered: the tokens come by cp.async, which wgmma does not see without a fence.
template <int kBlockM_, int kStages_, int kSteps_, int kK_, bool kGathered_>
struct WgmmaFp8Shape {
  static constexpr int kBlockM = kBlockM_, kStages = kStages_, kSteps = kSteps_, kK = kK_;
  static constexpr bool kGathered = kGathered_;
  static constexpr int kGroups = 2, kBlockN = 64 * kGroups, kStepK = kPanelK;
  static constexpr int kFullSteps = kK / kStepK, kTail = kK % kStepK;
  static constexpr int kAllSteps = kFullSteps + (kTail != 0);
  static constexpr int kStrips = kBlockN / kStripRows;
  static constexpr int kStripBytes = 2 * kTileBytes, kStripScaleBytes = 2 * kTileScaleBytes;  // of a buffer
  static constexpr int kTokenBytes = kBlockM * kStepK;
  static constexpr int kWeightBytes = kStrips * kStripBytes, kScaleBytes = kStrips * kStripScaleBytes;
  static constexpr int kThreads = kCopyThreads + 128 * kGroups;
  static constexpr int kColumnStep = 16;
  // Tiles of up to 64 tokens wait for memory, not for the tensor cores.
  static constexpr int kColumnForms = kBlockM <= 64 ? 1 : min_of(3, kBlockM / kColumnStep - 1);
  static constexpr int kFewestColumns = kBlockM - (kColumnForms - 1) * kColumnStep;
  static constexpr int kCopyRegisters = kGathered ? 88 : 72, kComputeRegisters = kGathered ? 208 : 216;
  static_assert(kCopyThreads * kCopyRegisters + 128 * kGroups * kComputeRegisters <=
                    65536 / kThreads / 8 * 8 * kThreads,
                "there are as many registers as the launch gave");
  static_assert(kBlockM % 16 == 0 && kStepK == kE5m2StepK && kSteps * kStepK <= kSharedK);
};

// Tokens 2t, 2t+1, 2t+8 and 2t+9 of 16, whose sums lane t of a quad holds, stand side by side.
__host__ __device__ constexpr u32 factor_place(u32 m) {
  return m / 16 * 16 + m % 8 / 2 * 4 + m % 16 / 8 * 2 + m % 2;
}

template <class S>
struct WgmmaFp8Shared {
  alignas(1024) u8 tokens[S::kStages][S::kTokenBytes];
  alignas(128) u8 weights[S::kStages][S::kWeightBytes];
  alignas(128) u8 scales[S::kStages][S::kScaleBytes];
  alignas(16) float factors[S::kStages][S::kBlockM];  // of token m at factor_place(m)
  u64 full[S::kStages], empty[S::kStages];
};

// Barriers, and zeros in the buffers: rows of tokens and of weights that do not exist are read as well. Each
// buffer is full after kArrivals arrivals of those who copy.
template <class S, int kArrivals>
__device__ inline void init_shared(WgmmaFp8Shared<S>& shared) {
  constexpr int kBytes = S::kStages * (S::kTokenBytes + S::kWeightBytes + S::kScaleBytes + S::kBlockM * 4);
  uint4* buffers = reinterpret_cast<uint4*>(&shared);
#pragma unroll 4
  for (int i = int(threadIdx.x); i < kBytes / int(sizeof(uint4)); i += S::kThreads)
    buffers[i] = make_uint4(0, 0, 0, 0);
  fence_async_shared();
  if (threadIdx.x < S::kStages) {
    barrier_init(&shared.full[threadIdx.x], kArrivals);
    barrier_init(&shared.empty[threadIdx.x], 4 * S::kGroups);
    barrier_init_fence();
  }
  __syncthreads();
}

// Whether the sums up to this buffer are multiplied with its factors, which the ones before it share.
template <class S>
__device__ inline bool takes_factors(int step) {
  return (step + 1) % S::kSteps == 0 || step + 1 == S::kAllSteps;
}

// What the epilogue needs of this lane's weight rows g and g + 8 of a strip, so that it need not wait for
// memory: read before the sums are computed. Sums are in units of kE5m2Unit; rows that do not exist may be
// any.
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

// Calls `work(c)` for every group of eight tokens that a tile of so many rows may have something in. A branch
// only where a number of columns ends: many groups overlap.
template <class S, class Work>
__device__ inline void for_each_column_group(int rows, const Work& work) {
#pragma unroll
  for (int c = 0; c < S::kBlockM / 8; ++c) {
    if (8 * c >= S::kFewestColumns && 8 * c % S::kColumnStep == 0 && rows <= 8 * c) break;
    work(c);
  }
}

// Calls `copy(stage, step)` for the buffers of a tile, each as soon as it is empty. Warps that copy do so on their
// own: each pays about five cycles per instruction and 150 for a bulk copy, and a step has some 600.
template <class S, class Copy>
__device__ inline void fill_buffers(WgmmaFp8Shared<S>& shared, Ring<S::kStages>& ring, const Copy& copy) {
#pragma unroll 1
  for (int step = 0; step < S::kAllSteps; ++step) {
    barrier_wait(&shared.empty[ring.stage], ring.parity ^ 1);
    copy(ring.stage, step);
    ring.next();
  }
}

// One thread: the weights of a tile, by bulk copies. It arrives once for each buffer.
template <class S>
__device__ inline void copy_weights(WgmmaFp8Shared<S>& shared, Ring<S::kStages>& ring,
                                    const WgmmaWeights& weights, int expert, int first_strip) {
  const int strips = weights.rows / kStripRows;
  const u32 own = u32(max(0, min(S::kStrips, strips - first_strip)));
  const u8* source = weights.tiles + expert * e5m2_expert_bytes(weights.rows, S::kK);
  const u8* distances = weights.scales + expert * e5m2_expert_distances(weights.rows, S::kK);
  const u32 full = shared_address(&shared.full[0]);
  fill_buffers(shared, ring, [&](int stage, int step) {
    const u32 step_k = u32(min(S::kStepK, S::kK - step * S::kStepK));
    const u32 codes = step_k * kStripRows / 2, scales = step_k / 2;  // of a strip
    const u32 barrier = full + u32(stage * 8);
    barrier_expect(barrier, own * (codes + scales));
    if (own > 0) {
      copy_bulk(shared_address(shared.weights[0]) + u32(stage * S::kWeightBytes),
                source + u64(first_strip) * codes, own * codes, barrier);
      copy_bulk(shared_address(shared.scales[0]) + u32(stage * S::kScaleBytes),
                distances + u64(first_strip) * scales, own * scales, barrier);
    }
    source += u64(strips) * codes, distances += u64(strips) * scales;
  });
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
    factors_ = keep(shared_address(&shared.factors[0][(lane & 3) * 4]));
    full_ = keep(shared_address(&shared.full[0]));
  }

  // The sums of one tile with at most kColumns tokens; those of more are left alone.
  template <int kColumns>
  __device__ void compute(Ring<S::kStages>& ring, float (&sums)[S::kBlockM / 2]) const {
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
    for (int piece = 0; piece < kPieces; ++piece)
      add_piece<kColumns, S::kSteps, false>(ring, piece + 1 < kPieces, unit, left0, left1, part_sums, sums);
    if constexpr (kRest > 0 || kHasTail) {
      wait_full(ring);
      if (kRest > 0) {
        load_unit(ring.stage, unit);
      } else {
        load_tail(ring.stage, unit);
      }
      widen_unit<0>(unit, left0);
      add_piece<kColumns, kRest + kHasTail, kHasTail>(ring, false, unit, left0, left1, part_sums, sums);
    }
  }

  // Without computing anything: this warpgroup has no rows that exist.
  __device__ void skip(Ring<S::kStages>& ring) const {
#pragma unroll 1
    for (int step = 0; step < S::kAllSteps; ++step) {
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
  __device__ void add_piece(Ring<S::kStages>& ring, bool more, LaneUnit& unit, u32 (&left0)[2][4],
                            u32 (&left1)[2][4], float (&part_sums)[kColumns / 2],
                            float (&sums)[S::kBlockM / 2]) const {
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
    // All buffers of a piece have the same factors. As many as there are registers for are read while the
    // tensor cores work.
    constexpr int kAll = kColumns / 16, kEarly = min_of(kAll, S::kBlockM > 144 ? 0 : 4);
    const u32 factors = factors_ + u32(previous * S::kBlockM * 4);
    float factor[kAll][4];
#pragma unroll
    for (int c = 0; c < kEarly; ++c) load_factors(factors, c, factor[c]);
    wgmma_wait<0>();
#pragma unroll
    for (int c = 0; c < kAll; ++c) {
      if (c >= kEarly) load_factors(factors, c, factor[c]);
#pragma unroll
      for (int i = 0; i < 8; ++i) sums[8 * c + i] += part_sums[8 * c + i] * factor[c][i / 4 * 2 + i % 2];
    }
    release(previous);
  }

  // Of tokens 2t, 2t+1, 2t+8 and 2t+9 of 16.
  static __device__ void load_factors(u32 factors, int c, float (&factor)[4]) {
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(factor[0]), "=f"(factor[1]), "=f"(factor[2]), "=f"(factor[3])
                 : "r"(factors + u32(c * 64)));
  }

  __device__ u32 token_descriptor(int stage) const {
    return uniform(u32(swizzled_128_descriptor(tokens_ + u32(stage * S::kTokenBytes))));
  }
  __device__ void wait_full(const Ring<S::kStages>& ring) const {
    barrier_wait(full_ + u32(ring.stage * 8), ring.parity);
    if constexpr (S::kGathered) fence_async_shared();
  }
  // Gives a buffer back to the copying threads.
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

  u32 strip_;  // this warp's
  // Addresses in shared memory; of weights, scales and factors, this lane's.
  u32 tokens_, weights_, scales_, factors_, full_;
};

}  // namespace rtjit::moe_mxfp4
