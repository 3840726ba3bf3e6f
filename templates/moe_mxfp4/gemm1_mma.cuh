// GEMM1 on tensor cores: gate and up rows, bias and activation.
#pragma once

#include "device/pdl.cuh"
#include "moe_mxfp4/mma.cuh"
#include "moe_mxfp4/store_rows.cuh"

namespace rtjit::moe_mxfp4 {

template <int kBlockM, int kBlockN, int kBlockK, int kWarps, int kStages>
using Storage1 =
    Storage<Tiling<kBlockM, kBlockN, kBlockK, kWarps, kStages>, kBlockM, kStages, kBlockM*(kBlockN + 16)>;

// h[sorted row, i] = activation(gate, up) for gathered rows of x.
template <int kBlockM, int kBlockN, int kBlockK, int kWarps, int kStages, Activation kActivation, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps)
    gemm1_mma(const u16* x, i64 x_stride, const u8* tiles, const u8* scales, const u8* row_exponents,
              const void* bias, const float* alphas, const float* betas, const float* limits, float alpha,
              float beta, float limit, int limited, const i32* sorted_slots, const TokenTile* token_tiles,
              const i32* tile_counts, u16* h, int hidden, int intermediate, int top_k) {
  using T = Tiling<kBlockM, kBlockN, kBlockK, kWarps, kStages>;
  using Shared = Storage1<kBlockM, kBlockN, kBlockK, kWarps, kStages>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(Shared) == RTJIT_SMEM_BYTES);
#endif
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

  MainLoop<T, kBlockM, kBlockN, kBlockK, kStages> loop(shared.bytes,
                                                       {tiles, scales, 2 * intermediate, hidden}, tile.expert,
                                                       row_block * (kBlockN / kStripRows));
  loop.run([&](int m, bool& take) {
    const int token = shared.rows[m];
    take = take && token >= 0;
    return x + (take ? token * x_stride : 0);
  });

  constexpr int kPitch = kBlockN + 16;
  if (loop.holds_sums()) {
    stage_activations<T, kBlockN, kPitch, kActivation, kBias>(
        loop, shared.bytes, row_block, tile.expert, 2 * intermediate, row_exponents, bias,
        activation_numbers(alphas, betas, limits, tile.expert, alpha, beta, limit, limited));
  }
  __syncthreads();
  store_rows<kBlockM, kBlockN / 2, kPitch, T::kThreads>(
      shared.bytes, row_block * (kBlockN / 2), intermediate,
      [&](int m) { return m < rows ? h + i64(tile.first_row + m) * intermediate : nullptr; });
}

}  // namespace rtjit::moe_mxfp4
