// GEMM2 with MXFP8 tokens on mma.sync: the down projection, scattered to slots.
#pragma once

#include "device/pdl.cuh"
#include "moe_mxfp4/mma_epilogue.cuh"
#include "moe_mxfp4/mxfp8_loop.cuh"
#include "moe_mxfp4/store_rows.cuh"

namespace rtjit::moe_mxfp4 {

// y[slot, n] = W2 h + bias, not yet weighted.
template <int kBlockScaled, int kBlockM, int kBlockN, int kBlockK, int kWarps, int kStages, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps)
    gemm2_mxfp8(const u8* h_codes, const u8* h_scales, const u8* tiles, const u8* scales,
                const u8* row_exponents, const void* bias, const i32* sorted_slots,
                const TokenTile* token_tiles, const i32* tile_counts, u16* y, int hidden, int intermediate) {
  using T = ScaledTiling<kBlockM, kBlockN, kBlockK, kWarps, kStages>;
  using Loop = typename Mxfp8Loop<kBlockScaled, T, kBlockM, kBlockN, kBlockK, kStages>::Type;
  constexpr int kPitch = kBlockN * 2 + 16;
  using Shared = Storage<T, kBlockM, kStages, kBlockM * kPitch>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(Shared) == RTJIT_SMEM_BYTES);
#endif
  Shared& shared = *reinterpret_cast<Shared*>(shared_memory);
  wait_for_predecessor();
  let_successor_start();
  TokenTile tile;
  int row_block;
  if (!find_tile(token_tiles, tile_counts + 1, (hidden + kBlockN - 1) / kBlockN, &tile, &row_block)) return;
  const int rows = tile.rows;
  for (int m = int(threadIdx.x); m < kBlockM; m += T::kThreads) {
    shared.rows[m] = m < rows ? sorted_slots[tile.first_row + m] : -1;
  }
  __syncthreads();

  Loop loop(shared.bytes, {tiles, scales, hidden, intermediate}, {h_codes, h_scales}, tile.expert,
            row_block * (kBlockN / kStripRows));
  loop.run([&](int m) { return m < rows ? i64(tile.first_row + m) : -1; });

  if (loop.holds_sums()) {
    stage_projections<T, kBlockN, kPitch, kBias>(loop, shared.bytes, row_block, tile.expert, hidden,
                                                 row_exponents, bias);
  }
  __syncthreads();
  store_rows<kBlockM, kBlockN, kPitch, T::kThreads>(shared.bytes, row_block * kBlockN, hidden, [&](int m) {
    return m < rows ? y + i64(shared.rows[m]) * hidden : nullptr;
  });
}

}  // namespace rtjit::moe_mxfp4
