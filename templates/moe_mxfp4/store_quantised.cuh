// From a tile of bf16 in shared memory to rows of MXFP8.
#pragma once

#include "moe_mxfp4/quantise.cuh"

namespace rtjit::moe_mxfp4 {

// Rows of bf16 in shared memory (`kPitch` bytes apart, kWidth values) to rows of codes and scales.
template <int kBlockM, int kWidth, int kPitch, int kThreads, class OutputRow>
__device__ inline void store_quantised(const u8* staged, int first_column, int columns, u8* codes, u8* scales,
                                       const OutputRow& output_row) {
  constexpr int kBlocks = kWidth / kBlockSize;
  const int t = int(threadIdx.x & 3);
#pragma unroll 1
  for (int first = 0; first < kBlockM * kBlocks; first += kThreads / 4) {
    const int index = first + int(threadIdx.x >> 2);
    const int m = index / kBlocks, within = index % kBlocks * kBlockSize;
    const int column = first_column + within;
    const i64 row = index < kBlockM * kBlocks && column < columns ? output_row(m) : -1;
    u32 pairs[4] = {};
    if (row >= 0) {
#pragma unroll
      for (int p = 0; p < 4; ++p)
        pairs[p] = *reinterpret_cast<const u32*>(staged + m * kPitch + (within + 2 * t + 8 * p) * 2);
    }
    const QuantisedPart part = quantise_part(pairs);
    if (row < 0) continue;
    *reinterpret_cast<uint2*>(codes + row * columns + column + 8 * t) = part.codes;
    if (t == 0) scales[row * scale_pitch(columns) + column / kBlockSize] = u8(part.scale);
  }
}

}  // namespace rtjit::moe_mxfp4
