// GEMM1 with MXFP8 activations on Hopper's warp-group tensor cores: gate and up rows, bias and activation,
// and h rounded to panels of MXFP8.
#pragma once

#include "moe_mxfp4/store_panels.cuh"
#include "moe_mxfp4/wgmma_fp8.cuh"

namespace rtjit::moe_mxfp4 {

// Of the copying warpgroup two warps gather tokens, a thread of the third copies weights, and the fourth turns
// h into panels.
constexpr int kGatherThreads = 64, kGemm1WeightThread = 64, kPanelThreads = 32;

template <class S>
struct Gemm1Fp8Shared {
  WgmmaFp8Shared<S> buffers;
  PanelStaging<S::kBlockM> h;
  alignas(16) u32 tokens[8][round_up(S::kBlockM, 32) / 8];  // of row m of the tile: [m % 8][m / 8]
};

// Row blocks of a token tile that make the columns of h which share a factor; a thread block computes them
// one after the other.
struct RowBlocks {
  int first, count;
};

// The units (token tile, row blocks) of this thread block: first those of `together` row blocks, of a tile
// one after the other, then what is left of each tile, so that all thread blocks get the same amount.
template <class Visit>
__device__ inline void for_each_unit(const TokenTile* tiles, const i32* tile_count, int row_blocks,
                                     int together, const Visit& visit) {
  const u32 each = u32(together), blocks = u32(row_blocks), whole = blocks / each;
  const u32 whole_units = u32(*tile_count) * whole;
  const u32 units = u32(*tile_count) * div_up(row_blocks, together);
#pragma unroll 1
  for (u32 index = blockIdx.x; index < units; index += gridDim.x) {
    const bool is_whole = index < whole_units;
    const u32 t = is_whole ? index / whole : index - whole_units;
    const u32 first = (is_whole ? index - t * whole : whole) * each;
    visit(tiles[t], RowBlocks{int(first), int(min(each, blocks - first))});
  }
}

// Copies panels of x, the rows of a tile: a thread has a 16-byte piece of every eighth row. The tokens stay in
// registers: one warp per scheduler copies, and each wait for shared memory would hold up the matrix work.
template <class S>
class GatheredTokens {
 public:
  __device__ GatheredTokens(Gemm1Fp8Shared<S>& shared, const u8* codes, const float* factors, int tokens)
      : shared_(shared), codes_(codes + threadIdx.x % 8 * 16), factors_(factors), tokens_(tokens) {
    const u32 row = threadIdx.x / 8;
    target_ = shared_address(shared.buffers.tokens[0]) + row * kPanelK + ((threadIdx.x ^ row) & 7) * 16;
    row_tokens_ = shared_address(shared.tokens[row]);
  }

  // Of which tile. All copying threads must call.
  __device__ void find(const TokenTile& tile, const i32* sorted_slots, int top_k) {
    rows_ = tile.rows;
    sync();  // nobody still reads the tokens of the tile before
#pragma unroll
    for (int i = 0; i < kFactors; ++i) {
      const u32 m = threadIdx.x + u32(i * kGatherThreads);
      factor_tokens_[i] = u32(sorted_slots[tile.first_row + min(int(m), rows_ - 1)]) / u32(top_k);
      if (m < round_up(S::kBlockM, 32)) shared_.tokens[m % 8][m / 8] = factor_tokens_[i];
    }
    sync();
#pragma unroll
    for (int i = 0; i < kRows; i += 4) {
      asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                   : "=r"(row_token_[i]), "=r"(row_token_[i + 1]), "=r"(row_token_[i + 2]),
                     "=r"(row_token_[i + 3])
                   : "r"(row_tokens_ + u32(i * 4)));
    }
  }
  // Up to 31 rows beyond the last are copied as the last.
  __device__ void copy(int stage, int step) const {
    const i64 first = i64(step) * tokens_;
    const u8* codes = codes_ + first * kPanelK;
    const float* factors = factors_ + first;
    const u32 target = target_ + u32(stage * S::kTokenBytes);
#pragma unroll
    for (int i = 0; i < S::kBlockM / 8; ++i) {
      if (i % 4 == 0 && 8 * i >= rows_) break;
      const u8* source;  // out of the compiler's sight, which would add up the steps of each row
      asm("mad.wide.u32 %0, %1, %2, %3;" : "=l"(source) : "r"(row_token_[i]), "n"(kPanelK), "l"(codes));
      copy_async_16(target + u32(8 * i * kPanelK), source, true);
    }
    if (!takes_factors<S>(step)) return;
#pragma unroll
    for (int i = 0; i < kFactors; ++i) {
      const u32 m = threadIdx.x + u32(i * kGatherThreads);
      if (m < S::kBlockM)
        copy_async_4(shared_address(&shared_.buffers.factors[stage][factor_place(m)]),
                     factors + factor_tokens_[i], 4);
    }
  }

 private:
  static constexpr int kRows = round_up(S::kBlockM, 32) / 8, kFactors = div_up(S::kBlockM, kGatherThreads);
  static_assert(kGatherThreads == 64, "so a thread's rows are swizzled alike");
  static __device__ void sync() { asm volatile("bar.sync 3, %0;" ::"n"(kGatherThreads) : "memory"); }

  Gemm1Fp8Shared<S>& shared_;
  const u8* codes_;
  const float* factors_;
  int tokens_, rows_ = 0;
  u32 target_, row_tokens_;
  u32 row_token_[kRows], factor_tokens_[kFactors];
};

