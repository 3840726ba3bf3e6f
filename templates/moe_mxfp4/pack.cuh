// From the checkpoint's linear layout to the packed one: strips of 16 rows, tiles of 64 k
// (moe_mxfp4/common.cuh). Once per model load; every value is kept, nothing is padded.
#pragma once

#include "moe_mxfp4/common.cuh"

namespace rtjit::moe_mxfp4 {

// How rows of the checkpoint become rows of strips.
enum RowOrder {
  kPlain = 0,         // W2: as they are
  kInterleaved = 1,   // W1: rows 2i = gate, 2i+1 = up
  kHalvesGateUp = 2,  // W1: all gate rows, then all up rows
  kHalvesUpGate = 3,
};

// The checkpoint row that stands in packed row `row`. In W1 the first 8 rows of a strip are gates and the
// last 8 the ups that belong to them, so that one thread of the GEMM holds both.
__device__ inline int checkpoint_row(int order, int row, int rows) {
  if (order == kPlain) return row;
  const int strip = row / kStripRows, within = row % kStripRows;
  const int i = strip * 8 + within % 8;
  const bool up = within >= 8;
  if (order == kInterleaved) return 2 * i + (up ? 1 : 0);
  return i + (up == (order == kHalvesGateUp) ? rows / 2 : 0);
}

// One warp per packed row of all experts (8 per block of 256 threads): its bias, and as its exponent what
// `exponent` makes of the largest E8M0 byte above kLeast of a block that is not all zero (0 if there is
// none).
template <u32 kLeast, class Exponent>
__device__ inline void pack_row(const u8* blocks, const u8* scales, const void* bias, int bias_bytes,
                                int rows, int k, int order, i64 all_rows, u8* row_exponents,
                                void* packed_bias, const Exponent& exponent) {
  const i64 packed_row = i64(blockIdx.x) * 8 + (threadIdx.x >> 5);
  if (packed_row >= all_rows) return;
  const int lane = int(threadIdx.x & 31);
  const i64 expert = packed_row / rows;
  const i64 source = expert * rows + checkpoint_row(order, int(packed_row % rows), rows);
  u32 largest = 0;
  for (int block = lane; block < k / 32; block += 32) {
    const u32 scale = scales[source * (k / 32) + block];
    if (scale <= kLeast || scale <= largest) continue;
    u32 any = scale == kNanRow ? 1 : 0;
    for (int i = 0; i < 16; ++i) any |= blocks[source * (k / 2) + block * 16 + i] & 0x77u;
    if (any != 0) largest = scale;
  }
  for (int distance = 16; distance > 0; distance /= 2) {
    const u32 other = __shfl_xor_sync(0xffffffffu, largest, distance);
    largest = other > largest ? other : largest;
  }
  if (lane != 0) return;
  row_exponents[packed_row] = u8(exponent(largest));
  if (bias_bytes == 2) static_cast<u16*>(packed_bias)[packed_row] = static_cast<const u16*>(bias)[source];
  if (bias_bytes == 4) static_cast<u32*>(packed_bias)[packed_row] = static_cast<const u32*>(bias)[source];
}

// The exponent (see row_factor) is how far the largest byte exceeds 128, so that stored scale bytes fit;
// kNanRow if a byte is 255.
__global__ void __launch_bounds__(256)
    pack_rows(const u8* blocks, const u8* scales, const void* bias, int bias_bytes, int rows, int k,
              int order, i64 all_rows, u8* row_exponents, void* packed_bias) {
  pack_row<128>(blocks, scales, bias, bias_bytes, rows, k, order, all_rows, row_exponents, packed_bias,
                [](u32 largest) { return largest == kNanRow ? kNanRow
                                         : largest > 128    ? largest - 128
                                                            : 0; });
}

// The scale byte that the GEMM reads: exponent field of 2^(scale - row exponent - 127) * 2^126.
// Blocks of zeros may have a scale above what the row allows; any factor will do for them.
__device__ inline u8 stored_scale(u32 scale, u32 row_exponent) {
  if (row_exponent == kNanRow) return 126;
  const u32 field = scale + 126 - row_exponent;
  return u8(field > 254 ? 254 : field);
}

// One warp per tile of 16 rows x 64 k. grid: one block of 256 threads per 8 tiles of all experts.
__global__ void __launch_bounds__(256)
    pack_tiles(const u8* blocks, const u8* scales, const u8* row_exponents, int rows, int k, int order,
               i64 all_tiles, u8* packed, u8* packed_scales) {
  const i64 tile = i64(blockIdx.x) * 8 + (threadIdx.x >> 5);
  if (tile >= all_tiles) return;
  const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
  const int tiles_k = (k + kTileK - 1) / kTileK, strips = rows / kStripRows;
  const i64 strip = tile / tiles_k;  // of all experts
  const int tile_k = int(tile % tiles_k), groups = min(2, (k - tile_k * kTileK) / 32);
  u8* target = packed + strip * strip_bytes(k) + i64(tile_k) * kTileBytes;
  u8* target_scales = packed_scales + strip * strip_scale_bytes(k) + i64(tile_k) * kTileScaleBytes;
  for (int group = 0; group < groups; ++group) {
    for (int upper = 0; upper < 2; ++upper) {
      const i64 packed_row = strip * kStripRows + g + 8 * upper;
      const i64 source = strip / strips * rows + checkpoint_row(order, int(packed_row % rows), rows);
      const i64 block = source * (k / 32) + tile_k * 2 + group;
      u32 word = 0;
      for (int pair = 0; pair < 4; ++pair) {  // k 2t, 2t+1 plus 8 * pair
        const u32 codes = blocks[block * 16 + t + 4 * pair];
        word |= place_e2m1(codes & 15, pair, 0) | place_e2m1(codes >> 4, pair, 1);
      }
      reinterpret_cast<u32*>(target)[lane * 2 * groups + 2 * group + upper] = word;
      if (t == 0)
        target_scales[g * 2 * groups + 2 * group + upper] =
            stored_scale(scales[block], row_exponents[packed_row]);
    }
  }
}

}  // namespace rtjit::moe_mxfp4
