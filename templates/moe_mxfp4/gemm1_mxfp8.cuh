// GEMM1 with MXFP8 tokens on mma.sync: gate and up rows, bias, activation, and h as MXFP8.
#pragma once

#include "device/pdl.cuh"
#include "moe_mxfp4/mma_epilogue.cuh"
#include "moe_mxfp4/mxfp8_loop.cuh"
#include "moe_mxfp4/store_quantised.cuh"

namespace rtjit::moe_mxfp4 {

// h[sorted row, i] = activation(gate, up) for gathered rows of x.
template <int kBlockScaled, int kBlockM, int kBlockN, int kBlockK, int kWarps, int kStages,
          Activation kActivation, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps)
    gemm1_mxfp8(const u8* x_codes, const u8* x_scales, const u8* tiles, const u8* scales,
                const u8* row_exponents, const void* bias, const float* alphas, const float* betas,
                const float* limits, float alpha, float beta, float limit, int limited,
                const i32* sorted_slots, const TokenTile* token_tiles, const i32* tile_counts, u8* h_codes,
                u8* h_scales, int hidden, int intermediate, int top_k) {
  using T = ScaledTiling<kBlockM, kBlockN, kBlockK, kWarps, kStages>;
  using Loop = typename Mxfp8Loop<kBlockScaled, T, kBlockM, kBlockN, kBlockK, kStages>::Type;
  constexpr int kPitch = kBlockN + 16;
  using Shared = Storage<T, kBlockM, kStages, kBlockM * kPitch>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(Shared) == RTJIT_SMEM_BYTES);
#endif
  static_assert(kBlockN / 2 % kBlockSize == 0, "a block of h must not be split among thread blocks");
  Shared& shared = *reinterpret_cast<Shared*>(shared_memory);
  wait_for_predecessor();
  let_successor_start();
  TokenTile tile;
  int row_block;
  if (!find_tile(token_tiles, tile_counts, (2 * intermediate + kBlockN - 1) / kBlockN, &tile, &row_block))
    return;
  const int rows = tile.rows;
  for (int m = int(threadIdx.x); m < kBlockM; m += T::kThreads) {
    shared.rows[m] = m < rows ? sorted_slots[tile.first_row + m] / top_k : -1;
  }
  __syncthreads();

  Loop loop(shared.bytes, {tiles, scales, 2 * intermediate, hidden}, {x_codes, x_scales}, tile.expert,
            row_block * (kBlockN / kStripRows));
  loop.run([&](int m) { return i64(shared.rows[m]); });

  if (loop.holds_sums()) {
    stage_activations<T, kBlockN, kPitch, kActivation, kBias>(
        loop, shared.bytes, row_block, tile.expert, 2 * intermediate, row_exponents, bias,
        activation_numbers(alphas, betas, limits, tile.expert, alpha, beta, limit, limited));
  }
  __syncthreads();
  store_quantised<kBlockM, kBlockN / 2, kPitch, T::kThreads>(
      shared.bytes, row_block * (kBlockN / 2), intermediate, h_codes, h_scales,
      [&](int m) { return m < rows ? i64(tile.first_row + m) : -1; });
}

}  // namespace rtjit::moe_mxfp4
