// Activations as MXFP8 in the form that the wgmma_fp8 variant copies: by token tile, 128 k after 128 k, with
// the block scales moved into the codes and one power of two per row.
#pragma once

#include "device/fp8.cuh"
#include "moe_mxfp4/quantise.cuh"

namespace rtjit::moe_mxfp4 {

// k per step. The codes of a tile's rows f to f + n - 1 start at f * token_pitch(k); there, step s of all
// rows lies at s * n * 128: n rows of 128 bytes, in which 16-byte piece p of row m lies at piece p ^ (m % 8).
// What is beyond k is zeros.
constexpr int kTokenStep = 128;
__host__ __device__ constexpr int token_pitch(int k) { return round_up(k, kTokenStep); }

// Four bf16 values times `scale`, rounded to E4M3, times the power of two in both halves of `shift` (f16),
// rounded again.
__device__ inline u32 quantise_twice(uint2 values, float inverse, u32 shift) {
  u32 result = 0;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const u32 pair = i == 0 ? values.x : values.y;
    u16 codes =
        u16(floats_to_e4m3(bits_float(pair << 16) * inverse, bits_float(pair & 0xffff0000u) * inverse));
    u32 halves;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(codes));
    asm("mul.rn.f16x2 %0, %0, %1;" : "+r"(halves) : "r"(shift));
    asm("cvt.rn.satfinite.e4m3x2.f16x2 %0, %1;" : "=h"(codes) : "r"(halves));
    result |= u32(codes) << (16 * i);
  }
  return result;
}

// Each value is rounded as quantise_rows rounds it and stored relative to the row's largest block: the same
// number, except that what is more than 2^14 below the row's largest loses bits. One warp per row, one thread
// block per 8 rows of a tile. Row r of the sorted slots is row sorted_slots[r] / top_k of `values`, or r
// itself without sorted slots.
template <int kK>
__global__ void __launch_bounds__(256)
    quantise_tiles(const u16* values, i64 stride, const i32* sorted_slots, int top_k,
                   const TokenTile* token_tiles, const i32* tile_counts, int list, int blocks_per_tile,
                   u8* codes, float* factors) {
  wait_for_predecessor();
  let_successor_start();
  const int t = int(blockIdx.x) / blocks_per_tile, lane = int(threadIdx.x & 31);
  if (t >= tile_counts[list]) return;
  const TokenTile tile = token_tiles[t];
  const int m = (int(blockIdx.x) - t * blocks_per_tile) * 8 + int(threadIdx.x >> 5);
  if (m >= tile.rows) return;
  const i64 row = tile.first_row + m;
  const u16* source = values + (sorted_slots != nullptr ? sorted_slots[row] / top_k : row) * stride;
  constexpr int kPasses = div_up(token_pitch(kK), 256);  // of 8 values per lane
  constexpr int kPerLoop = 12;
  static_assert(kPasses >= 1);
  // Magnitudes: of the block of 32 that this lane's values are in, of the row without NaN and infinities.
  auto read = [&](int pass) {
    const int k = pass * 256 + lane * 8;
    return k < kK ? *reinterpret_cast<const uint4*>(source + k) : make_uint4(0, 0, 0, 0);
  };
  auto largest_of = [](const uint4& v) {
    u32 pair = 0;
    const u32 words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) asm("max.u16x2 %0, %0, %1;" : "+r"(pair) : "r"(words[i] & 0x7fff7fffu));
    pair = max(pair & 0xffffu, pair >> 16);
    pair = max(pair, __shfl_xor_sync(0xffffffffu, pair, 1));
    return max(pair, __shfl_xor_sync(0xffffffffu, pair, 2));
  };
  u32 largest = 0;
  constexpr bool kKept = kPasses <= kPerLoop;  // in registers; wider rows are read twice
  uint4 kept[kKept ? kPasses : 1];
  u32 of_block[kKept ? kPasses : 1];
  if constexpr (kKept) {
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) kept[pass] = read(pass);
  }
#pragma unroll kKept ? kPasses : 2
  for (int pass = 0; pass < kPasses; ++pass) {
    const u32 block = largest_of(kKept ? kept[kKept ? pass : 0] : read(pass));
    if (kKept) of_block[kKept ? pass : 0] = block;
    if (block < 0x7f80u) largest = max(largest, block);
  }
#pragma unroll
  for (int distance = 4; distance < 32; distance *= 2)
    largest = max(largest, __shfl_xor_sync(0xffffffffu, largest, distance));
  const u32 row_scale = mxfp8_scale(largest);
  if (lane == 0) factors[row] = bits_float(row_scale == 0 ? 0x00400000u : row_scale << 23);
  u8* target = codes + i64(tile.first_row) * token_pitch(kK) + m * kTokenStep +
               (((lane / 2) & 7) ^ (m & 7)) * 16 + (lane & 1) * 8;
  const i64 step_bytes = i64(tile.rows) * kTokenStep;
#pragma unroll kKept ? kPasses : 2
  for (int pass = 0; pass < kPasses; ++pass) {
    const uint4 v = kKept ? kept[kKept ? pass : 0] : read(pass);
    const u32 scale = mxfp8_scale(kKept ? of_block[kKept ? pass : 0] : largest_of(v));
    const float inverse = mxfp8_inverse(scale);
    // 2^-distance in f16, down to 2^-24; smaller ones leave nothing. A block that is NaN needs none.
    const u32 distance = scale < row_scale ? row_scale - scale : 0;
    const u32 power = distance < 15 ? (15 - distance) << 10 : distance < 25 ? 1u << (24 - distance) : 0;
    const u32 shift = power * 0x10001u;
    uint2 result;
    result.x = quantise_twice(make_uint2(v.x, v.y), inverse, shift);
    result.y = quantise_twice(make_uint2(v.z, v.w), inverse, shift);
    const int step = pass * 2 + lane / 16;
    if (step * kTokenStep < token_pitch(kK)) *reinterpret_cast<uint2*>(target + step * step_bytes) = result;
  }
}

}  // namespace rtjit::moe_mxfp4
