// GEMM1 on tensor memory: gate and up rows, bias, activation, and h as MXFP8.
#pragma once

#include "device/pdl.cuh"
#include "moe_mxfp4/store_quantised.cuh"
#include "moe_mxfp4/tcgen05.cuh"

namespace rtjit::moe_mxfp4 {

// h[sorted row, i] = activation(gate, up) for gathered rows of x.
template <int kBlockM, int kBlockN, int kStages, Activation kActivation, Bias kBias>
__global__ void __launch_bounds__(kTensorThreads)
    gemm1_tcgen05(const u8* x_codes, const u8* x_scales, const u8* tiles, const u8* scales,
                  const u8* row_exponents, const void* bias, const float* alphas, const float* betas,
                  const float* limits, float alpha, float beta, float limit, int limited,
                  const i32* sorted_slots, const TokenTile* token_tiles, const i32* tile_counts, u8* h_codes,
                  u8* h_scales, int hidden, int intermediate, int top_k) {
  using Loop = TensorLoop<kBlockM, kBlockN, kStages>;
  using Shared = typename Loop::Shared;
  constexpr int kPitch = kBlockN + 16;
  static_assert(kBlockM * kPitch <= sizeof(Shared::weights) + sizeof(Shared::tokens));
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(Shared) == RTJIT_SMEM_BYTES);
#endif
  Shared& shared = *reinterpret_cast<Shared*>(tensor_shared_memory);
  wait_for_predecessor();
  let_successor_start();
  TokenTile tile;
  int row_block;
  if (!find_tile(token_tiles, tile_counts, (2 * intermediate + kBlockN - 1) / kBlockN, &tile, &row_block))
    return;
  const int rows = tile.rows;
  for (int m = int(threadIdx.x); m < kBlockM; m += kTensorThreads) {
    shared.rows[m] = m < rows ? sorted_slots[tile.first_row + m] / top_k : -1;
  }
  __syncthreads();

  Loop loop(shared, {tiles, scales, 2 * intermediate, hidden}, x_codes, x_scales, tile.expert,
            row_block * (kBlockN / kStripRows), rows);
  loop.run([&](int m) { return i64(shared.rows[m]); });

  // A lane holds a gate or an up, the other one is eight lanes away. Of two tokens the gate's lane finishes
  // the first and the up's lane the second.
  u8* staged = &shared.weights[0][0][0];
  const ActivationNumbers numbers =
      activation_numbers(alphas, betas, limits, tile.expert, alpha, beta, limit, limited);
  loop.for_each_row([&](int row, int first, const float(&values)[16]) {
    const int all_rows = 2 * intermediate, gate_row = row_block * kBlockN + (row & ~8);
    const bool up = (row & 8) != 0, valid = gate_row < all_rows;
    const i64 index = i64(tile.expert) * all_rows + (valid ? gate_row : 0);
    const float gate_factor = row_factor(row_exponents[index]),
                up_factor = row_factor(row_exponents[index + 8]);
    const float gate_bias = load_bias<kBias>(bias, index), up_bias = load_bias<kBias>(bias, index + 8);
    u8* target = staged + (first + (up ? 1 : 0)) * kPitch + (row / kStripRows * 8 + row % 8) * 2;
#pragma unroll
    for (int i = 0; i < 16; i += 2) {
      const float other = __shfl_xor_sync(0xffffffffu, up ? values[i] : values[i + 1], 8);
      const float gate = up ? other : values[i], up_value = up ? values[i + 1] : other;
      const float h =
          activate<kActivation>(gate * gate_factor + gate_bias, up_value * up_factor + up_bias, numbers);
      if (valid) *reinterpret_cast<u16*>(target + i * kPitch) = float_to_bf16(h);
    }
  });
  loop.finish();
  store_quantised<kBlockM, kBlockN / 2, kPitch, kTensorThreads>(
      staged, row_block * (kBlockN / 2), intermediate, h_codes, h_scales,
      [&](int m) { return m < rows ? i64(tile.first_row + m) : -1; });
}

}  // namespace rtjit::moe_mxfp4
