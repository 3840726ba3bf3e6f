// Activations as MXFP8 in the form that Hopper's GEMMs take: in panels of 128 k, with the block scales moved
// into the codes and one power of two per row and panel.
//
// Each value is rounded as quantise_blocks rounds it and stored relative to the largest block of up to
// kSharedK of its row: the same number, except that what is more than 2^14 below that block's largest loses
// bits.
#pragma once

#include "device/fp8.cuh"
#include "moe_mxfp4/quantise.cuh"

namespace rtjit::moe_mxfp4 {

// Panel p of row r: 128 codes from (p * rows + r) * 128 on, zeros beyond k, and the factor p * rows + r.
// Codes of h are copied as they lie to where wgmma reads them, so there the 16-byte piece q of a row is piece
// q ^ (m % 8), where m is the row's place in its tile. Tiles of an expert are multiples of 8 rows apart: all
// lists of them agree on it.
constexpr int kPanelK = 128;
// k whose panels have the same factor: sums of so much are multiplied at once.
constexpr int kSharedK = 2 * kPanelK;
__host__ __device__ constexpr int panels_of(int k) { return div_up(k, kPanelK); }

// The largest magnitude of eight bf16 values, as its bits.
__device__ inline u32 largest_magnitude(const uint4& values) {
  const u32 words[4] = {values.x, values.y, values.z, values.w};
  u32 pair = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) asm("max.u16x2 %0, %0, %1;" : "+r"(pair) : "r"(words[i] & 0x7fff7fffu));
  return max(pair & 0xffffu, pair >> 16);
}

// The codes of four bf16 values times `inverse`.
__device__ inline u32 round_to_e4m3(u32 first, u32 second, float inverse) {
  auto pair = [&](u32 two) {
    return floats_to_e4m3(bits_float(two << 16) * inverse, bits_float(two & 0xffff0000u) * inverse);
  };
  return pair(first) | (pair(second) << 16);
}

// What codes of a block with this scale are multiplied with where the factor is 2^top: a power of two in both
// halves (f16). Below 2^-24 it leaves nothing. A block that is NaN needs none.
__device__ inline u32 relative_power(u32 scale, u32 top) {
  const u32 distance = scale < top ? top - scale : 0;
  const u32 power = distance < 15 ? (15 - distance) << 10 : distance < 25 ? 1u << (24 - distance) : 0;
  return power * 0x10001u;
}

// Four codes times `power`, rounded.
__device__ inline u32 multiply_e4m3(u32 codes, u32 power) {
  u32 result = 0;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    u16 pair = u16(codes >> (16 * i));
    u32 halves;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(pair));
    asm("mul.rn.f16x2 %0, %0, %1;" : "+r"(halves) : "r"(power));
    asm("cvt.rn.satfinite.e4m3x2.f16x2 %0, %1;" : "=h"(pair) : "r"(halves));
    result |= u32(pair) << (16 * i);
  }
  return result;
}

// The scale that counts among those of a row: one of NaN has no say.
__device__ inline u32 numeric_scale(u32 scale) { return scale == 255 ? 0 : scale; }

struct Panels {
  u8* codes;
  float* factors;
  i64 rows;
};

// kSharedK values of a row, from first_k on, by one warp, eight per lane. `swizzle`: 0 or m % 8.
__device__ inline void quantise_shared(const uint4& values, const Panels& panels, i64 row, int k, int first_k,
                                       int swizzle) {
  const int lane = int(threadIdx.x & 31);
  u32 magnitude = largest_magnitude(values);
  magnitude = max(magnitude, __shfl_xor_sync(0xffffffffu, magnitude, 1));
  magnitude = max(magnitude, __shfl_xor_sync(0xffffffffu, magnitude, 2));
  const u32 scale = mxfp8_scale(magnitude);
  u32 top = numeric_scale(scale);
#pragma unroll
  for (int distance = 4; distance < 32; distance *= 2)
    top = max(top, __shfl_xor_sync(0xffffffffu, top, distance));
  const float inverse = mxfp8_inverse(scale);
  const u32 power = relative_power(scale, top);
  uint2 codes;
  codes.x = multiply_e4m3(round_to_e4m3(values.x, values.y, inverse), power);
  codes.y = multiply_e4m3(round_to_e4m3(values.z, values.w, inverse), power);
  const int panel = first_k / kPanelK + lane / 16;
  if (panel >= panels_of(k)) return;
  const i64 place = panel * panels.rows + row;
  *reinterpret_cast<uint2*>(panels.codes + place * kPanelK + (((lane / 2) & 7) ^ swizzle) * 16 +
                            (lane & 1) * 8) = codes;
  if (lane % 16 == 0) panels.factors[place] = e8m0_to_float(top);
}

// The values of this lane; zeros beyond k.
__device__ inline uint4 read_shared(const u16* row, int k, int first_k) {
  const int own = first_k + int(threadIdx.x & 31) * 8;
  return own < k ? *reinterpret_cast<const uint4*>(row + own) : make_uint4(0, 0, 0, 0);
}

// Of quantise_panel_blocks: pieces of kSharedK that a warp takes, so that their loads are under way together.
constexpr int kPanelItems = 2;

template <int kThreads>
__host__ __device__ constexpr int panel_quantising_blocks(int rows, int k) {
  return div_up(rows * div_up(k, kSharedK), kThreads / 32 * kPanelItems);
}

// As quantise_blocks, into panels of `all_rows` rows.
template <int kThreads>
__device__ inline void quantise_panel_blocks(const u16* values, i64 stride, u32 rows, u32 all_rows, int k,
                                             u8* codes, float* factors, u32 thread_block) {
  const u32 pieces = u32(div_up(k, kSharedK)), all = rows * pieces;
  u32 index = thread_block * (kThreads / 32 * kPanelItems) + (threadIdx.x >> 5);
  u32 row[kPanelItems];
  int first_k[kPanelItems];
  uint4 own[kPanelItems];
#pragma unroll
  for (int i = 0; i < kPanelItems; ++i, index += kThreads / 32) {
    row[i] = index / pieces, first_k[i] = int(index - row[i] * pieces) * kSharedK;
    if (index < all) own[i] = read_shared(values + i64(row[i]) * stride, k, first_k[i]);
  }
#pragma unroll
  for (int i = 0; i < kPanelItems; ++i)
    if (row[i] < rows) quantise_shared(own[i], {codes, factors, i64(all_rows)}, row[i], k, first_k[i], 0);
}

// Rows of h as a list of token tiles with at most 8 rows each covers them, one warp per row: for a GEMM1 that
// leaves them in bf16. A template, so that it is compiled only where it is launched.
template <int kThreads>
__global__ void __launch_bounds__(kThreads)
    quantise_panel_rows(const u16* values, int k, int all_rows, u8* codes, float* factors,
                        const TokenTile* token_tiles, const i32* tile_count) {
  wait_for_predecessor();
  let_successor_start();
  if (int(blockIdx.x) >= __ldcg(tile_count)) return;
  const TokenTile tile = token_tiles[blockIdx.x];
  const int m = int(threadIdx.x >> 5);
  if (m >= tile.rows) return;
  const i64 row = tile.first_row + m;
#pragma unroll 1
  for (int first_k = 0; first_k < k; first_k += kSharedK)
    quantise_shared(read_shared(values + row * k, k, first_k), {codes, factors, i64(all_rows)}, row, k,
                    first_k, m);
}

}  // namespace rtjit::moe_mxfp4
