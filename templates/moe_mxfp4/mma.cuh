// What both GEMMs on tensor cores (mma.sync bf16) share: the weights are the left operand, the tokens its
// columns.
//
// A block computes block_n weight rows for block_m tokens of one expert. Weights, scales and gathered token
// rows arrive by cp.async in `stages` buffers of block_k; weights are widened to bf16 in registers with their
// scale folded in. Small token counts are bound by the weight stream, so tiles may be as narrow as 8 tokens;
// there the warps of a block can also share the k range (see kWarpsK).
#pragma once

#include "device/async_copy.cuh"
#include "device/matrix.cuh"
#include "moe_mxfp4/common.cuh"

namespace rtjit::moe_mxfp4 {

// How a block's tile is divided. Tokens are split among warps only above 64, because each warp widens the
// weights it uses itself; then rows are split down to 16 per warp; warps that are left over split k.
template <int kBlockM, int kBlockN, int kBlockK, int kWarps, int kStages>
struct Tiling {
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kWarpsM = max_of(1, kBlockM / 64);
  static constexpr int kWarpsN = min_of(kBlockN / kStripRows, kWarps / kWarpsM);
  static constexpr int kWarpsK = kWarps / (kWarpsM * kWarpsN);
  static constexpr int kStrips = kBlockN / kWarpsN / kStripRows;  // row strips of a warp
  static constexpr int kColumns = kBlockM / kWarpsM / 8;          // groups of 8 tokens of a warp
  static constexpr int kTilesK = kBlockK / kTileK;

  static constexpr int kTokenBytes = kBlockM * kBlockK * 2;
  static constexpr int kWeightBytes = kBlockN * kBlockK / 2;
  static constexpr int kScaleBytes = kBlockN * kBlockK / 32;
  static constexpr int kStageBytes = kTokenBytes + kWeightBytes + kScaleBytes;
  static constexpr int kReduceBytes = (kWarpsK - 1) * kBlockM * kBlockN * 4;

  static_assert(kWarpsM * kWarpsN * kWarpsK == kWarps && kWarpsK <= kTilesK);
  static_assert(kBlockM % 8 == 0 && kBlockM <= 128 && kBlockK % kTileK == 0 && kStages >= 2);
  static_assert(kStrips * kColumns <= 32, "more accumulators than registers");
};

// Shared memory of a block; the pipeline's buffers are used again for what follows the main loop.
template <class T, int kBlockM, int kStages, int kOutputBytes>
struct Storage {
  alignas(128) u8 bytes[max_of(kStages * T::kStageBytes, max_of(T::kReduceBytes, kOutputBytes))];
  i32 rows[kBlockM];  // GEMM1: the token of each row; GEMM2: its slot; -1 where the tile has no row
};

// The matrix that a block multiplies with: packed weights of one GEMM.
struct Weights {
  const u8* tiles;
  const u8* scales;
  int rows, k;
};

template <class T, int kBlockM, int kBlockN, int kBlockK, int kStages>
class MainLoop {
 public:
  float sums[T::kStrips][T::kColumns][4];

  // `token_rows(m)` is where row m of the token tile starts, null for none.
  __device__ MainLoop(u8* shared, const Weights& weights, int expert, int first_strip)
      : shared_(shared_address(shared)), shared_bytes_(shared), k_(weights.k) {
    const int strips = weights.rows / kStripRows;
    const int thread = int(threadIdx.x);
    strip_bytes_ = strip_bytes(k_);
    const i64 strip = i64(expert) * strips + first_strip;
    weights_ = weights.tiles + strip * strip_bytes_;
    scales_ = weights.scales + strip * strip_scale_bytes(k_);
    strips_left_ = strips - first_strip;
    warp_m_ = (thread >> 5) % T::kWarpsM;
    warp_n_ = (thread >> 5) / T::kWarpsM % T::kWarpsN;
    warp_k_ = (thread >> 5) / (T::kWarpsM * T::kWarpsN);
  }

