// The main loop on block-scaled tensor cores (mma.sync kind::mxf8f6f4). As in mma.cuh the weights are the
// left operand and the tokens its columns; but the weights stay E2M1, one byte per code, the tokens are E4M3,
// and the tensor core applies both scales: widening costs two integer instructions per code and nothing else.
#pragma once

#include "device/mma_block_scaled.cuh"
#include "moe_mxfp4/mxfp8_tokens.cuh"

namespace rtjit::moe_mxfp4 {

template <class T, int kBlockM, int kBlockN, int kBlockK, int kStages>
class ScaledLoop : public ScaledPipeline<ScaledLoop<T, kBlockM, kBlockN, kBlockK, kStages>, T, kBlockM,
                                         kBlockN, kBlockK, kStages> {
  using Pipeline = ScaledPipeline<ScaledLoop, T, kBlockM, kBlockN, kBlockK, kStages>;
  friend MmaPipeline<ScaledLoop, T, kBlockN, kBlockK, kStages>;

 public:
  using Pipeline::Pipeline;
  using Pipeline::sums;
  static constexpr int kUnrolledSums = 16;

 private:
  __device__ void multiply_tile(int stage, int tile, int k_left) {
    const int lane = int(threadIdx.x & 31);
    LaneTile parts[T::kStrips];
    u32 scales[T::kStrips];  // bytes 0 and 2: of the tile's two blocks, of this lane's row
#pragma unroll
    for (int s = 0; s < T::kStrips; ++s) {
      parts[s] = this->lane_tile(stage, s, tile, k_left < kTileK);
      scales[s] = relative_scales(parts[s].scales, parts[s].words) >> (8 * (lane & 1));
    }
    u32 token_scales[T::kColumns];
    this->read_token_scales(stage, tile, token_scales);
    multiply_block<0>(parts, scales, token_scales, stage, tile);
    if (k_left > kBlockSize) multiply_block<1>(parts, scales, token_scales, stage, tile);
  }

  template <int kBlock>
  __device__ void multiply_block(const LaneTile (&parts)[T::kStrips], const u32 (&scales)[T::kStrips],
                                 const u32 (&token_scales)[T::kColumns], int stage, int tile) {
    u32 left[T::kStrips][4];
#pragma unroll
    for (int s = 0; s < T::kStrips; ++s) {
      spread_e2m1(parts[s].words[2 * kBlock], left[s][0], left[s][2]);
      spread_e2m1(parts[s].words[2 * kBlock + 1], left[s][1], left[s][3]);
    }
#pragma unroll
    for (int c = 0; c < T::kColumns; ++c) {
      const uint2 right = this->token_codes(stage, tile * 2 + kBlock, c);
#pragma unroll
      for (int s = 0; s < T::kStrips; ++s)
        mma_e2m1_e4m3<2 * kBlock, kBlock>(sums[s][c], left[s], right.x, right.y, scales[s], token_scales[c]);
    }
  }
};

}  // namespace rtjit::moe_mxfp4
