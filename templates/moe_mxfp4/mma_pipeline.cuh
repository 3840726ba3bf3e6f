// The pipeline that GEMMs on mma.sync share, whatever they multiply the weights with: buffers, the copies of
// the packed weights, the sums, and adding them up where warps share k.
#pragma once

#include "device/async_copy.cuh"
#include "moe_mxfp4/block_tile.cuh"

namespace rtjit::moe_mxfp4 {

// How a block's tile is divided. Tokens are split among warps only above 64, because each warp widens the
// weights it uses itself; then rows are split down to 16 per warp; warps that are left over split k.
// kTokenBlockBytes: what 32 k of a token take.
template <int kBlockM, int kBlockN, int kBlockK, int kWarps, int kStages, int kTokenBlockBytes = 64>
struct Tiling {
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kWarpsM = max_of(1, kBlockM / 64);
  static constexpr int kWarpsN = min_of(kBlockN / kStripRows, kWarps / kWarpsM);
  static constexpr int kWarpsK = kWarps / (kWarpsM * kWarpsN);
  static constexpr int kStrips = kBlockN / kWarpsN / kStripRows;  // row strips of a warp
  static constexpr int kColumns = kBlockM / kWarpsM / 8;          // groups of 8 tokens of a warp
  static constexpr int kTilesK = kBlockK / kTileK;

  static constexpr int kTokenBytes = kBlockM * (kBlockK / 32) * kTokenBlockBytes;
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

// What Loop adds: load_tokens(target, step, token_row), which starts the copies of the tokens of a step,
// multiply_tile(stage, tile, k_left), which adds a tile of 64 k (or what is left of it) to the sums, and
// kUnrolledSums: with as many 16 x 8 sums per warp or more, the tiles of a step are not unrolled.
template <class Loop, class T, int kBlockN, int kBlockK, int kStages>
class MmaPipeline {
 public:
  float sums[T::kStrips][T::kColumns][4];

  __device__ MmaPipeline(u8* shared, const Weights& weights, int expert, int first_strip)
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

  // `token_row` is handed to load_tokens.
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

 protected:
  // This lane's part of a tile of one of the warp's strips.
  __device__ LaneTile lane_tile(int stage, int strip, int tile, bool half) const {
    const u8* weights = shared_bytes_ + stage * T::kStageBytes + T::kTokenBytes;
    const u8* scales = weights + T::kWeightBytes;
    const int index = (warp_n_ * T::kStrips + strip) * T::kTilesK + tile;
    return load_lane_tile(weights + index * kTileBytes, scales + index * kTileScaleBytes,
                          int(threadIdx.x & 31), half);
  }

  u32 shared_;
  u8* shared_bytes_;
  int k_, strips_left_, warp_m_, warp_n_, warp_k_;

 private:
  template <class TokenRow>
  __device__ void load(int stage, int step, const TokenRow& token_row) {
    const int thread = int(threadIdx.x);
    const u32 target = shared_ + u32(stage * T::kStageBytes);
    static_cast<Loop*>(this)->load_tokens(target, step, token_row);
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
    // Unrolling more would only cost compile time and registers.
    constexpr int kUnroll = T::kStrips * T::kColumns >= Loop::kUnrolledSums ? 1 : T::kTilesK;
#pragma unroll kUnroll
    for (int tile = warp_k_; tile < T::kTilesK; tile += T::kWarpsK) {
      const int left = k_ - step * kBlockK - tile * kTileK;
      if (left <= 0) break;
      static_cast<Loop*>(this)->multiply_tile(stage, tile, left);
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

  i64 strip_bytes_;
  const u8* weights_;
  const u8* scales_;
};

extern __shared__ __align__(128) unsigned char shared_memory[];

}  // namespace rtjit::moe_mxfp4
