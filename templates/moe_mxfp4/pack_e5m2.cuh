// From the checkpoint's linear layout to the one that the wgmma_fp8 variant widens to E5M2: strips and tiles
// as in common.cuh, words as in e5m2.cuh, and for each block how far its scale is from its row's largest.
#pragma once

#include "device/e5m2.cuh"
#include "moe_mxfp4/e5m2_layout.cuh"
#include "moe_mxfp4/pack.cuh"

namespace rtjit::moe_mxfp4 {

// The exponent is the largest byte itself; kNanRow if that is NaN.
__global__ void __launch_bounds__(256)
    pack_e5m2_rows(const u8* blocks, const u8* scales, const void* bias, int bias_bytes, int rows, int k,
                   int order, i64 all_rows, u8* row_exponents, void* packed_bias) {
  pack_row<0>(blocks, scales, bias, bias_bytes, rows, k, order, all_rows, row_exponents, packed_bias,
              [](u32 largest) { return largest; });
}

// One warp per tile of 16 rows x 64 k. Blocks more than 2^kFarthest below their row become zeros, as do those
// of NaN rows. grid: one block of 256 threads per 8 tiles of all experts.
__global__ void __launch_bounds__(256)
    pack_e5m2_tiles(const u8* blocks, const u8* scales, const u8* row_exponents, int rows, int k, int order,
                    i64 all_tiles, u8* packed, u8* packed_distances) {
  const i64 tile = i64(blockIdx.x) * 8 + (threadIdx.x >> 5);
  if (tile >= all_tiles) return;
  const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
  const int tiles_k = (k + kTileK - 1) / kTileK, strips = rows / kStripRows;
  const i64 strip = tile / tiles_k;  // of all experts
  const int tile_k = int(tile % tiles_k), groups = min(2, (k - tile_k * kTileK) / 32);
  const i64 expert = strip / strips, offset = e5m2_tile_offset(rows, k, int(strip % strips), tile_k);
  u8* target = packed + expert * e5m2_expert_bytes(rows, k) + offset;
  u8* target_distances = packed_distances + expert * e5m2_expert_distances(rows, k) + offset / 16;
  for (int group = 0; group < groups; ++group) {
    for (int upper = 0; upper < 2; ++upper) {
      const i64 packed_row = strip * kStripRows + g + 8 * upper;
      const i64 source = expert * rows + checkpoint_row(order, int(packed_row % rows), rows);
      const i64 block = source * (k / 32) + tile_k * 2 + group;
      const u32 largest = row_exponents[packed_row], scale = scales[block];
      // A larger scale than the row's is that of a block of zeros.
      const bool any = scale <= largest && largest - scale <= kFarthest && largest != kNanRow;
      u32 word = 0;
      for (int half = 0; half < 2 && any; ++half) {  // k 4t to 4t + 3, plus 16
        for (int pair = 0; pair < 2; ++pair) {
          const u32 codes = blocks[block * 16 + 8 * half + 2 * t + pair];
          word |=
              place_e5m2(codes & 15, 4 * half + 2 * pair) | place_e5m2(codes >> 4, 4 * half + 2 * pair + 1);
        }
      }
      reinterpret_cast<u32*>(target)[lane * 2 * groups + 2 * group + upper] = word;
      if (t == 0) target_distances[g * 2 * groups + 2 * group + upper] = u8(any ? 4 * (largest - scale) : 0);
    }
  }
}

}  // namespace rtjit::moe_mxfp4
