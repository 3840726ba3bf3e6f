// GEMM1 and GEMM2 without tensor cores, straight from the packed weights: the oracle on the device, and what
// runs on any target when nothing else does. No shared memory, no asynchronous copies.
#pragma once

#include "device/e5m2.cuh"
#include "device/fp8.cuh"
#include "device/pdl.cuh"
#include "moe_mxfp4/common.cuh"
#include "moe_mxfp4/e5m2_layout.cuh"
#include "moe_mxfp4/quantise_panels.cuh"

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

// The weights of an expert in the form of pack.cuh.
struct PackedWeights {
  const u8 *tiles, *scales, *row_exponents;  // row_exponents: of all experts
  int k;

  __device__ PackedWeights(const u8* tiles, const u8* scales, const u8* row_exponents, int expert, int rows,
                           int k)
      : tiles(tiles + i64(expert) * (rows / kStripRows) * strip_bytes(k)),
        scales(scales + i64(expert) * (rows / kStripRows) * strip_scale_bytes(k)),
        row_exponents(row_exponents + i64(expert) * rows),
        k(k) {}
  __device__ LaneTile load(int strip, int base, int lane) const {
    const int tile = base / kTileK;
    return load_lane_tile(tiles + strip * strip_bytes(k) + tile * kTileBytes,
                          scales + strip * i64(strip_scale_bytes(k)) + tile * kTileScaleBytes, lane,
                          k - base < kTileK);
  }
  // The eight weights of a word with scale byte `scale`, by element, which is at k element_k(t, i) of its
  // block.
  template <class Sum>
  static __device__ void widen(u32 word, u32 scale, Sum (&weights)[8]) {
    u32 pairs[4];
    widen_e2m1(word, pairs);
    const Sum factor = bits_float(scale << 23);
#pragma unroll
    for (int i = 0; i < 8; ++i)
      weights[i] = Sum(bits_float(i % 2 == 0 ? pairs[i / 2] << 16 : pairs[i / 2] & 0xffff0000u)) * factor;
  }
  static __device__ constexpr int k_of(int t, int i) { return element_k(t, i); }
  __device__ float factor(int row) const { return row_factor(row_exponents[row]); }
};

// The same in the form of pack_e5m2.cuh.
struct PackedE5m2Weights {
  const u8 *tiles, *distances, *row_exponents;
  int rows, k;

  __device__ PackedE5m2Weights(const u8* tiles, const u8* distances, const u8* row_exponents, int expert,
                               int rows, int k)
      : tiles(tiles + expert * e5m2_expert_bytes(rows, k)),
        distances(distances + expert * e5m2_expert_distances(rows, k)),
        row_exponents(row_exponents + i64(expert) * rows),
        rows(rows),
        k(k) {}
  __device__ LaneTile load(int strip, int base, int lane) const {
    const i64 offset = e5m2_tile_offset(rows, k, strip, base / kTileK);
    return load_lane_tile(tiles + offset, distances + offset / 16, lane, k - base < kTileK);
  }
  template <class Sum>
  static __device__ void widen(u32 word, u32 distance, Sum (&weights)[8]) {
    const float factor = bits_float((127 - distance / 4) << 23);
#pragma unroll
    for (int i = 0; i < 8; ++i) weights[i] = Sum(e5m2_word_value(word, i) * factor);
  }
  static __device__ constexpr int k_of(int t, int i) { return 4 * t + i % 4 + 16 * (i / 4); }
  __device__ float factor(int row) const { return e8m0_to_float(row_exponents[row]); }
};

template <int kForm>
struct PackedForm {
  using Weights = PackedWeights;
};
template <>
struct PackedForm<1> {
  using Weights = PackedE5m2Weights;
};

// A row of activations: bf16 values, or codes and scales.
template <Activations kActivations>
struct TokenRow {
  const u16* values;
  const u8 *codes, *scales;

