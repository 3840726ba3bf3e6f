// The packed layout, run on the host: what pack_tiles writes and what a lane of a GEMM reads back, for every
// element. What the headers need of CUDA is replaced; functions with assembly in them are compiled but not
// called.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "base/float_formats.h"
#include "tests/templates/moe_mxfp4/moe_oracle.h"

#define __host__
#define __device__
#define __global__
#define __launch_bounds__(threads)
struct uint2 {
  uint32_t x, y;
};
struct uint4 {
  uint32_t x, y, z, w;
};
static struct { unsigned x; } threadIdx, blockIdx;
static inline uint32_t __float_as_uint(float value) { return std::bit_cast<uint32_t>(value); }
static inline float __uint_as_float(uint32_t bits) { return std::bit_cast<float>(bits); }
static inline float __fdividef(float a, float b) { return a / b; }
#define __expf std::exp
static inline uint32_t __shfl_xor_sync(uint32_t, uint32_t value, int) { return value; }
template <class T>
static inline T __ldcg(const T* value) {
  return *value;
}
static inline uint32_t __byte_perm(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = a | uint64_t{b} << 32;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i)
    result |= static_cast<uint32_t>(bytes >> (8 * (selector >> (4 * i) & 7)) & 255) << (8 * i);
  return result;
}
using std::max;
using std::min;
#include "device/mxfp8.cuh"
#include "moe_mxfp4/pack_e5m2.cuh"
#include "moe_mxfp4/quantise.cuh"