  template <class TokenRow>
  __device__ void run(const TokenRow& token_row) {
#pragma unroll
    for (int s = 0; s < T::kStrips; ++s) {
#pragma unroll
      for (int c = 0; c < T::kColumns; ++c) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[s][c][i] = 0.0f;
      }
    }
    const int steps = (k_ + kBlockK - 1) / kBlockK;
#pragma unroll
    for (int s = 0; s < kStages - 1; ++s) {
      if (s < steps) load(s, s, token_row);
      copy_async_commit();
    }
    int stage = 0, free_stage = kStages - 1;
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      copy_async_wait<kStages - 2>();
      __syncthreads();
      if (step + kStages - 1 < steps) load(free_stage, step + kStages - 1, token_row);
      copy_async_commit();
      compute(stage, step);
      stage = stage + 1 == kStages ? 0 : stage + 1;
      free_stage = free_stage + 1 == kStages ? 0 : free_stage + 1;
    }
    copy_async_wait<0>();
    __syncthreads();
    if constexpr (T::kWarpsK > 1) add_warps_k();
  }

  // Whether this warp holds the block's sums after run().
  __device__ bool holds_sums() const { return warp_k_ == 0; }
  __device__ int warp_m() const { return warp_m_; }
  __device__ int warp_n() const { return warp_n_; }

 private:
  template <class TokenRow>
  __device__ void load(int stage, int step, const TokenRow& token_row) {
    const int thread = int(threadIdx.x);
    const u32 target = shared_ + u32(stage * T::kStageBytes);
    // Tokens: rows of kBlockK bf16 in 16-byte pieces, swizzled so that ldmatrix meets no bank twice.
    constexpr int kPieces = kBlockK / 8;
    static_assert(T::kThreads % kPieces == 0);
    const int piece = thread % kPieces;
    const int k = step * kBlockK + piece * 8;
#pragma unroll
    for (int i = 0; i < div_up(kBlockM * kPieces, T::kThreads); ++i) {
      const int m = thread / kPieces + i * (T::kThreads / kPieces);
      if (kBlockM * kPieces % T::kThreads != 0 && m >= kBlockM) break;
      bool take = k < k_;
      const u16* source = token_row(m, take);
      copy_async_16(target + u32((m * kPieces + (piece ^ (m & 7))) * 16), source + (take ? k : 0), take);
    }
    // Weights: kTilesK tiles of each strip; the strip's end is where k ends.
    constexpr int kStripPieces = T::kTilesK * kTileBytes / 16;
    static_assert(T::kThreads % kStripPieces == 0);
    const i64 offset = i64(step) * (T::kTilesK * kTileBytes) + thread % kStripPieces * 16;
#pragma unroll
    for (int i = 0; i < div_up(kBlockN / kStripRows * kStripPieces, T::kThreads); ++i) {
      const int strip = thread / kStripPieces + i * (T::kThreads / kStripPieces);
      if (kBlockN / kStripRows * kStripPieces % T::kThreads != 0 && strip >= kBlockN / kStripRows) break;
      const bool take = strip < strips_left_ && offset < strip_bytes_;
      copy_async_16(target + u32(T::kTokenBytes + (thread + i * T::kThreads) * 16),
                    weights_ + (take ? strip * strip_bytes_ + offset : 0), take);
    }
    constexpr int kScalePieces = T::kTilesK * kTileScaleBytes / 16;
    static_assert(kBlockN / kStripRows * kScalePieces <= T::kThreads);
    if (thread < kBlockN / kStripRows * kScalePieces) {
      const int strip = thread / kScalePieces;
      const int scale_offset = step * (T::kTilesK * kTileScaleBytes) + thread % kScalePieces * 16;
      const bool take = strip < strips_left_ && scale_offset < strip_scale_bytes(k_);
      copy_async_16(target + u32(T::kTokenBytes + T::kWeightBytes + thread * 16),
                    scales_ + (take ? i64(strip) * strip_scale_bytes(k_) + scale_offset : 0), take);
    }
  }

  __device__ void compute(int stage, int step) {
    // Unrolling more than this much work would only cost compile time.
    constexpr int kUnroll = T::kStrips * T::kColumns >= 16 ? 1 : T::kTilesK;
#pragma unroll kUnroll
    for (int tile = warp_k_; tile < T::kTilesK; tile += T::kWarpsK) {
      const int left = k_ - step * kBlockK - tile * kTileK;
      if (left <= 0) break;
      compute_tile(stage, tile, left < kTileK);
    }
  }

  __device__ void compute_tile(int stage, int tile, bool half) {
    const int lane = int(threadIdx.x & 31);
    const u8* weights = shared_bytes_ + stage * T::kStageBytes + T::kTokenBytes;
    const u8* scales = weights + T::kWeightBytes;
    LaneTile parts[T::kStrips];
#pragma unroll
    for (int s = 0; s < T::kStrips; ++s) {
      const int index = (warp_n_ * T::kStrips + s) * T::kTilesK + tile;
      parts[s] = load_lane_tile(weights + index * kTileBytes, scales + index * kTileScaleBytes, lane, half);
    }
    compute_group<0>(parts, stage, tile);
    compute_group<1>(parts, stage, tile);
  }

  // One scale group: 32 k, two mma steps.
  template <int kGroup>
  __device__ void compute_group(const LaneTile (&parts)[T::kStrips], int stage, int tile) {
    u32 left[T::kStrips][2][4];
#pragma unroll
    for (int s = 0; s < T::kStrips; ++s) {
      u32 lower[4], upper[4];  // rows g and g + 8
      widen_e2m1(parts[s].words[2 * kGroup], lower);
      widen_e2m1(parts[s].words[2 * kGroup + 1], upper);
      const u32 lower_scale = scale_factor_pair<2 * kGroup>(parts[s].scales);
      const u32 upper_scale = scale_factor_pair<2 * kGroup + 1>(parts[s].scales);
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        left[s][h][0] = multiply_bf16x2(lower[2 * h], lower_scale);
        left[s][h][1] = multiply_bf16x2(upper[2 * h], upper_scale);
        left[s][h][2] = multiply_bf16x2(lower[2 * h + 1], lower_scale);
        left[s][h][3] = multiply_bf16x2(upper[2 * h + 1], upper_scale);
      }
    }
    const int lane = int(threadIdx.x & 31);
    const u32 tokens = shared_ + u32(stage * T::kStageBytes);
    constexpr int kRowBytes = kBlockK * 2;
    const int piece = tile * 8 + kGroup * 4;  // of 8 k
    if constexpr (T::kColumns == 1) {
      u32 right[4];
      const int m = lane & 7;
      load_matrix_x4(right, tokens + u32(m * kRowBytes + ((piece + (lane >> 3)) ^ m) * 16));
#pragma unroll
      for (int s = 0; s < T::kStrips; ++s) {
        mma_bf16(sums[s][0], left[s][0], right[0], right[1]);
        mma_bf16(sums[s][0], left[s][1], right[2], right[3]);
      }
    } else {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
#pragma unroll
        for (int c = 0; c < T::kColumns; c += 2) {
          u32 right[4];
          const int m = (warp_m_ * T::kColumns + c) * 8 + (lane & 7) + (lane >> 4) * 8;
          load_matrix_x4(right,
                         tokens + u32(m * kRowBytes + ((piece + 2 * h + ((lane >> 3) & 1)) ^ (m & 7)) * 16));
#pragma unroll
          for (int s = 0; s < T::kStrips; ++s) {
            mma_bf16(sums[s][c], left[s][h], right[0], right[1]);
            mma_bf16(sums[s][c + 1], left[s][h], right[2], right[3]);
          }
        }
      }
    }
  }

  // Adds the sums of the warps that shared the k range, in a fixed order, into those of warp_k 0.
  __device__ void add_warps_k() {
    constexpr int kSums = T::kStrips * T::kColumns * 4;
    float* parts = reinterpret_cast<float*>(shared_bytes_);
    const int lane = int(threadIdx.x & 31);
    const int place = warp_n_ * T::kWarpsM + warp_m_;
    if (warp_k_ > 0) {
      float* mine = parts + ((warp_k_ - 1) * T::kWarpsN * T::kWarpsM + place) * kSums * 32 + lane;
      for_each_sum([&](int i, float& sum) { mine[i * 32] = sum; });
    }
    __syncthreads();
    if (warp_k_ == 0) {
      for (int w = 1; w < T::kWarpsK; ++w) {
        const float* other = parts + ((w - 1) * T::kWarpsN * T::kWarpsM + place) * kSums * 32 + lane;
        for_each_sum([&](int i, float& sum) { sum += other[i * 32]; });
      }
    }
    __syncthreads();
  }

  template <class F>
  __device__ void for_each_sum(const F& visit) {
#pragma unroll
    for (int s = 0; s < T::kStrips; ++s) {
#pragma unroll
      for (int c = 0; c < T::kColumns; ++c) {
#pragma unroll
        for (int i = 0; i < 4; ++i) visit((s * T::kColumns + c) * 4 + i, sums[s][c][i]);
      }
    }
  }

  u32 shared_;
  u8* shared_bytes_;
  int k_, strips_left_, warp_m_, warp_n_, warp_k_;
  i64 strip_bytes_;
  const u8* weights_;
  const u8* scales_;
};

