// What both GEMMs on block-scaled tensor cores (mma.sync kind::mxf8f6f4) share. As in mma.cuh the weights are
// the left operand and the tokens its columns; but the weights stay E2M1, one byte per code, the tokens are
// E4M3, and the tensor core applies both scales: widening costs two integer instructions per code and nothing
// else.
#pragma once

#include "device/mma_block_scaled.cuh"
#include "moe_mxfp4/mma_epilogue.cuh"
#include "moe_mxfp4/mma_pipeline.cuh"
#include "moe_mxfp4/quantise.cuh"

namespace rtjit::moe_mxfp4 {

// 32 k of a token: codes and a scale byte.
template <int kBlockM, int kBlockN, int kBlockK, int kWarps, int kStages>
using ScaledTiling = Tiling<kBlockM, kBlockN, kBlockK, kWarps, kStages, kBlockSize + 1>;

// Rows of codes (k bytes each) and of scale bytes (scale_pitch(k)).
struct QuantisedRows {
  const u8 *codes, *scales;
};

template <class T, int kBlockM, int kBlockN, int kBlockK, int kStages>
class ScaledLoop
    : public MmaPipeline<ScaledLoop<T, kBlockM, kBlockN, kBlockK, kStages>, T, kBlockN, kBlockK, kStages> {
  using Pipeline = MmaPipeline<ScaledLoop, T, kBlockN, kBlockK, kStages>;
  friend Pipeline;
  using Pipeline::k_;
  using Pipeline::shared_;
  using Pipeline::shared_bytes_;
  using Pipeline::warp_m_;
  static constexpr int kScaleWords = kBlockK / kBlockSize / 4;  // of a token, per step
  static_assert(kBlockK % (4 * kBlockSize) == 0, "scales are copied four at a time");

 public:
  using Pipeline::sums;
  __device__ ScaledLoop(u8* shared, const Weights& weights, const QuantisedRows& tokens, int expert,
                        int first_strip)
      : Pipeline(shared, weights, expert, first_strip), tokens_(tokens) {}

 private:
  // `token_row(m)` is the row that row m of the token tile comes from, negative for none.
  template <class TokenRow>
  __device__ void load_tokens(u32 target, int step, const TokenRow& token_row) {
    const int thread = int(threadIdx.x);
    // Codes: 16-byte pieces, swizzled in units of 32 so that the lanes' 8-byte loads meet no bank twice.
    constexpr int kPieces = kBlockK / 16;
    static_assert(T::kThreads % kPieces == 0);
    const int piece = thread % kPieces;
    const int k = step * kBlockK + piece * 16;
#pragma unroll
    for (int i = 0; i < div_up(kBlockM * kPieces, T::kThreads); ++i) {
      const int m = thread / kPieces + i * (T::kThreads / kPieces);
      if (kBlockM * kPieces % T::kThreads != 0 && m >= kBlockM) break;
      const i64 row = token_row(m);
      const bool take = row >= 0 && k < k_;
      copy_async_16(target + u32((m * kPieces + (piece ^ ((m & 3) << 1))) * 16),
                    tokens_.codes + (take ? row * k_ + k : 0), take);
    }
    const u32 scales = target + u32(kBlockM * kBlockK);
#pragma unroll
    for (int i = 0; i < div_up(kBlockM * kScaleWords, T::kThreads); ++i) {
      const int word = thread + i * T::kThreads;
      if (kBlockM * kScaleWords % T::kThreads != 0 && word >= kBlockM * kScaleWords) break;
      const i64 row = token_row(word / kScaleWords);
      const int first = step * (kBlockK / kBlockSize) + word % kScaleWords * 4;
      const int left = k_ / kBlockSize - first;
      const int take = row < 0 || left < 0 ? 0 : min_of(left, 4);
      copy_async_4(scales + u32(word * 4), tokens_.scales + (take > 0 ? row * scale_pitch(k_) + first : 0),
                   take);
    }
  }

  __device__ void multiply_tile(int stage, int tile, int k_left) {
    const int lane = int(threadIdx.x & 31);
    LaneTile parts[T::kStrips];
    u32 scales[T::kStrips];  // bytes 0 and 2: of the tile's two blocks, of this lane's row
#pragma unroll
    for (int s = 0; s < T::kStrips; ++s) {
      parts[s] = this->lane_tile(stage, s, tile, k_left < kTileK);
      scales[s] = relative_scales(parts[s].scales, parts[s].words) >> (8 * (lane & 1));
    }
    const u8* tokens = shared_bytes_ + stage * T::kStageBytes;
    u32 token_scales[T::kColumns];  // bytes 0 and 1: of the tile's two blocks
#pragma unroll
    for (int c = 0; c < T::kColumns; ++c) {
      const u8* row = tokens + kBlockM * kBlockK + token(c) * (kBlockK / kBlockSize);
      token_scales[c] = *reinterpret_cast<const u16*>(row + tile * 2);
    }
    multiply_block<0>(parts, scales, tokens, token_scales, tile);
    if (k_left > kBlockSize) multiply_block<1>(parts, scales, tokens, token_scales, tile);
  }

  // The token of this lane in group c of 8.
  __device__ int token(int c) const { return (warp_m_ * T::kColumns + c) * 8 + (int(threadIdx.x & 31) >> 2); }

  template <int kBlock>
  __device__ void multiply_block(const LaneTile (&parts)[T::kStrips], const u32 (&scales)[T::kStrips],
                                 const u8* tokens, const u32 (&token_scales)[T::kColumns], int tile) {
    u32 left[T::kStrips][4];
#pragma unroll
    for (int s = 0; s < T::kStrips; ++s) {
      spread_e2m1(parts[s].words[2 * kBlock], left[s][0], left[s][2]);
      spread_e2m1(parts[s].words[2 * kBlock + 1], left[s][1], left[s][3]);
    }
#pragma unroll
    for (int c = 0; c < T::kColumns; ++c) {
      const int m = token(c), unit = tile * 2 + kBlock;
      const uint2 right = *reinterpret_cast<const uint2*>(tokens + m * kBlockK + (unit ^ (m & 3)) * 32 +
                                                          int(threadIdx.x & 3) * 8);
#pragma unroll
      for (int s = 0; s < T::kStrips; ++s)
        mma_e2m1_e4m3<2 * kBlock, kBlock>(sums[s][c], left[s], right.x, right.y, scales[s], token_scales[c]);
    }
  }

  QuantisedRows tokens_;
};

}  // namespace rtjit::moe_mxfp4