  // The values that lane t of a quad multiplies with weights of this form in the block that begins at k.
  template <class Weights>
  __device__ void read(int k, int t, float (&result)[8]) const {
    if constexpr (kActivations == Activations::bf16) {
#pragma unroll
      for (int pair = 0; pair < 4; ++pair) {
        const u32 two = *reinterpret_cast<const u32*>(values + k + Weights::k_of(t, 2 * pair));
        result[2 * pair] = bits_float(two << 16), result[2 * pair + 1] = bits_float(two & 0xffff0000u);
      }
    } else {
      const float scale = e8m0_to_float(scales[k / kBlockSize]);
#pragma unroll
      for (int i = 0; i < 8; ++i)
        result[i] = e4m3_to_float(codes[k + block_byte(Weights::k_of(t, i))]) * scale;
    }
  }
};

// A row of MXFP8 activations in panels: where its first codes and factor are.
struct PanelRow {
  const u8* codes;
  const float* factors;
  i64 rows;
  int swizzle;

  template <class Weights>
  __device__ void read(int k, int t, float (&result)[8]) const {
    const int panel = k / kPanelK;
    const u8* row = codes + panel * rows * kPanelK;
    const float factor = factors[panel * rows];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int within = k % kPanelK + Weights::k_of(t, i);
      result[i] = e4m3_to_float(row[(within / 16 ^ swizzle) * 16 + within % 16]) * factor;
    }
  }
};

// Row `row` of `rows`, as whatever the GEMMs take. In panels of h, m is its place in its tile.
template <Activations kActivations, int kForm>
__device__ inline auto activation_row(const u16* values, const u8* codes, const u8* scales, i64 row, int k,
                                      int rows, int m) {
  if constexpr (kActivations == Activations::mxfp8 && kForm == 1) {
    return PanelRow{codes + row * kPanelK, reinterpret_cast<const float*>(scales) + row, rows, m % 8};
  } else {
    return TokenRow<kActivations>{values, codes + row * k, scales + row * scale_pitch(k)};
  }
}