// The tile of this block: blocks are numbered with the weight rows running fastest, so that the tiles of one
// expert follow each other and its weights come from memory once. False: beyond the last tile.
__device__ inline bool find_tile(const TokenTile* tiles, const i32* tile_count, int row_blocks,
                                 TokenTile* tile, int* row_block) {
  const int index = int(blockIdx.x) / row_blocks;
  if (index >= *tile_count) return false;
  *tile = tiles[index];
  *row_block = int(blockIdx.x) - index * row_blocks;
  return true;
}

// Copies a staged tile to rows of `output`, 16 bytes at a time.
template <int kBlockM, int kWidth, int kPitch, int kThreads, class OutputRow>
__device__ inline void store_rows(const u8* staged, int first_column, int columns,
                                  const OutputRow& output_row) {
  constexpr int kPieces = kWidth / 8;
#pragma unroll 4
  for (int i = int(threadIdx.x); i < kBlockM * kPieces; i += kThreads) {
    const int m = i / kPieces, piece = i % kPieces;
    const int column = first_column + piece * 8;
    u16* row = output_row(m);
    if (row == nullptr || column >= columns) continue;
    *reinterpret_cast<uint4*>(row + column) =
        *reinterpret_cast<const uint4*>(staged + m * kPitch + piece * 16);
  }
}

extern __shared__ __align__(128) unsigned char shared_memory[];

}  // namespace rtjit::moe_mxfp4
