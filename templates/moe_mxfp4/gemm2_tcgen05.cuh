// GEMM2 on tensor memory: the down projection, scattered to slots or added up in out.
#pragma once

#include "device/pdl.cuh"
#include "moe_mxfp4/store_rows.cuh"
#include "moe_mxfp4/tcgen05.cuh"

namespace rtjit::moe_mxfp4 {

// `weigh(value, tile, m)` is what becomes of a value of row m, `finish(staged, shared, rows, row_block)`
// takes the tile from there on; rows are staged for kStore.
template <int kBlockM, int kBlockN, int kStages, Store kStore, Bias kBias, class Entry, class Weigh,
          class Finish>
__device__ inline void project_tile(const u8* h_codes, const u8* h_scales, const u8* tiles, const u8* scales,
                                    const u8* row_exponents, const void* bias, const Entry* sorted,
                                    const TokenTile* token_tiles, const i32* tile_counts, int hidden,
                                    int intermediate, const Weigh& weigh, const Finish& finish) {
  using Loop = TensorLoop<kBlockM, kBlockN, kStages>;
  using Shared = typename Loop::Shared;
  constexpr int kPitch = staged_pitch<kBlockN, kStore>;
  static_assert(kBlockM * kPitch <= sizeof(Shared::weights) + sizeof(Shared::tokens));
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(Shared) == RTJIT_SMEM_BYTES);
#endif
  Shared& shared = *reinterpret_cast<Shared*>(tensor_shared_memory);
  wait_for_predecessor();
  let_successor_start();
  TokenTile tile;
  int row_block;
  if (!find_tile(token_tiles, tile_counts + 1, (hidden + kBlockN - 1) / kBlockN, &tile, &row_block)) return;
  const int rows = tile.rows;
  for (int m = int(threadIdx.x); m < kBlockM; m += kTensorThreads) {
    shared.rows[m] = m < rows ? output_row(sorted[tile.first_row + m]) : -1;
  }
  __syncthreads();

  Loop loop(shared, {tiles, scales, hidden, intermediate}, h_codes, h_scales, tile.expert,
            row_block * (kBlockN / kStripRows), rows);
  loop.run([&](int m) { return m < rows ? i64(tile.first_row + m) : -1; });

  u8* staged = &shared.weights[0][0][0];
  loop.for_each_row([&](int row, int first, const float(&values)[16]) {
    const int n = row_block * kBlockN + row;
    if (n >= hidden) return;
    const i64 index = i64(tile.expert) * hidden + n;
    const float factor = row_factor(row_exponents[index]), row_bias = load_bias<kBias>(bias, index);
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      *reinterpret_cast<u16*>(staged + (first + i) * kPitch + row * 2) =
          float_to_bf16(weigh(values[i] * factor + row_bias, tile, first + i));
    }
  });
  loop.finish();
  finish(staged, shared, rows, row_block);
}

// y[slot, n] = W2 h + bias, not yet weighted.
template <int kBlockM, int kBlockN, int kStages, Store kStore, Bias kBias>
__global__ void __launch_bounds__(kTensorThreads)
    gemm2_tcgen05(const u8* h_codes, const u8* h_scales, const u8* tiles, const u8* scales,
                  const u8* row_exponents, const void* bias, const i32* sorted_slots,
                  const TokenTile* token_tiles, const i32* tile_counts, u16* y, int hidden, int intermediate,
                  int slots, const __grid_constant__ TensorMap y_map) {
  project_tile<kBlockM, kBlockN, kStages, kStore, kBias>(
      h_codes, h_scales, tiles, scales, row_exponents, bias, sorted_slots, token_tiles, tile_counts, hidden,
      intermediate, [](float value, const TokenTile&, int) { return value; },
      [&](const u8* staged, auto& shared, int rows, int row_block) {
        scatter_rows<kStore, kBlockM, kBlockN, kTensorThreads>(staged, shared.rows, rows, row_block * kBlockN,
                                                               hidden, slots, y, y_map);
      });
}

// out[token, n] += weight * (W2 h + bias)
template <int kBlockM, int kBlockN, int kStages, Bias kBias>
__global__ void __launch_bounds__(kTensorThreads)
    gemm2_tcgen05_add(const u8* h_codes, const u8* h_scales, const u8* tiles, const u8* scales,
                      const u8* row_exponents, const void* bias, const TokenShare* shares,
                      const TokenTile* token_tiles, const i32* tile_counts, u16* out, int hidden,
                      int intermediate) {
  const SummedRows output{out, shares, hidden};
  project_tile<kBlockM, kBlockN, kStages, Store::plain, kBias>(
      h_codes, h_scales, tiles, scales, row_exponents, bias, shares, token_tiles, tile_counts, hidden,
      intermediate,
      [&](float value, const TokenTile& tile, int m) {
        return m < tile.rows ? value * shares[tile.first_row + m].weight : 0.0f;
      },
      [&](const u8* staged, auto& shared, int rows, int row_block) {
        add_rows<kBlockM, kBlockN, kTensorThreads>(staged, shared.rows, rows, row_block * kBlockN, output);
      });
}

}  // namespace rtjit::moe_mxfp4
