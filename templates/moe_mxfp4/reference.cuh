// GEMM1 and GEMM2 without tensor cores, straight from the packed weights: the oracle on the device, and what
// runs on any target when nothing else does. No shared memory, no asynchronous copies.
#pragma once

#include "device/fp8.cuh"
#include "device/pdl.cuh"
#include "moe_mxfp4/common.cuh"
#include "moe_mxfp4/quantise.cuh"

namespace rtjit::moe_mxfp4 {

constexpr int kReferenceTokens = 8;
constexpr int kReferenceWarps = 4;

template <Accumulator kAccumulator>
struct AccumulatorType {
  using Type = float;
};
template <>
struct AccumulatorType<Accumulator::f64> {
  using Type = double;
};

// A row of activations: bf16 values, or codes and scales.
template <Activations kActivations>
struct TokenRow {
  const u16* values;
  const u8 *codes, *scales;

  // The values that lane t of a quad multiplies in the block that begins at k, by element.
  __device__ void read(int k, int t, float (&result)[8]) const {
    if constexpr (kActivations == Activations::bf16) {
#pragma unroll
      for (int pair = 0; pair < 4; ++pair) {
        const u32 two = *reinterpret_cast<const u32*>(values + k + 2 * t + 8 * pair);
        result[2 * pair] = bits_float(two << 16), result[2 * pair + 1] = bits_float(two & 0xffff0000u);
      }
    } else {
      const uint2 bytes = *reinterpret_cast<const uint2*>(codes + k + 8 * t);
      const float scale = e8m0_to_float(scales[k / kBlockSize]);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        result[nibble_element(i)] =
            e4m3_to_float(((i < 4 ? bytes.x : bytes.y) >> (8 * (i % 4))) & 255u) * scale;
      }
    }
  }
};

// sums[upper][m] of rows g (upper = 0) and g + 8 of one strip for up to 8 token rows. Every lane of a quad
// takes a quarter of k; the quad's sums are added at the end, so all four lanes hold the result.
template <class Sum, class GetTokenRow>
__device__ inline void reference_strip(const u8* tiles, const u8* scales, int k, int rows,
                                       const GetTokenRow& token_row, Sum (&sums)[2][kReferenceTokens]) {
  const int lane = int(threadIdx.x & 31), t = lane & 3;
  for (int upper = 0; upper < 2; ++upper) {
    for (int m = 0; m < kReferenceTokens; ++m) sums[upper][m] = 0;
  }
  for (int base = 0; base < k; base += kTileK) {
    const LaneTile part = load_lane_tile(tiles + base / kTileK * kTileBytes,
                                         scales + base / kTileK * kTileScaleBytes, lane, k - base < kTileK);
#pragma unroll 1
    for (int group = 0; group < 2 && base + 32 * group < k; ++group) {
      Sum weights[2][8];
#pragma unroll
      for (int upper = 0; upper < 2; ++upper) {
        u32 pairs[4];
        const int index = 2 * group + upper;
        widen_e2m1(group == 0 ? part.words[upper] : part.words[2 + upper], pairs);
        const Sum factor = bits_float(((part.scales >> (8 * index)) & 255u) << 23);
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          weights[upper][i] =
              Sum(bits_float(i % 2 == 0 ? pairs[i / 2] << 16 : pairs[i / 2] & 0xffff0000u)) * factor;
        }
      }
#pragma unroll
      for (int m = 0; m < kReferenceTokens; ++m) {
        if (m >= rows) break;
        float token[8];
        token_row(m).read(base + 32 * group, t, token);
#pragma unroll
        for (int i = 0; i < 8; ++i) {
#pragma unroll
          for (int upper = 0; upper < 2; ++upper) sums[upper][m] += weights[upper][i] * Sum(token[i]);
        }
      }
    }
  }
#pragma unroll
  for (int upper = 0; upper < 2; ++upper) {
#pragma unroll
    for (int m = 0; m < kReferenceTokens; ++m) {
      Sum sum = sums[upper][m];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      sums[upper][m] = sum;
    }
  }
}

// Blocks are numbered with the strips running fastest, kReferenceWarps strips each.
__device__ inline bool find_reference_tile(const TokenTile* tiles, const i32* tile_count, int strips,
                                           TokenTile* tile, int* strip) {
  const int row_blocks = (strips + kReferenceWarps - 1) / kReferenceWarps;
  const int index = int(blockIdx.x) / row_blocks;
  if (index >= *tile_count) return false;
  *tile = tiles[index];
  *strip = (int(blockIdx.x) - index * row_blocks) * kReferenceWarps + int(threadIdx.x >> 5);
  return *strip < strips;
}

