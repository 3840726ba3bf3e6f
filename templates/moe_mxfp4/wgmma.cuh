// What both GEMMs on Hopper's warp-group tensor cores share: the weights, widened to bf16 in registers, are
// the left operand of wgmma, the tokens its columns.
//
// A block has one warpgroup that copies (cp.async into `stages` buffers of 64 k) and kGroups that compute; it
// walks over (token tile, block of weight rows) pairs, and copying runs ahead into the next pair while the
// sums of the last are written out. Buffers change hands by two mbarriers each.
#pragma once

#include "device/async_copy.cuh"
#include "device/matrix.cuh"
#include "device/mbarrier.cuh"
#include "device/pdl.cuh"
#include "device/tensor_map.cuh"
#include "device/wgmma.cuh"
#include "moe_mxfp4/common.cuh"

namespace rtjit::moe_mxfp4 {

constexpr int kCopyThreads = 128;

template <int kBlockM_, int kBlockN_, int kGroups_, int kStages_>
struct WgmmaShape {
  static constexpr int kBlockM = kBlockM_, kBlockN = kBlockN_, kGroups = kGroups_, kStages = kStages_;
  static constexpr int kParts = kBlockN / (64 * kGroups);  // blocks of 64 weight rows per computing warpgroup
  static constexpr int kStrips = kBlockN / kStripRows;
  static constexpr int kThreads = kCopyThreads + 128 * kGroups;
  // The copying warps give most of their registers to the computing ones.
  static constexpr int kCopyRegisters = kGroups == 2 ? 56 : 48;
  static constexpr int kLaunchRegisters = min_of(255, 65536 / kThreads) / 8 * 8;
  static constexpr int kComputeRegisters =
      min_of(240, (kLaunchRegisters * kThreads - kCopyRegisters * kCopyThreads) / (128 * kGroups) / 8 * 8);
  static_assert(kBlockM % 8 == 0 && kBlockN == 64 * kGroups * kParts && kParts >= 1);
  static_assert(kBlockM / 2 * kParts + 40 <= kComputeRegisters, "more sums than registers");
};

template <class S>
struct WgmmaShared {
  alignas(1024) u8 tokens[S::kStages][S::kBlockM * kTileK * 2];
  alignas(128) u8 weights[S::kStages][S::kStrips * kTileBytes];
  u8 scales[S::kStages][S::kStrips * kTileScaleBytes];
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

// The copying warpgroup, one tile; `token_row(m)` is where row m of the tile starts. Rows and strips that are
// not there may be any that can be read: their results are not stored, and each result has a token and a
// weight row of its own.
template <class S, class TokenRow>
__device__ inline void copy_tile(WgmmaShared<S>& shared, Ring<S::kStages>& ring, const WgmmaWeights& weights,
                                 int expert, int first_strip, const TokenRow& token_row) {
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

  const i64 bytes = strip_bytes(weights.k);
  const int scale_bytes = strip_scale_bytes(weights.k);
  const int strips = weights.rows / kStripRows, last_strip = strips - 1 - first_strip;
  const i64 strip = i64(expert) * strips + first_strip;
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

  auto copy_step = [&](bool half) {
    barrier_wait(&shared.empty[ring.stage], ring.parity ^ 1);
    const u32 weight_target = shared_address(shared.weights[ring.stage]) + u32(thread * 16);
#pragma unroll
    for (int i = 0; i < kWeightPasses; ++i) {
      copy_async_16(weight_target + u32(i * kCopyThreads * 16), tiles + strip_offsets[i],
                    !half || weight_piece < kStripPieces / 2);
    }
    tiles += kTileBytes;
    if (thread < S::kBlockN / 8) {
      copy_async_16(shared_address(shared.scales[ring.stage]) + u32(thread * 16), scales,
                    !half || thread % 2 == 0);
    }
    scales += kTileScaleBytes;
    const u32 tokens = shared_address(shared.tokens[ring.stage]) + token_target;
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      if (kBlockM % kRowsPerPass == 0 || first_m + i * kRowsPerPass < kBlockM)
        copy_async_16(tokens + u32(i * kRowsPerPass * 128), rows[i], !half || piece < kPieces / 2);
      rows[i] += kTileK;
    }
    barrier_arrive_after_copies(&shared.full[ring.stage]);
    ring.next();
  };
  const int full_steps = weights.k / kTileK;
#pragma unroll 1
  for (int step = 0; step < full_steps; ++step) copy_step(false);
  if (weights.k % kTileK != 0) copy_step(true);
}

// A computing warpgroup, one tile. Part p of it is block p * kGroups + group of 64 rows, one strip per warp.
template <class S>
struct Sums {
  static constexpr int kParts = S::kParts, kBlockM = S::kBlockM;
  float values[kParts][kBlockM / 2];