// h[sorted row, i] = activation(gate, up) for gathered rows of x, in panels whose factors are shared by the
// columns of `together` row blocks.
template <int kBlockM, int kStages, int kSteps, int kHidden, Activation kActivation, Bias kBias>
__global__ void __launch_bounds__(WgmmaFp8Shape<kBlockM, kStages, kSteps, kHidden, true>::kThreads, 1)
    gemm1_wgmma_fp8(const u8* x_codes, const float* x_factors, const u8* tiles, const u8* scales,
                    const u8* row_exponents, const void* bias, const float* alphas, const float* betas,
                    const float* limits, float alpha, float beta, float limit, int limited,
                    const i32* sorted_slots, const TokenTile* token_tiles, const i32* tile_counts,
                    u8* h_codes, float* h_factors, int intermediate, int tokens, int top_k, int together) {
  using S = WgmmaFp8Shape<kBlockM, kStages, kSteps, kHidden, true>;
  using Shared = Gemm1Fp8Shared<S>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(Shared) == RTJIT_SMEM_BYTES);
#endif
  Shared& shared = *reinterpret_cast<Shared*>(wgmma_shared);
  if (threadIdx.x == 0) {
    barrier_init(&shared.h.full, 4 * S::kGroups);
    barrier_init(&shared.h.empty, kPanelThreads / 32);
  }
  init_shared<S, kGatherThreads + 1>(shared.buffers);
  wait_for_predecessor();
  let_successor_start();
  const int row_blocks = div_up(2 * intermediate, S::kBlockN);
  auto for_each = [&](const auto& visit) {
    for_each_unit(token_tiles, tile_counts, row_blocks, together, visit);
  };
  Ring<kStages> ring;
  Ring<1> staged;
  if (threadIdx.x < kCopyThreads) {
    give_registers<S::kCopyRegisters>();
    if (threadIdx.x < kGatherThreads) {
      GatheredTokens<S> gathered(shared, x_codes, x_factors, tokens);
      for_each([&](const TokenTile& tile, const RowBlocks& unit) {
        gathered.find(tile, sorted_slots, top_k);
#pragma unroll 1
        for (int i = 0; i < unit.count; ++i) {
          fill_buffers(shared.buffers, ring, [&](int stage, int step) {
            gathered.copy(stage, step);
            barrier_arrive_after_copies(&shared.buffers.full[stage]);
          });
        }
      });
      copy_async_wait<0>();
    } else if (threadIdx.x == kGemm1WeightThread) {
      for_each([&](const TokenTile& tile, const RowBlocks& unit) {
#pragma unroll 1
        for (int i = 0; i < unit.count; ++i)
          copy_weights(shared.buffers, ring, {tiles, scales, 2 * intermediate, kHidden}, tile.expert,
                       (unit.first + i) * S::kStrips);
      });
    } else if (threadIdx.x >= kCopyThreads - kPanelThreads) {
      for_each([&](const TokenTile& tile, const RowBlocks& unit) {
        const PanelRows target{h_codes, h_factors, i64(tokens) * top_k, tile.first_row, tile.rows};
#pragma unroll 1
        for (int i = 0; i < unit.count; ++i) {
          barrier_wait(&shared.h.full, staged.parity);
          store_panel_block<kPanelThreads>(shared.h, target,
                                           int(threadIdx.x) - (kCopyThreads - kPanelThreads),
                                           unit.first + i, i, i + 1 == unit.count);
          __syncwarp();
          if ((threadIdx.x & 31) == 0) barrier_arrive(&shared.h.empty);
          staged.next();
        }
      });
    }
  } else {
    take_registers<S::kComputeRegisters>();
    const int group = int(threadIdx.x) / 128 - 1, warp = int(threadIdx.x >> 5) & 3;
    const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
    const Fp8Computer<S> computer(shared.buffers, group);
    u8* const staging = shared.h.piece(g, group * 4 + warp) + t * 4;
    for_each([&](const TokenTile& tile, const RowBlocks& unit) {
      const ActivationNumbers numbers =
          activation_numbers(alphas, betas, limits, tile.expert, alpha, beta, limit, limited);
#pragma unroll 1
      for (int i = 0; i < unit.count; ++i) {
        const int row =  // this warp's strip
            (unit.first + i) * S::kBlockN + group * 64 + warp * kStripRows;
        const bool exists = row < 2 * intermediate;
        const int rows = tile.rows;
        const LaneRows n = lane_rows<kBias>(row_exponents, bias, tile.expert, 2 * intermediate, row);
        float sums[kBlockM / 2];
        if (row - warp * kStripRows >= 2 * intermediate) {
          computer.skip(ring);
        } else {
          with_columns<S>(
              rows, [&](auto columns) { computer.template compute<decltype(columns)::value>(ring, sums); });
        }
        barrier_wait(&shared.h.empty, staged.parity ^ 1);
        // A thread holds gate (row g) and up (row g + 8) of the same i. Columns of h that do not exist are 0.
        for_each_column_group<S>(rows, [&](int c) {
          const float* sum = &sums[4 * c];
          const u32 pair =
              transpose_pairs(activate<kActivation>(sum[0] * n.lower_factor + n.lower_bias,
                                                    sum[2] * n.upper_factor + n.upper_bias, numbers),
                              activate<kActivation>(sum[1] * n.lower_factor + n.lower_bias,
                                                    sum[3] * n.upper_factor + n.upper_bias, numbers));
          *reinterpret_cast<u32*>(staging + c * 8 * 2 * kPanelBlock) = exists ? pair : 0;
        });
        __syncwarp();
        if (lane == 0) barrier_arrive(&shared.h.full);
        staged.next();
      }
    });
  }
}

}  // namespace rtjit::moe_mxfp4
