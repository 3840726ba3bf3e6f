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
#include "moe_mxfp4/mma_epilogue.cuh"
#include "moe_mxfp4/mma_pipeline.cuh"

namespace rtjit::moe_mxfp4 {

template <class T, int kBlockM, int kBlockN, int kBlockK, int kStages>
class MainLoop
    : public MmaPipeline<MainLoop<T, kBlockM, kBlockN, kBlockK, kStages>, T, kBlockN, kBlockK, kStages> {
  using Pipeline = MmaPipeline<MainLoop, T, kBlockN, kBlockK, kStages>;
  friend Pipeline;
  using Pipeline::k_;
  using Pipeline::shared_;
  using Pipeline::warp_m_;

 public:
  using Pipeline::Pipeline;
  using Pipeline::sums;
  static constexpr int kUnrolledSums = 16;

 private:
  // `token_row(m, take)` is where row m of the token tile starts; it may clear `take`.
  template <class TokenRow>
  __device__ void load_tokens(u32 target, int step, const TokenRow& token_row) {
    const int thread = int(threadIdx.x);
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
  }

  __device__ void multiply_tile(int stage, int tile, int k_left) {
    LaneTile parts[T::kStrips];
#pragma unroll
    for (int s = 0; s < T::kStrips; ++s) parts[s] = this->lane_tile(stage, s, tile, k_left < kTileK);
    compute_group<0>(parts, stage, tile);
    compute_group<1>(parts, stage, tile);
  }

  // One scale group: 32 k, two mma steps.
  template <int kGroup>
  __device__ void compute_group(const LaneTile (&parts)[T::kStrips], int stage, int tile) {
    u32 left[T::kStrips][2][4];
#pragma unroll
    for (int s = 0; s < T::kStrips; ++s) widen_group<kGroup>(parts[s], left[s]);
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
};

}  // namespace rtjit::moe_mxfp4