  __device__ void compute(WgmmaShared<S>& shared, Ring<S::kStages>& ring, int k, int group) {
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
#pragma unroll
      for (int i = 0; i < kBlockM / 2; ++i) values[p][i] = 0.0f;
    }
    const int lane = int(threadIdx.x & 31), warp = int(threadIdx.x >> 5) & 3;
    const int steps = (k + kTileK - 1) / kTileK;
    u64* previous = nullptr;
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      barrier_wait(&shared.full[ring.stage], ring.parity);
      // The tokens came through the generic proxy; wgmma reads them through the asynchronous one.
      fence_async_shared();
      LaneTile parts[kParts];
      const bool half = k - step * kTileK < kTileK;
#pragma unroll
      for (int p = 0; p < kParts; ++p) {
        const int strip = (p * S::kGroups + group) * 4 + warp;
        parts[p] = load_lane_tile(shared.weights[ring.stage] + strip * kTileBytes,
                                  shared.scales[ring.stage] + strip * kTileScaleBytes, lane, half);
      }
      const u64 tokens = swizzled_128_descriptor(shared_address(shared.tokens[ring.stage]));
      // Two units of 32 k of one part take turns: one is widened while the tensor cores work on the other.
#pragma unroll
      for (int p = 0; p < kParts; ++p) {
        u32 left0[2][4], left1[2][4];
        widen<0>(parts[p], left0);
        multiply(values[p], left0, tokens);
        wgmma_wait<1>();
        if (p == 0) {  // the last unit of the step before is done, and so is its buffer: every lane that read
                       // it says so
          if (previous != nullptr) barrier_arrive(previous);
        }
        widen<1>(parts[p], left1);
        multiply(values[p], left1, tokens + 4);
        wgmma_wait<1>();
      }
      previous = &shared.empty[ring.stage];
      ring.next();
    }
    wgmma_wait<0>();
    barrier_arrive(previous);
  }

 private:
  template <int kGroup>
  static __device__ void widen(const LaneTile& part, u32 (&left)[2][4]) {
    u32 lower[4], upper[4];  // rows g and g + 8
    widen_e2m1(part.words[2 * kGroup], lower);
    widen_e2m1(part.words[2 * kGroup + 1], upper);
    const u32 lower_scale = scale_factor_pair<2 * kGroup>(part.scales);
    const u32 upper_scale = scale_factor_pair<2 * kGroup + 1>(part.scales);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      left[h][0] = multiply_bf16x2(lower[2 * h], lower_scale);
      left[h][1] = multiply_bf16x2(upper[2 * h], upper_scale);
      left[h][2] = multiply_bf16x2(lower[2 * h + 1], lower_scale);
      left[h][3] = multiply_bf16x2(upper[2 * h + 1], upper_scale);
    }
  }

  // Two steps of 16 k, 32 bytes apart in a token's row.
  static __device__ void multiply(float (&sums)[kBlockM / 2], const u32 (&left)[2][4], u64 tokens) {
    wgmma_fence();
    Wgmma<kBlockM>::multiply(sums, left[0], tokens);
    Wgmma<kBlockM>::multiply(sums, left[1], tokens + 2);
    wgmma_commit();
  }
};

// The pairs (token tile, block of weight rows) of this thread block, rows running fastest, so that all tiles
// of an expert are near in time and its weights come from memory once.
template <class Visit>
__device__ inline void for_each_tile(const TokenTile* tiles, const i32* tile_count, int row_blocks,
                                     const i32* expert_offsets, int block_m, const Visit& visit) {
  const int total = *tile_count * row_blocks;
#pragma unroll 1
  for (int index = int(blockIdx.x); index < total; index += int(gridDim.x)) {
    const int t = index / row_blocks;
    const TokenTile tile = tiles[t];
    visit(tile, min(block_m, expert_offsets[tile.expert + 1] - tile.first_row), index - t * row_blocks);
  }
}

// Two sums of neighbouring tokens in every lane, as bf16: what a lane held for weight row g and tokens 2t,
// 2t+1 becomes token g and weight rows 2t, 2t+1, which lie side by side in the output. All lanes must call.
__device__ inline u32 transpose_pairs(float first, float second) {
  return transpose_matrix(u32(float_to_bf16(first)) | u32(float_to_bf16(second)) << 16);
}

// A store without a branch around what computes `value`: many of them overlap.
__device__ inline void store_if(bool take, void* target, u32 value) {
  asm volatile("{.reg .pred p; setp.ne.b32 p, %2, 0; @p st.global.b32 [%0], %1;}" ::"l"(target), "r"(value),
               "r"(int(take))
               : "memory");
}

extern __shared__ __align__(1024) unsigned char wgmma_shared[];

}  // namespace rtjit::moe_mxfp4
