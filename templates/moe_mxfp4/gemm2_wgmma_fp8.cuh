// GEMM2 with MXFP8 activations on Hopper's warp-group tensor cores: the down projection, scattered to slots.
#pragma once

#include "moe_mxfp4/wgmma_fp8.cuh"

namespace rtjit::moe_mxfp4 {

constexpr int kGemm2WeightThread = 32;  // of the copying warpgroup; the first warp copies tokens

template <class S>
struct Gemm2Fp8Shared {
  WgmmaFp8Shared<S> buffers;
  i32 slots[S::kGroups][S::kBlockM];
};

// The slots of a tile's tokens, so that the epilogue need not wait for memory: read before the sums are
// computed, one or two per thread, and shared after it. Each computing warpgroup does so for itself.
template <class S>
class TileSlots {
 public:
  __device__ TileSlots(Gemm2Fp8Shared<S>& shared, int group, const i32* slots, int rows)
      : shared_(shared.slots[group]), group_(group) {
#pragma unroll
    for (int i = 0; i < kEach; ++i) own_[i] = slots[min(thread() + i * 128, rows - 1)];
  }
  // All threads of the warpgroup must call.
  __device__ void share() const {
    sync();  // nobody still reads those of the tile before
#pragma unroll
    for (int i = 0; i < kEach; ++i)
      if (thread() + i * 128 < S::kBlockM) shared_[thread() + i * 128] = own_[i];
    sync();
  }
  __device__ int operator[](int m) const { return shared_[m]; }

 private:
  static constexpr int kEach = div_up(S::kBlockM, 128);
  static __device__ int thread() { return int(threadIdx.x & 127); }
  __device__ void sync() const { asm volatile("bar.sync %0, 128;" ::"r"(group_ + 1) : "memory"); }
  i32* shared_;
  int group_;
  i32 own_[kEach];
};

// y[slot, n] = W2 h + bias, not yet weighted.
template <int kBlockM, int kStages, int kSteps, int kIntermediate, Bias kBias>
__global__ void __launch_bounds__(WgmmaFp8Shape<kBlockM, kStages, kSteps, kIntermediate, false>::kThreads, 1)
    gemm2_wgmma_fp8(const u8* h_codes, const float* h_factors, const u8* tiles, const u8* scales,
                    const u8* row_exponents, const void* bias, const i32* sorted_slots,
                    const TokenTile* token_tiles, const i32* tile_counts, u16* y, int hidden, int slots) {
  using S = WgmmaFp8Shape<kBlockM, kStages, kSteps, kIntermediate, false>;
  using Shared = Gemm2Fp8Shared<S>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(Shared) == RTJIT_SMEM_BYTES);
#endif
  Shared& shared = *reinterpret_cast<Shared*>(wgmma_shared);
  init_shared<S, 32 + 2>(shared.buffers);  // a warp of tokens, whose first lane announces them, and the weights
  const int row_blocks = div_up(hidden, S::kBlockN);
  Ring<kStages> ring;
  if (threadIdx.x < kCopyThreads) {
    give_registers<S::kCopyRegisters>();
    // The tile list, the slots and the weights do not come from the predecessor: every kernel before this one in
    // the pipeline has waited for its own predecessor before it let this one start. Whoever computes waits for
    // the tokens, which are copied after the wait.
    if (threadIdx.x == kGemm2WeightThread) {
      for_each_tile(token_tiles, tile_counts + 1, row_blocks, [&](const TokenTile& tile, int row_block) {
        copy_weights(shared.buffers, ring, {tiles, scales, hidden, kIntermediate}, tile.expert,
                     row_block * S::kStrips);
      });
    } else if (threadIdx.x < 32) {
      wait_for_predecessor();
      let_successor_start();
      for_each_tile(token_tiles, tile_counts + 1, row_blocks, [&](const TokenTile& tile, int) {
        const int rows = tile.rows, lane = int(threadIdx.x);
        fill_buffers(shared.buffers, ring, [&](int stage, int step) {
          const i64 first = i64(step) * slots + tile.first_row;
          u64& full = shared.buffers.full[stage];
          if (lane == 0) {
            barrier_expect(shared_address(&full), u32(rows * kPanelK));
            copy_bulk(shared_address(shared.buffers.tokens[stage]), h_codes + first * kPanelK,
                      u32(rows * kPanelK), shared_address(&full));
          }
          if (takes_factors<S>(step)) {
#pragma unroll
            for (int i = 0; i < div_up(kBlockM, 32); ++i) {
              if (lane + i * 32 < rows)
                copy_async_4(shared_address(&shared.buffers.factors[stage][factor_place(lane + i * 32)]),
                             h_factors + first + lane + i * 32, 4);
            }
          }
          barrier_arrive_after_copies(&full);
        });
      });
      copy_async_wait<0>();
    }
  } else {
    take_registers<S::kComputeRegisters>();
    const int group = int(threadIdx.x) / 128 - 1, warp = int(threadIdx.x >> 5) & 3;
    const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
    const Fp8Computer<S> computer(shared.buffers, group);
    for_each_tile(token_tiles, tile_counts + 1, row_blocks, [&](const TokenTile& tile, int row_block) {
      const int row =  // this warp's strip
          row_block * S::kBlockN + group * 64 + warp * kStripRows;
      if (row - warp * kStripRows >= hidden) {
        computer.skip(ring);
        return;
      }
      const int rows = tile.rows;
      const TileSlots<S> tile_slots(shared, group, sorted_slots + tile.first_row, rows);
      const LaneRows n = lane_rows<kBias>(row_exponents, bias, tile.expert, hidden, row);
      float sums[kBlockM / 2];
      with_columns<S>(rows,
                      [&](auto columns) { computer.template compute<decltype(columns)::value>(ring, sums); });
      tile_slots.share();
      if (row >= hidden) return;
      for_each_column_group<S>(rows, [&](int c) {
        const float* sum = &sums[4 * c];
        const u32 lower =
            transpose_pairs(sum[0] * n.lower_factor + n.lower_bias, sum[1] * n.lower_factor + n.lower_bias);
        const u32 upper =
            transpose_pairs(sum[2] * n.upper_factor + n.upper_bias, sum[3] * n.upper_factor + n.upper_bias);
        const bool take = c * 8 + g < rows;
        u16* target = y + i64(tile_slots[c * 8 + g]) * hidden + row + 2 * t;
        store_if(take, target, lower);
        store_if(take, target + 8, upper);
      });
    });
  }
}

}  // namespace rtjit::moe_mxfp4
