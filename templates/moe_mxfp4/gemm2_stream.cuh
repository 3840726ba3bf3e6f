// GEMM2 for few tokens per expert: the down projection, scattered to slots or added up in out.
#pragma once

#include "moe_mxfp4/output_rows.cuh"
#include "moe_mxfp4/stream.cuh"

namespace rtjit::moe_mxfp4 {

template <Bias kBias>
struct FinishDown {
  const u8* row_exponents;
  const void* bias;
  const i32* sorted_slots;
  u16* y;
  int hidden;

  __device__ RawRows rows(int expert, int strip) const {
    const i64 index = i64(expert) * hidden + strip * kStripRows + int(threadIdx.x & 31) / 4;
    return load_raw_rows<kBias>(row_exponents, bias, index);
  }

  __device__ void store(const RawRows& rows, const TokenTile& tile, int strip, int c,
                        const float (&sums)[4]) const {
    const RowNumbers row = row_numbers<kBias>(rows);
    const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int m = c * 8 + 2 * t + i;
      if (m >= tile.rows) break;
      u16* target = y + i64(sorted_slots[tile.first_row + m]) * hidden + strip * kStripRows + g;
      target[0] = float_to_bf16(sums[i] * row.factors[0] + row.biases[0]);
      target[8] = float_to_bf16(sums[i + 2] * row.factors[1] + row.biases[1]);
    }
  }
};

// The same, added up in out.
template <Bias kBias>
struct SumDown : FinishDown<kBias> {
  SummedRows output;

  __device__ void store(const RawRows& rows, const TokenTile& tile, int strip, int c,
                        const float (&sums)[4]) const {
    const RowNumbers row = row_numbers<kBias>(rows);
    const int m = c * 8 + (int(threadIdx.x & 31) >> 2);
    const bool take = m < tile.rows;
    output.add_strip({sums[0] * row.factors[0] + row.biases[0], sums[1] * row.factors[0] + row.biases[0]},
                     {sums[2] * row.factors[1] + row.biases[1], sums[3] * row.factors[1] + row.biases[1]},
                     take, take ? output.sorted[tile.first_row + m] : TokenShare{0, 0.0f},
                     strip * kStripRows);
  }
};

// Tile lists, routing and weights do not come from the predecessor, GEMM1: every kernel before this one in the
// pipeline has waited for its own predecessor before it let this one start.
template <class S, class Finish>
__device__ inline void project_strips(StreamShared<S>& shared, const u16* h, const u8* tiles, const u8* scales,
                                      const TokenLists& lists, int hidden, int intermediate,
                                      const Finish& finish) {
  stream_strips<S>(
      shared, tiles, scales, hidden / kStripRows, intermediate, lists,
      [&](const TokenTile& tile, int m) {
        return m < tile.rows ? h + i64(tile.first_row + m) * intermediate : nullptr;
      },
      finish,
      [] {
        wait_for_predecessor();
        let_successor_start();
      });
}

// y[slot, n] = W2 h + bias, not yet weighted. `routes` as in gemm1_stream.
template <int kBlockM, int kWarps, int kTiles, int kDepth, int kHalf, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps, kWarps <= kWarpsOfHalfAnSm ? 2 : 1)
    gemm2_stream(const u16* h, const u8* tiles, const u8* scales, const u8* row_exponents, const void* bias,
                 const i32* sorted_slots, const TokenTile* token_tiles, const i32* tile_counts, u16* y,
                 int hidden, int intermediate, const void* ids, const i32* valid_tokens, int id_bytes,
                 int tokens, int top_k, int experts, int expert_offset, int routes) {
  using S = StreamShape<kBlockM, kWarps, kTiles, kDepth, kHalf != 0>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(StreamShared<S>) == RTJIT_SMEM_BYTES);
#endif
  auto& shared = *reinterpret_cast<StreamShared<S>*>(stream_shared);
  const TokenLists lists =
      routes ? route_here(shared, {ids, valid_tokens, id_bytes, tokens, top_k, experts, expert_offset})
             : TokenLists{token_tiles, tile_counts + 1, sorted_slots};
  project_strips(shared, h, tiles, scales, lists, hidden, intermediate,
                 FinishDown<kBias>{row_exponents, bias, lists.sorted_slots, y, hidden});
}

// out[token, n] += weight * (W2 h + bias)
template <int kBlockM, int kWarps, int kTiles, int kDepth, int kHalf, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps, kWarps <= kWarpsOfHalfAnSm ? 2 : 1)
    gemm2_stream_add(const u16* h, const u8* tiles, const u8* scales, const u8* row_exponents,
                     const void* bias, const TokenShare* shares, const TokenTile* token_tiles,
                     const i32* tile_counts, u16* out, int hidden, int intermediate) {
  using S = StreamShape<kBlockM, kWarps, kTiles, kDepth, kHalf != 0>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(StreamShared<S>) == RTJIT_SMEM_BYTES);
#endif
  project_strips(*reinterpret_cast<StreamShared<S>*>(stream_shared), h, tiles, scales,
                 {token_tiles, tile_counts + 1, nullptr}, hidden, intermediate,
                 SumDown<kBias>{{row_exponents, bias, nullptr, nullptr, hidden}, {out, shares, hidden}});
}

}  // namespace rtjit::moe_mxfp4
