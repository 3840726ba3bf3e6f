// The main loop for tokens as MXFP8 on bf16 tensor cores (mma.sync): as in mma.cuh, but tokens are widened in
// registers, too. Codes times their scale are exact in bf16, for x and h were bf16 before they were rounded.
#pragma once

#include "device/matrix.cuh"
#include "moe_mxfp4/mxfp8_tokens.cuh"

namespace rtjit::moe_mxfp4 {

template <class T, int kBlockM, int kBlockN, int kBlockK, int kStages>
class WidenedLoop : public ScaledPipeline<WidenedLoop<T, kBlockM, kBlockN, kBlockK, kStages>, T, kBlockM,
                                          kBlockN, kBlockK, kStages> {
  using Pipeline = ScaledPipeline<WidenedLoop, T, kBlockM, kBlockN, kBlockK, kStages>;
  friend MmaPipeline<WidenedLoop, T, kBlockN, kBlockK, kStages>;

 public:
  using Pipeline::Pipeline;
  using Pipeline::sums;
  static constexpr int kUnrolledSums = 8;

 private:
  __device__ void multiply_tile(int stage, int tile, int k_left) {
    LaneTile parts[T::kStrips];
#pragma unroll
    for (int s = 0; s < T::kStrips; ++s) parts[s] = this->lane_tile(stage, s, tile, k_left < kTileK);
    u32 token_scales[T::kColumns];
    this->read_token_scales(stage, tile, token_scales);
    multiply_block<0>(parts, token_scales, stage, tile);
    if (k_left > kBlockSize) multiply_block<1>(parts, token_scales, stage, tile);
  }

  template <int kBlock>
  __device__ void multiply_block(const LaneTile (&parts)[T::kStrips], const u32 (&token_scales)[T::kColumns],
                                 int stage, int tile) {
    u32 left[T::kStrips][2][4];
#pragma unroll
    for (int s = 0; s < T::kStrips; ++s) widen_group<kBlock>(parts[s], left[s]);
#pragma unroll
    for (int c = 0; c < T::kColumns; ++c) {
      u32 right[4];
      widen_part(this->token_codes(stage, tile * 2 + kBlock, c), (token_scales[c] >> (8 * kBlock)) & 255u,
                 right);
#pragma unroll
      for (int s = 0; s < T::kStrips; ++s) {
        mma_bf16(sums[s][c], left[s][0], right[0], right[1]);
        mma_bf16(sums[s][c], left[s][1], right[2], right[3]);
      }
    }
  }
};

}  // namespace rtjit::moe_mxfp4
