// Activations as MXFP8 for GEMMs that take them so: rows of codes and rows of scale bytes.
//
// The codes of a block of 32 stand in the order in which a lane finds the weights in a packed word: byte
// 8 t + i is k = block_k(t, i). Then one lane multiplies bytes next to each other, and nothing is moved.
#pragma once

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

// Rows of `k` bf16 to codes and scales, a quad of lanes per block: a thread block takes kThreads / 4 of them.
// With a list of token tiles, only the rows that they cover: nobody wrote those of skipped slots.
// A template, so that it is compiled only where it is launched.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    quantise_rows(const u16* values, i64 stride, i64 rows, int k, u8* codes, u8* scales,
                  const TokenTile* token_tiles, const i32* tile_count) {
  wait_for_predecessor();
  let_successor_start();
  if (token_tiles != nullptr) {
    const int tiles = __ldcg(tile_count);
    const TokenTile last = tiles > 0 ? token_tiles[tiles - 1] : TokenTile{};
    rows = last.first_row + last.rows;
  }
  const int blocks = k / kBlockSize, t = int(threadIdx.x & 3);
  const i64 index = i64(blockIdx.x) * (kThreads / 4) + (threadIdx.x >> 2);
  const bool take = index < rows * blocks;
  const i64 row = take ? index / blocks : 0;
  const int block = take ? int(index - row * blocks) : 0;
  u32 pairs[4] = {};
  if (take) {
    const u16* source = values + row * stride + block * kBlockSize + 2 * t;
#pragma unroll
    for (int p = 0; p < 4; ++p) pairs[p] = *reinterpret_cast<const u32*>(source + 8 * p);
  }
  const QuantisedPart part = quantise_part(pairs);
  if (!take) return;
  *reinterpret_cast<uint2*>(codes + row * k + block * kBlockSize + 8 * t) = part.codes;
  if (t == 0) scales[row * scale_pitch(k) + block] = u8(part.scale);
}

}  // namespace rtjit::moe_mxfp4
