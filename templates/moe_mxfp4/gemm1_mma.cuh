// GEMM1 on tensor cores: gate and up rows, bias and activation.
#pragma once

#include "device/pdl.cuh"
#include "moe_mxfp4/mma.cuh"

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

  // A thread holds gate (row g) and up (row g + 8) of the same i.
  constexpr int kPitch = kBlockN + 16;
  const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
  if (loop.holds_sums()) {
    const ActivationNumbers numbers =
        activation_numbers(alphas, betas, limits, tile.expert, alpha, beta, limit, limited);
#pragma unroll
    for (int s = 0; s < T::kStrips; ++s) {
      const int strip = loop.warp_n() * T::kStrips + s;  // of the block
      const int row = row_block * kBlockN + strip * kStripRows + g;
      if (row >= 2 * intermediate) break;
      const i64 index = i64(tile.expert) * (2 * intermediate) + row;
      const float gate_factor = row_factor(row_exponents[index]),
                  up_factor = row_factor(row_exponents[index + 8]);
      const float gate_bias = load_bias<kBias>(bias, index), up_bias = load_bias<kBias>(bias, index + 8);
#pragma unroll
      for (int c = 0; c < T::kColumns; ++c) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int m = (loop.warp_m() * T::kColumns + c) * 8 + 2 * t + i;
          const float value = activate<kActivation>(loop.sums[s][c][i] * gate_factor + gate_bias,
                                                    loop.sums[s][c][i + 2] * up_factor + up_bias, numbers);
          *reinterpret_cast<u16*>(shared.bytes + m * kPitch + (strip * 8 + g) * 2) = float_to_bf16(value);
        }
      }
    }
  }
  __syncthreads();
  store_rows<kBlockM, kBlockN / 2, kPitch, T::kThreads>(
      shared.bytes, row_block * (kBlockN / 2), intermediate,
      [&](int m) { return m < rows ? h + i64(tile.first_row + m) * intermediate : nullptr; });
}

}  // namespace rtjit::moe_mxfp4