namespace rtjit::moe_mxfp4 {
namespace {

float low_half(u32 pair) { return bits_float(pair << 16); }
float high_half(u32 pair) { return bits_float(pair & 0xffff0000u); }

TEST(MoeLayout, EveryCodeWidensInEveryPlace) {
  const double values[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (int pair = 0; pair < 4; ++pair) {
    for (int half = 0; half < 2; ++half) {
      for (u32 code = 0; code < 16; ++code) {
        u32 pairs[4];
        widen_e2m1(place_e2m1(code, pair, half), pairs);
        for (int other = 0; other < 4; ++other) {
          const double expected = std::ldexp(values[code & 7] * (code & 8 ? -1 : 1), -126);
          EXPECT_EQ(low_half(pairs[other]), other == pair && half == 0 ? expected : 0);
          EXPECT_EQ(high_half(pairs[other]), other == pair && half == 1 ? expected : 0);
        }
      }
    }
  }
}

TEST(MoeLayout, PlacesOfAWordDoNotOverlap) {
  u32 all = 0;
  for (int pair = 0; pair < 4; ++pair) {
    for (int half = 0; half < 2; ++half) {
      const u32 place = place_e2m1(15, pair, half);
      EXPECT_EQ(std::popcount(place), 4);
      EXPECT_EQ(all & place, 0u);
      all |= place;
    }
  }
  EXPECT_EQ(all, 0xffffffffu);
}

// The order of nibbles reaches every element once, whatever the other codes of the word are.
TEST(MoeLayout, EveryCodeIsGatheredAndSpreadFromEveryPlace) {
  std::mt19937 random(5);
  int elements = 0;
  for (int i = 0; i < 8; ++i) elements |= 1 << nibble_element(i);
  EXPECT_EQ(elements, 255);
  for (int round = 0; round < 200; ++round) {
    u32 codes[8], word = 0;
    for (int element = 0; element < 8; ++element) {
      codes[element] = round < 16 ? u32(round) : random() % 16;
      word |= place_e2m1(codes[element], element / 2, element % 2);
    }
    const u32 nibbles = gather_e2m1(word);
    u32 halves[2];
    spread_e2m1(word, halves[0], halves[1]);
    for (int i = 0; i < 8; ++i) {
      EXPECT_EQ(nibbles >> (4 * i) & 15, codes[nibble_element(i)]);
      EXPECT_EQ(halves[i / 4] >> (8 * (i % 4)) & 255, codes[nibble_element(i)] << 2);
    }
  }
}

TEST(MoeLayout, RelativeScalesFlushWhatIsTooSmall) {
  u32 words[4] = {1, 2, 3, 4};
  EXPECT_EQ(relative_scales(0xfe80f7f0u, words), 0x80027972u);
  EXPECT_EQ(words[0] + words[1] + words[2] + words[3], 10u);
  EXPECT_EQ(relative_scales(0x7e7d00feu, words), 0x00000080u);
  EXPECT_EQ(words[0], 1u);
  EXPECT_EQ(words[1], 0u);  // byte 0x00
  EXPECT_EQ(words[2], 0u);  // byte 0x7d: 125
  EXPECT_EQ(words[3], 4u);  // byte 0x7e: 126 is 2^-127
}

// All bf16 magnitudes as the largest of a block: the least power of two that brings them to 448, and codes as
// the oracle rounds.
TEST(MoeLayout, QuantisesAsTheOracleDoes) {
  std::mt19937 random(6);
  for (u32 magnitude = 0; magnitude < 0x7f80u; ++magnitude) {
    const u32 scale = mxfp8_scale(magnitude);
    const double largest = bits_float(magnitude << 16), unit = std::ldexp(1.0, int(scale) - 127);
    ASSERT_LE(largest, 448 * unit);
    ASSERT_TRUE(scale == 0 || largest > 224 * unit) << magnitude;
    ASSERT_EQ(double(mxfp8_inverse(scale)) * unit, 1.0);
    if (magnitude % 61 != 0) continue;
    double block[32];
    float values[32];
    for (int i = 0; i < 32; ++i) {
      values[i] = bits_float((i == 0 ? magnitude : random() % (magnitude + 1)) << 16 | u32(i % 2) << 31);
      block[i] = double(values[i]);
    }
    oracle::round_to_mxfp8(block, 32);
    for (int i = 0; i < 32; ++i) {
      const u32 code = float_to_e4m3(values[i] * mxfp8_inverse(scale));
      ASSERT_EQ(double(float_from_e4m3(u8(code))) * unit, block[i]) << magnitude << " " << values[i];
    }
  }
  EXPECT_EQ(mxfp8_scale(0x7f80), 255u);
  EXPECT_EQ(mxfp8_scale(0x7fc0), 255u);
  EXPECT_EQ(float_to_e4m3(mxfp8_inverse(255)), 0x7fu);
}

TEST(MoeLayout, RowOrdersReachEveryRowOnce) {
  for (int order : {kPlain, kInterleaved, kHalvesGateUp, kHalvesUpGate}) {
    constexpr int kRows = 192;
    std::vector<int> seen(kRows);
    for (int row = 0; row < kRows; ++row) ++seen[checkpoint_row(order, row, kRows)];
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), kRows) << order;
  }
}

TEST(MoeLayout, GateAndUpStandEightRowsApart) {
  const oracle::MoeLayout layouts[] = {oracle::MoeLayout::interleaved, oracle::MoeLayout::halves_gate_up,
                                       oracle::MoeLayout::halves_up_gate};
  for (int order = kInterleaved; order <= kHalvesUpGate; ++order) {
    const oracle::MoeProblem problem{.intermediate = 96, .layout = layouts[order - kInterleaved]};
    for (int i = 0; i < 96; ++i) {
      const int row = i / 8 * 16 + i % 8;
      EXPECT_EQ(checkpoint_row(order, row, 192), oracle::gate_row(problem, i));
      EXPECT_EQ(checkpoint_row(order, row + 8, 192), oracle::up_row(problem, i));
    }
  }
}

TEST(MoeLayout, StoredScalesMeanTheirScale) {
  // field - 127 is the exponent of the factor; together with the 2^-126 of widen_e2m1 and the row's exponent:
  // scale.
  for (u32 exponent : {0u, 1u, 60u, 126u}) {
    for (u32 scale = exponent; scale <= 128 + exponent && scale < 255; ++scale) {
      EXPECT_EQ(int(stored_scale(scale, exponent)) - 127 - 126 + int(exponent), int(scale) - 127);
    }
    EXPECT_EQ(row_factor(exponent), std::ldexp(1.0f, int(exponent)));
  }
  EXPECT_TRUE(std::isnan(row_factor(kNanRow)));
}

// What every lane finds in its tiles is the checkpoint's value at the rows and columns of an mma fragment.
void check_packing(int experts, int rows, int k, int order) {
  std::mt19937 random(17);
  std::vector<u8> codes(size_t(experts) * rows * k / 2), scales(size_t(experts) * rows * k / 32);
  for (u8& byte : codes) byte = u8(random());
  for (u8& byte : scales) byte = u8(100 + random() % 29);
  const std::vector<u8> exponents(size_t(experts) * rows, 0);
  const i64 tiles_k = (k + 63) / 64, all_tiles = i64(experts) * (rows / 16) * tiles_k;
  std::vector<u32> packed(codes.size() / 4), packed_scales((scales.size() + 3) / 4);
  for (blockIdx.x = 0; blockIdx.x < (all_tiles + 7) / 8; ++blockIdx.x) {
    for (threadIdx.x = 0; threadIdx.x < 256; ++threadIdx.x) {
      pack_tiles(codes.data(), scales.data(), exponents.data(), rows, k, order, all_tiles,
                 reinterpret_cast<u8*>(packed.data()), reinterpret_cast<u8*>(packed_scales.data()));
    }
  }
  int wrong = 0;
  for (i64 tile = 0; tile < all_tiles; ++tile) {
    const i64 strip = tile / tiles_k;
    const int first_k = int(tile % tiles_k) * 64;
    const bool half = k - first_k < 64;
    for (int lane = 0; lane < 32; ++lane) {
      const LaneTile part = load_lane_tile(
          reinterpret_cast<u8*>(packed.data()) + strip * strip_bytes(k) + first_k / 64 * kTileBytes,
          reinterpret_cast<u8*>(packed_scales.data()) + strip * strip_scale_bytes(k) +
              first_k / 64 * kTileScaleBytes,
          lane, half);
      for (int index = 0; index < (half ? 2 : 4); ++index) {
        const int group = index / 2, upper = index % 2;
        const double factor = std::ldexp(1.0, int((part.scales >> (8 * index)) & 255) - 127);
        u32 pairs[4];
        widen_e2m1(part.words[index], pairs);
        const i64 packed_row = strip * 16 + lane / 4 + 8 * upper;
        const i64 row = packed_row / rows * rows + checkpoint_row(order, int(packed_row % rows), rows);
        for (int pair = 0; pair < 4; ++pair) {
          const int column = first_k + 32 * group + 8 * pair + 2 * (lane % 4);
          wrong += low_half(pairs[pair]) * factor !=
                   oracle::mxfp4_value(codes.data(), scales.data(), row, k, column);
          wrong += high_half(pairs[pair]) * factor !=
                   oracle::mxfp4_value(codes.data(), scales.data(), row, k, column + 1);
        }
      }
    }
  }
  EXPECT_EQ(wrong, 0) << rows << " x " << k << ", order " << order;
}

TEST(MoeLayout, PackedTilesReadBackExactly) {
  for (int order : {kPlain, kInterleaved, kHalvesGateUp, kHalvesUpGate}) {
    check_packing(3, 64, 128, order);
    check_packing(2, 64, 96, order);
    check_packing(1, 128, 32, order);
    check_packing(2, 32, 320, order);
  }
}

// ---- The form that is widened to E5M2 ----

TEST(MoeE5m2Layout, EveryCodeOfAWordHasBitsOfItsOwn) {
  const float values[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  u32 all = 0;
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(std::popcount(place_e5m2(15, i)), 4);
    EXPECT_EQ(all & place_e5m2(15, i), 0u);
    all |= place_e5m2(15, i);
    for (u32 code = 0; code < 16; ++code) {
      const u32 others = ~place_e5m2(15, i) & 0x5a3c96e1u;
      EXPECT_EQ(e5m2_word_value(others | place_e5m2(code, i), i), values[code & 7] * (code & 8 ? -1 : 1));
    }
  }
  EXPECT_EQ(all, 0xffffffffu);
}

TEST(MoeE5m2Layout, BytesOfABlockAreFoundByTheirK) {
  for (int t = 0; t < 4; ++t) {
    for (int byte = 0; byte < 8; ++byte) EXPECT_EQ(block_byte(block_k(t, byte)), 8 * t + byte);
  }
}

// What every lane finds in its tiles: the checkpoint's value relative to the row's largest scale, at the rows
// and columns of a wgmma's left operand.
void check_e5m2_packing(int experts, int rows, int k, int order) {
  std::mt19937 random(18);
  std::vector<u8> codes(size_t(experts) * rows * k / 2), scales(size_t(experts) * rows * k / 32);
  std::vector<u8> exponents(size_t(experts) * rows);
  for (u8& byte : codes) byte = u8(random());
  for (u8& byte : scales) byte = u8(100 + random() % (kFarthest + 4));  // some too far below the largest
  const auto packed_source = [&](i64 packed_row) {
    return packed_row / rows * rows + checkpoint_row(order, int(packed_row % rows), rows);
  };
  for (size_t row = 0; row < exponents.size(); ++row) {
    const u8* first = &scales[size_t(packed_source(i64(row))) * (k / 32)];
    exponents[row] = *std::max_element(first, first + k / 32);
  }
  const i64 tiles_k = (k + 63) / 64, all_tiles = i64(experts) * (rows / 16) * tiles_k;
  std::vector<u32> packed(codes.size() / 4), distances((scales.size() + 3) / 4);
  for (blockIdx.x = 0; blockIdx.x < (all_tiles + 7) / 8; ++blockIdx.x) {
    for (threadIdx.x = 0; threadIdx.x < 256; ++threadIdx.x) {
      pack_e5m2_tiles(codes.data(), scales.data(), exponents.data(), rows, k, order, all_tiles,
                      reinterpret_cast<u8*>(packed.data()), reinterpret_cast<u8*>(distances.data()));
    }
  }
  int wrong = 0;
  for (int expert = 0; expert < experts; ++expert) {
    const u8* expert_codes = reinterpret_cast<u8*>(packed.data()) + expert * e5m2_expert_bytes(rows, k);
    const u8* expert_distances =
        reinterpret_cast<u8*>(distances.data()) + expert * e5m2_expert_distances(rows, k);
    for (int strip = 0; strip < rows / 16; ++strip) {
      for (int tile = 0; tile < tiles_k; ++tile) {
        const i64 offset = e5m2_tile_offset(rows, k, strip, tile);
        const bool half = k - tile * 64 < 64;
        for (int lane = 0; lane < 32; ++lane) {
          const LaneTile part =
              load_lane_tile(expert_codes + offset, expert_distances + offset / 16, lane, half);
          for (int index = 0; index < (half ? 2 : 4); ++index) {
            const i64 packed_row = i64(expert) * rows + strip * 16 + lane / 4 + 8 * (index % 2);
            const i64 row = packed_source(packed_row);
            const int block = tile * 2 + index / 2, distance = int(part.scales >> (8 * index) & 255) / 4;
            const int expected = exponents[size_t(packed_row)] - scales[size_t(row * (k / 32) + block)];
            for (int i = 0; i < 8; ++i) {
              const double value = std::ldexp(double(e5m2_word_value(part.words[index], i)),
                                              exponents[size_t(packed_row)] - 127 - distance);
              const int column = 32 * block + 4 * (lane % 4) + i % 4 + 16 * (i / 4);
              wrong += value != (expected > int(kFarthest)
                                     ? 0.0
                                     : oracle::mxfp4_value(codes.data(), scales.data(), row, k, column));
            }
          }
        }
      }
    }
  }
  EXPECT_EQ(wrong, 0) << rows << " x " << k << ", order " << order;
}

TEST(MoeE5m2Layout, PackedTilesReadBackExactly) {
  for (int order : {kPlain, kInterleaved, kHalvesGateUp, kHalvesUpGate}) {
    check_e5m2_packing(3, 64, 128, order);
    check_e5m2_packing(2, 64, 96, order);
    check_e5m2_packing(1, 128, 32, order);
    check_e5m2_packing(2, 32, 320, order);
    check_e5m2_packing(2, 48, 224, order);
  }
}

}  // namespace
}  // namespace rtjit::moe_mxfp4
