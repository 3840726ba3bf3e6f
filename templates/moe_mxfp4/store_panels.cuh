// From blocks of 64 columns of h in shared memory to panels (quantise_panels.cuh): by a warp that has nothing
// else to do, while others compute the next block.
#pragma once

#include "device/mbarrier.cuh"
#include "moe_mxfp4/quantise_panels.cuh"

namespace rtjit::moe_mxfp4 {

constexpr int kPanelBlock = 64;                        // columns that a thread block computes at a time
constexpr int kSharedBlocks = kSharedK / kPanelBlock;  // of them that may have a factor together

// One block at a time, in bf16: 16-byte piece p of row m is at p ^ (m % 8). Its codes are kept until the
// largest scale of all blocks that share a factor is known.
template <int kBlockM>
struct PanelStaging {
  alignas(128) u8 values[kBlockM][2 * kPanelBlock];
  alignas(16) u8 codes[kSharedBlocks - 1][kBlockM][kPanelBlock];
  u8 scales[kSharedBlocks - 1][kBlockM][2];
  u64 full, empty;

  __device__ u8* piece(int m, int p) { return values[m] + (p ^ (m & 7)) * 16; }
};

// A tile's rows of h, from first_row on.
struct PanelRows {
  u8* codes;
  float* factors;
  i64 all_rows;
  int first_row, rows;
};

// Block number `block` of h's columns, which is `part` of those that share a factor; with `last` the last of
// them. kThreads threads must call, four per row; a thread finds again what it kept. It rounds two rows side
// by side, since a warp alone waits for each of its own results. The second row may be beyond the last.
template <int kThreads, int kBlockM>
__device__ inline void store_panel_block(PanelStaging<kBlockM>& staging, const PanelRows& target, int thread,
                                         int block, int part, bool last) {
  constexpr int kRows = kThreads / 4, kEach = 2;
  static_assert(kBlockM % (kRows * kEach) == 0);
  const int quarter = thread & 3;
#pragma unroll 1
  for (int first = 0; first < target.rows; first += kRows * kEach) {
    const int first_m = first + (thread >> 2);
    u32 scales[kEach];
    uint4 codes[kEach];
#pragma unroll
    for (int u = 0; u < kEach; ++u) {
      const int m = first_m + u * kRows;
      const uint4 low = *reinterpret_cast<const uint4*>(staging.piece(m, 2 * quarter));
      const uint4 high = *reinterpret_cast<const uint4*>(staging.piece(m, 2 * quarter + 1));
      u32 magnitude = max(largest_magnitude(low), largest_magnitude(high));
      magnitude = max(magnitude, __shfl_xor_sync(0xffffffffu, magnitude, 1));
      scales[u] = mxfp8_scale(magnitude);
      const float inverse = mxfp8_inverse(scales[u]);
      codes[u].x = round_to_e4m3(low.x, low.y, inverse), codes[u].y = round_to_e4m3(low.z, low.w, inverse);
      codes[u].z = round_to_e4m3(high.x, high.y, inverse), codes[u].w = round_to_e4m3(high.z, high.w, inverse);
    }
    if (!last) {
#pragma unroll
      for (int u = 0; u < kEach; ++u) {
        const int m = first_m + u * kRows;
        *reinterpret_cast<uint4*>(&staging.codes[part][m][quarter * 16]) = codes[u];
        if (quarter % 2 == 0) staging.scales[part][m][quarter / 2] = u8(scales[u]);
      }
      continue;
    }
    u32 tops[kEach];
#pragma unroll
    for (int u = 0; u < kEach; ++u) tops[u] = numeric_scale(scales[u]);
#pragma unroll 1
    for (int i = 0; i < part; ++i) {
#pragma unroll
      for (int u = 0; u < kEach; ++u)
        tops[u] = max(tops[u], numeric_scale(staging.scales[i][first_m + u * kRows][quarter / 2]));
    }
#pragma unroll
    for (int u = 0; u < kEach; ++u) tops[u] = max(tops[u], __shfl_xor_sync(0xffffffffu, tops[u], 2));
#pragma unroll 1
    for (int i = 0; i <= part; ++i) {
      const bool kept = i < part;
      const int column_block = block - part + i, piece = column_block % 2 * 4 + quarter;
#pragma unroll
      for (int u = 0; u < kEach; ++u) {
        const int m = first_m + u * kRows;
        const uint4 own =
            kept ? *reinterpret_cast<const uint4*>(&staging.codes[i][m][quarter * 16]) : codes[u];
        const u32 power = relative_power(kept ? staging.scales[i][m][quarter / 2] : scales[u], tops[u]);
        const uint4 moved = make_uint4(multiply_e4m3(own.x, power), multiply_e4m3(own.y, power),
                                       multiply_e4m3(own.z, power), multiply_e4m3(own.w, power));
        if (m >= target.rows) continue;
        const i64 place = column_block / 2 * target.all_rows + target.first_row + m;
        *reinterpret_cast<uint4*>(target.codes + place * kPanelK + (piece ^ (m & 7)) * 16) = moved;
        if (piece == 0) target.factors[place] = e8m0_to_float(tops[u]);
      }
    }
  }
}

}  // namespace rtjit::moe_mxfp4
