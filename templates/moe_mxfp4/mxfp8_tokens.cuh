// Tokens as MXFP8 in the pipeline of mma_pipeline.cuh: what the GEMMs on mma.sync that take them so share.
#pragma once

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

// What Loop adds: multiply_tile(stage, tile, k_left).
template <class Loop, class T, int kBlockM, int kBlockN, int kBlockK, int kStages>
class ScaledPipeline : public MmaPipeline<Loop, T, kBlockN, kBlockK, kStages> {
  using Pipeline = MmaPipeline<Loop, T, kBlockN, kBlockK, kStages>;
  friend Pipeline;
  using Pipeline::k_;
  using Pipeline::shared_bytes_;
  using Pipeline::warp_m_;
  static constexpr int kScaleWords = kBlockK / kBlockSize / 4;  // of a token, per step
  static_assert(kBlockK % (4 * kBlockSize) == 0, "scales are copied four at a time");

 public:
  __device__ ScaledPipeline(u8* shared, const Weights& weights, const QuantisedRows& tokens, int expert,
                            int first_strip)
      : Pipeline(shared, weights, expert, first_strip), tokens_(tokens) {}

 protected:
  // Of this lane's token in each group of 8: bytes 0 and 1 are the scales of the tile's two blocks.
  __device__ void read_token_scales(int stage, int tile, u32 (&scales)[T::kColumns]) const {
    const u8* tokens = shared_bytes_ + stage * T::kStageBytes + kBlockM * kBlockK;
#pragma unroll
    for (int c = 0; c < T::kColumns; ++c)
      scales[c] = *reinterpret_cast<const u16*>(tokens + token(c) * (kBlockK / kBlockSize) + tile * 2);
  }

  // This lane's codes of a block of its token in group c.
  __device__ uint2 token_codes(int stage, int block, int c) const {
    const int m = token(c);
    return *reinterpret_cast<const uint2*>(shared_bytes_ + stage * T::kStageBytes + m * kBlockK +
                                           (block ^ (m & 3)) * 32 + int(threadIdx.x & 3) * 8);
  }

 private:
  // The token of this lane in group c of 8.
  __device__ int token(int c) const { return (warp_m_ * T::kColumns + c) * 8 + (int(threadIdx.x & 31) >> 2); }

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

  QuantisedRows tokens_;
};

}  // namespace rtjit::moe_mxfp4