// sums[upper][m] of rows g (upper = 0) and g + 8 of one strip for up to 8 token rows. Every lane of a quad
// takes a quarter of k; the quad's sums are added at the end, so all four lanes hold the result.
template <class Weights, class Sum, class GetTokenRow>
__device__ inline void reference_strip(const Weights& packed, int strip, int rows,
                                       const GetTokenRow& token_row, Sum (&sums)[2][kReferenceTokens]) {
  const int lane = int(threadIdx.x & 31), t = lane & 3, k = packed.k;
  for (int upper = 0; upper < 2; ++upper) {
    for (int m = 0; m < kReferenceTokens; ++m) sums[upper][m] = 0;
  }
  for (int base = 0; base < k; base += kTileK) {
    const LaneTile part = packed.load(strip, base, lane);
#pragma unroll 1
    for (int group = 0; group < 2 && base + 32 * group < k; ++group) {
      Sum weights[2][8];
#pragma unroll
      for (int upper = 0; upper < 2; ++upper) {
        Weights::widen(group == 0 ? part.words[upper] : part.words[2 + upper],
                       (part.scales >> (8 * (2 * group + upper))) & 255u, weights[upper]);
      }
#pragma unroll
      for (int m = 0; m < kReferenceTokens; ++m) {
        if (m >= rows) break;
        float token[8];
        token_row(m).template read<Weights>(base + 32 * group, t, token);
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
          Activations kActivations = Activations::bf16, int kForm = 0>
__global__ void __launch_bounds__(32 * kReferenceWarps, 4)
    gemm1_reference(const u16* x, i64 x_stride, const u8* tiles, const u8* scales, const u8* row_exponents,
                    const void* bias, const float* alphas, const float* betas, const float* limits,
                    float alpha, float beta, float limit, int limited, const i32* sorted_slots,
                    const TokenTile* token_tiles, const i32* tile_counts, u16* h, int hidden,
                    int intermediate, int top_k, const u8* x_codes, const u8* x_scales, int panel_rows) {
  using Sum = typename AccumulatorType<kAccumulator>::Type;
  wait_for_predecessor();
  let_successor_start();
  TokenTile tile;
  int strip;
  if (!find_reference_tile(token_tiles, tile_counts, intermediate / 8, &tile, &strip)) return;
  const int rows = tile.rows;
  const typename PackedForm<kForm>::Weights weights(tiles, scales, row_exponents, tile.expert,
                                                    2 * intermediate, hidden);
  Sum sums[2][kReferenceTokens];
  reference_strip(
      weights, strip, rows,
      [&](int m) {
        const i64 token = sorted_slots[tile.first_row + m] / top_k;
        return activation_row<kActivations, kForm>(x + token * x_stride, x_codes, x_scales, token, hidden,
                                                   panel_rows, 0);
      },
      sums);
  const ActivationNumbers numbers =
      activation_numbers(alphas, betas, limits, tile.expert, alpha, beta, limit, limited);
  const int g = int(threadIdx.x & 31) >> 2, t = int(threadIdx.x & 3);
  const int lower = strip * kStripRows + g;
  const i64 row = i64(tile.expert) * (2 * intermediate) + lower;
  const Sum gate_factor = weights.factor(lower), up_factor = weights.factor(lower + 8);
  const Sum gate_bias = load_bias<kBias>(bias, row), up_bias = load_bias<kBias>(bias, row + 8);
#pragma unroll
  for (int m = 0; m < kReferenceTokens; ++m) {
    if (m >= rows || m % 4 != t) continue;
    const float value = activate<kActivation>(float(sums[0][m] * gate_factor + gate_bias),
                                              float(sums[1][m] * up_factor + up_bias), numbers);
    h[i64(tile.first_row + m) * intermediate + strip * 8 + g] = float_to_bf16(value);
  }
}

template <Accumulator kAccumulator, Bias kBias, Activations kActivations = Activations::bf16, int kForm = 0>
__global__ void __launch_bounds__(32 * kReferenceWarps, 4)
    gemm2_reference(const u16* h, const u8* tiles, const u8* scales, const u8* row_exponents,
                    const void* bias, const i32* sorted_slots, const TokenTile* token_tiles,
                    const i32* tile_counts, u16* y, int hidden, int intermediate, const u8* h_codes,
                    const u8* h_scales, int panel_rows) {
  using Sum = typename AccumulatorType<kAccumulator>::Type;
  wait_for_predecessor();
  let_successor_start();
  TokenTile tile;
  int strip;
  if (!find_reference_tile(token_tiles, tile_counts + 1, hidden / kStripRows, &tile, &strip)) return;
  const int rows = tile.rows;
  const typename PackedForm<kForm>::Weights weights(tiles, scales, row_exponents, tile.expert, hidden,
                                                    intermediate);
  Sum sums[2][kReferenceTokens];
  reference_strip(
      weights, strip, rows,
      [&](int m) {
        const i64 row = tile.first_row + m;
        return activation_row<kActivations, kForm>(h + row * intermediate, h_codes, h_scales, row,
                                                   intermediate, panel_rows, m);
      },
      sums);
  const int g = int(threadIdx.x & 31) >> 2, t = int(threadIdx.x & 3);
#pragma unroll
  for (int upper = 0; upper < 2; ++upper) {
    const int n = strip * kStripRows + g + 8 * upper;
    const i64 row = i64(tile.expert) * hidden + n;
    const Sum factor = weights.factor(n), row_bias = load_bias<kBias>(bias, row);
#pragma unroll
    for (int m = 0; m < kReferenceTokens; ++m) {
      if (m >= rows || m % 4 != t) continue;
      const i64 slot = sorted_slots[tile.first_row + m];
      y[slot * hidden + n] = float_to_bf16(float(sums[upper][m] * factor + row_bias));
    }
  }
}

}  // namespace rtjit::moe_mxfp4
