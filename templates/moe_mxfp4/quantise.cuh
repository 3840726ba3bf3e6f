// Activations as MXFP8 for GEMMs that take them so: rows of codes and rows of scale bytes.
//
// The codes of a block of 32 stand in the order in which a lane finds the weights in a packed word: byte
// 8 t + i is k = block_k(t, i). Then one lane multiplies bytes next to each other, and nothing is moved.
#pragma once

#include "device/fp8.cuh"
#include "device/mxfp8.cuh"
#include "device/pdl.cuh"
#include "moe_mxfp4/common.cuh"

namespace rtjit::moe_mxfp4 {

constexpr int kBlockSize = 32;  // values that share a scale

// Element i of lane t of a quad: pair i / 2 of k 2t, 2t+1, 2t+8, 2t+9, ...
__host__ __device__ constexpr int element_k(int t, int element) {
  return 2 * t + 8 * (element / 2) + element % 2;
}
__host__ __device__ constexpr int block_k(int t, int byte) { return element_k(t, nibble_element(byte)); }

// The byte of a block that holds its k: the inverse of block_k.
__host__ __device__ constexpr int block_byte(int k) {
  const int t = k % 8 / 2, element = k / 8 * 2 + k % 2;
  return 8 * t + ((0x62374051 >> (4 * element)) & 7);
}

// Bytes from one row of scales to the next.
__host__ __device__ constexpr int scale_pitch(int k) { return round_up(k / kBlockSize, 4); }

// Lane t's part of a block.
struct QuantisedPart {
  uint2 codes;
  u32 scale;  // of the whole block
};

// `pairs[p]`: the bf16 values of k 2t + 8p and 2t + 8p + 1. All lanes of the warp must call.
__device__ inline QuantisedPart quantise_part(const u32 (&pairs)[4]) {
  u32 largest = 0;
#pragma unroll
  for (int p = 0; p < 4; ++p) {
    const u32 low = pairs[p] & 0x7fffu, high = (pairs[p] >> 16) & 0x7fffu;
    largest = largest > low ? largest : low;
    largest = largest > high ? largest : high;
  }
#pragma unroll
  for (int distance = 1; distance < 4; distance *= 2) {
    const u32 other = __shfl_xor_sync(0xffffffffu, largest, distance);
    largest = largest > other ? largest : other;
  }
  QuantisedPart result;
  result.scale = mxfp8_scale(largest);
  const float inverse = mxfp8_inverse(result.scale);
  float values[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const u32 pair = pairs[nibble_element(i) / 2];
    values[i] = bits_float(nibble_element(i) % 2 == 0 ? pair << 16 : pair & 0xffff0000u) * inverse;
  }
  result.codes.x = floats_to_e4m3(values[0], values[1]) | (floats_to_e4m3(values[2], values[3]) << 16);
  result.codes.y = floats_to_e4m3(values[4], values[5]) | (floats_to_e4m3(values[6], values[7]) << 16);
  return result;
}

// Which bytes of a part are the codes of pair p, as a selector of prmt: each in both bytes of its half.
__host__ __device__ constexpr u32 pair_selector(int pair) {
  u32 selector = 0;
  for (int byte = 0; byte < 8; ++byte) {
    if (nibble_element(byte) / 2 == pair) selector |= u32(byte * 0x11) << (8 * (nibble_element(byte) % 2));
  }
  return selector;
}

// The inverse of quantise_part, which is exact: codes and scale as bf16 pairs of k 2t + 8p and 2t + 8p + 1.
// Codes of NaN are those of blocks with the scale NaN, and need no care.
__device__ inline void widen_part(uint2 codes, u32 scale, u32 (&pairs)[4]) {
  const u32 factor = scale == 255 ? 0x7fc0u : scale == 0 ? 0x0040u : scale << 7;
  constexpr u32 kSelectors[4] = {pair_selector(0), pair_selector(1), pair_selector(2), pair_selector(3)};
#pragma unroll
  for (int p = 0; p < 4; ++p) {
    const u32 spread = __byte_perm(codes.x, codes.y, kSelectors[p]);
    const u32 placed = ((spread >> 4) & 0x07f007f0u) | (spread & 0x80008000u);  // value * 2^-120
    pairs[p] = multiply_bf16x2(multiply_bf16x2(placed, kE4m3RebiasBf16x2), factor * 0x10001u);
  }
}

// Of quantise_blocks: 32-value blocks that a quad of lanes takes, so that their loads are under way together.
constexpr int kQuantiseItems = 2;

// Thread blocks of kThreads that take `rows` of k values.
template <int kThreads>
__host__ __device__ constexpr int quantising_blocks(int rows, int k) {
  return div_up(rows * (k / kBlockSize), kThreads / 4 * kQuantiseItems);
}

// The part of thread block number `thread_block` in turning rows of `k` bf16 into codes and scales. Any
// kernel can give some of its thread blocks to it; all their threads must call. Numbers of blocks fit 32
// bits: more would be 128 GiB of values.
template <int kThreads>
__device__ inline void quantise_blocks(const u16* values, i64 stride, u32 rows, int k, u8* codes, u8* scales,
                                       u32 thread_block) {
  const u32 blocks = u32(k / kBlockSize), all = rows * blocks, t = threadIdx.x & 3;
  u32 index = thread_block * (kThreads / 4 * kQuantiseItems) + (threadIdx.x >> 2);
  u32 row[kQuantiseItems], block[kQuantiseItems], pairs[kQuantiseItems][4] = {};
#pragma unroll
  for (int i = 0; i < kQuantiseItems; ++i, index += kThreads / 4) {
    row[i] = index / blocks, block[i] = index - row[i] * blocks;
    if (index >= all) continue;
    const u16* source = values + i64(row[i]) * stride + block[i] * kBlockSize + 2 * t;
#pragma unroll
    for (int p = 0; p < 4; ++p) pairs[i][p] = *reinterpret_cast<const u32*>(source + 8 * p);
  }
#pragma unroll
  for (int i = 0; i < kQuantiseItems; ++i) {
    const QuantisedPart part = quantise_part(pairs[i]);
    if (row[i] >= rows) continue;
    *reinterpret_cast<uint2*>(codes + i64(row[i]) * k + block[i] * kBlockSize + 8 * t) = part.codes;
    if (t == 0) scales[i64(row[i]) * scale_pitch(k) + block[i]] = u8(part.scale);
  }
}

// The rows that a list of token tiles covers: nobody wrote those of skipped slots.
// A template, so that it is compiled only where it is launched.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    quantise_rows(const u16* values, i64 stride, int k, u8* codes, u8* scales, const TokenTile* token_tiles,
                  const i32* tile_count) {
  wait_for_predecessor();
  let_successor_start();
  const int tiles = __ldcg(tile_count);
  const TokenTile last = tiles > 0 ? token_tiles[tiles - 1] : TokenTile{};
  quantise_blocks<kThreads>(values, stride, u32(last.first_row + last.rows), k, codes, scales, blockIdx.x);
}

}  // namespace rtjit::moe_mxfp4