template <Accumulator kAccumulator, Activation kActivation, Bias kBias,
          Activations kActivations = Activations::bf16>
__global__ void __launch_bounds__(32 * kReferenceWarps, 4)
    gemm1_reference(const u16* x, i64 x_stride, const u8* tiles, const u8* scales, const u8* row_exponents,
                    const void* bias, const float* alphas, const float* betas, const float* limits,
                    float alpha, float beta, float limit, int limited, const i32* sorted_slots,
                    const TokenTile* token_tiles, const i32* tile_counts, u16* h, int hidden,
                    int intermediate, int top_k, const u8* x_codes, const u8* x_scales) {
  using Sum = typename AccumulatorType<kAccumulator>::Type;
  wait_for_predecessor();
  let_successor_start();
  TokenTile tile;
  int strip;
  if (!find_reference_tile(token_tiles, tile_counts, intermediate / 8, &tile, &strip)) return;
  const int rows = tile.rows;
  const i64 all_strip = i64(tile.expert) * (intermediate / 8) + strip;
  Sum sums[2][kReferenceTokens];
  reference_strip(
      tiles + all_strip * strip_bytes(hidden), scales + all_strip * strip_scale_bytes(hidden), hidden, rows,
      [&](int m) {
        const i64 token = sorted_slots[tile.first_row + m] / top_k;
        return TokenRow<kActivations>{x + token * x_stride, x_codes + token * hidden,
                                      x_scales + token * scale_pitch(hidden)};
      },
      sums);
  const ActivationNumbers numbers =
      activation_numbers(alphas, betas, limits, tile.expert, alpha, beta, limit, limited);
  const int g = int(threadIdx.x & 31) >> 2, t = int(threadIdx.x & 3);
  const i64 row = all_strip * kStripRows + g;
  const Sum gate_factor = row_factor(row_exponents[row]), up_factor = row_factor(row_exponents[row + 8]);
  const Sum gate_bias = load_bias<kBias>(bias, row), up_bias = load_bias<kBias>(bias, row + 8);
#pragma unroll
  for (int m = 0; m < kReferenceTokens; ++m) {
    if (m >= rows || m % 4 != t) continue;
    const float value = activate<kActivation>(float(sums[0][m] * gate_factor + gate_bias),
                                              float(sums[1][m] * up_factor + up_bias), numbers);
    h[i64(tile.first_row + m) * intermediate + strip * 8 + g] = float_to_bf16(value);
  }
}

template <Accumulator kAccumulator, Bias kBias, Activations kActivations = Activations::bf16>
__global__ void __launch_bounds__(32 * kReferenceWarps, 4)
    gemm2_reference(const u16* h, const u8* tiles, const u8* scales, const u8* row_exponents,
                    const void* bias, const i32* sorted_slots, const TokenTile* token_tiles,
                    const i32* tile_counts, u16* y, int hidden, int intermediate, const u8* h_codes,
                    const u8* h_scales) {
  using Sum = typename AccumulatorType<kAccumulator>::Type;
  wait_for_predecessor();
  let_successor_start();
  TokenTile tile;
  int strip;
  if (!find_reference_tile(token_tiles, tile_counts + 1, hidden / kStripRows, &tile, &strip)) return;
  const int rows = tile.rows;
  const i64 all_strip = i64(tile.expert) * (hidden / kStripRows) + strip;
  Sum sums[2][kReferenceTokens];
  reference_strip(
      tiles + all_strip * strip_bytes(intermediate), scales + all_strip * strip_scale_bytes(intermediate),
      intermediate, rows,
      [&](int m) {
        const i64 row = tile.first_row + m;
        return TokenRow<kActivations>{h + row * intermediate, h_codes + row * intermediate,
                                      h_scales + row * scale_pitch(intermediate)};
      },
      sums);
  const int g = int(threadIdx.x & 31) >> 2, t = int(threadIdx.x & 3);
#pragma unroll
  for (int upper = 0; upper < 2; ++upper) {
    const int n = strip * kStripRows + g + 8 * upper;
    const i64 row = i64(tile.expert) * hidden + n;
    const Sum factor = row_factor(row_exponents[row]), row_bias = load_bias<kBias>(bias, row);
#pragma unroll
    for (int m = 0; m < kReferenceTokens; ++m) {
      if (m >= rows || m % 4 != t) continue;
      const i64 slot = sorted_slots[tile.first_row + m];
      y[slot * hidden + n] = float_to_bf16(float(sums[upper][m] * factor + row_bias));
    }
  }
}

}  // namespace rtjit::moe_mxfp4
