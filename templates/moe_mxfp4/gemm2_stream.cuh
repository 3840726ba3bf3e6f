// GEMM2 for few tokens per expert: the down projection, scattered to slots or added up in out.
#pragma once

#include "moe_mxfp4/output_rows.cuh"
#include "moe_mxfp4/stream.cuh"
#include "moe_mxfp4/stream_apart.cuh"

namespace rtjit::moe_mxfp4 {

template <Bias kBias>
struct FinishDown {
  struct Row {
    float factors[2], biases[2];
  };

  const u8* row_exponents;
  const void* bias;
  const i32* sorted_slots;
  u16* y;
  int hidden;

  __device__ Row row(int expert, int strip) const {
    const i64 index = i64(expert) * hidden + strip * kStripRows + int(threadIdx.x & 31) / 4;
    return {{row_factor(row_exponents[index]), row_factor(row_exponents[index + 8])},
            {load_bias<kBias>(bias, index), load_bias<kBias>(bias, index + 8)}};
  }

  __device__ void store(const Row& row, const TokenTile& tile, int strip, int c,
                        const float (&sums)[4]) const {
    write(row, tile, strip, c, sums, [&](int m) { return sorted_slots[tile.first_row + m]; });
  }

  // The same in two steps, as stream_apart.cuh wants it: what memory holds, and what becomes of it.
  struct RawRow {
    u32 exponents[2], biases[2];
    i32 slots[2];  // of this lane's two tokens
  };
  __device__ RawRow raw_row(const TokenTile& tile, int strip) const {
    const int lane = int(threadIdx.x & 31), last = tile.rows - 1;
    const i64 index = i64(tile.expert) * hidden + strip * kStripRows + lane / 4;
    const i32* slots = sorted_slots + tile.first_row;
    const int m = 2 * (lane & 3);
    return {{row_exponents[index], row_exponents[index + 8]},
            {load_raw_bias<kBias>(bias, index), load_raw_bias<kBias>(bias, index + 8)},
            {slots[min(m, last)], slots[min(m + 1, last)]}};
  }
  __device__ void finish(const RawRow& raw, const TokenTile& tile, int strip, const float (&sums)[4]) const {
    write(made_of(raw.exponents, raw.biases), tile, strip, 0, sums, [&](int m) { return raw.slots[m & 1]; });
  }

  __device__ static Row made_of(const u32 (&exponents)[2], const u32 (&biases)[2]) {
    return {{row_factor(exponents[0]), row_factor(exponents[1])},
            {bias_value<kBias>(biases[0]), bias_value<kBias>(biases[1])}};
  }

 private:
  // `slot_of(m)` is the slot of row m of the tile.
  template <class SlotOf>
  __device__ void write(const Row& row, const TokenTile& tile, int strip, int c, const float (&sums)[4],
                        const SlotOf& slot_of) const {
    const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int m = c * 8 + 2 * t + i;
      if (m >= tile.rows) break;
      u16* target = y + i64(slot_of(m)) * hidden + strip * kStripRows + g;
      target[0] = float_to_bf16(sums[i] * row.factors[0] + row.biases[0]);
      target[8] = float_to_bf16(sums[i + 2] * row.factors[1] + row.biases[1]);
    }
  }
};

// The same, added up in out.
template <Bias kBias>
struct SumDown : FinishDown<kBias> {
  using Base = FinishDown<kBias>;
  using typename Base::Row;

  SummedRows output;

  __device__ static int own_token() { return int(threadIdx.x & 31) >> 2; }

  __device__ void store(const Row& row, const TokenTile& tile, int strip, int c,
                        const float (&sums)[4]) const {
    const int m = c * 8 + own_token();
    const bool take = m < tile.rows;
    add(row, take, take ? output.sorted[tile.first_row + m] : TokenShare{0, 0.0f}, strip, sums);
  }

  struct RawRow {
    u32 exponents[2], biases[2];
    TokenShare share;
  };
  __device__ RawRow raw_row(const TokenTile& tile, int strip) const {
    const i64 index = i64(tile.expert) * this->hidden + strip * kStripRows + own_token();
    return {{this->row_exponents[index], this->row_exponents[index + 8]},
            {load_raw_bias<kBias>(this->bias, index), load_raw_bias<kBias>(this->bias, index + 8)},
            output.sorted[tile.first_row + min(own_token(), tile.rows - 1)]};
  }
  __device__ void finish(const RawRow& raw, const TokenTile& tile, int strip, const float (&sums)[4]) const {
    add(Base::made_of(raw.exponents, raw.biases), own_token() < tile.rows, raw.share, strip, sums);
  }

 private:
  __device__ void add(const Row& row, bool take, const TokenShare& share, int strip,
                      const float (&sums)[4]) const {
    output.add_strip({sums[0] * row.factors[0] + row.biases[0], sums[1] * row.factors[0] + row.biases[0]},
                     {sums[2] * row.factors[1] + row.biases[1], sums[3] * row.factors[1] + row.biases[1]},
                     take, share, strip * kStripRows);
  }
};

// The tile list and the weights do not come from the predecessor, GEMM1: every kernel before this one in the
// pipeline has waited for its own predecessor before it let this one start.
template <class S, class Shared, class Finish>
__device__ inline void project_strips(Shared& shared, const u16* h, const u8* tiles, const u8* scales,
                                      const TokenTile* token_tiles, const i32* tile_counts, int hidden,
                                      int intermediate, const Finish& finish) {
  stream_strips<S>(
      shared, tiles, scales, hidden / kStripRows, intermediate, token_tiles, tile_counts + 1,
      [&](const TokenTile& tile, int m) {
        return m < tile.rows ? h + i64(tile.first_row + m) * intermediate : nullptr;
      },
      finish,
      [] {
        wait_for_predecessor();
        let_successor_start();
      });
}

// y[slot, n] = W2 h + bias, not yet weighted.
template <int kBlockM, int kWarps, int kTiles, int kDepth, int kHalf, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps, kWarps <= kWarpsOfHalfAnSm ? 2 : 1)
    gemm2_stream(const u16* h, const u8* tiles, const u8* scales, const u8* row_exponents, const void* bias,
                 const i32* sorted_slots, const TokenTile* token_tiles, const i32* tile_counts, u16* y,
                 int hidden, int intermediate) {
  using S = StreamShape<kBlockM, kWarps, kTiles, kDepth, kHalf != 0>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(StreamShared<S>) == RTJIT_SMEM_BYTES);
#endif
  project_strips<S>(*reinterpret_cast<StreamShared<S>*>(stream_shared), h, tiles, scales, token_tiles,
                    tile_counts, hidden, intermediate,
                    FinishDown<kBias>{row_exponents, bias, sorted_slots, y, hidden});
}

// The same; the warps of a block go on apart.
template <int kBlockM, int kWarps, int kTiles, int kDepth, int kHalf, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps, kWarps <= kWarpsOfHalfAnSm ? 2 : 1)
    gemm2_stream_apart(const u16* h, const u8* tiles, const u8* scales, const u8* row_exponents,
                       const void* bias, const i32* sorted_slots, const TokenTile* token_tiles,
                       const i32* tile_counts, u16* y, int hidden, int intermediate) {
  using S = StreamShape<kBlockM, kWarps, kTiles, kDepth, kHalf != 0>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(ApartShared<S>) == RTJIT_SMEM_BYTES);
#endif
  ApartShared<S>& shared = *reinterpret_cast<ApartShared<S>*>(stream_shared);
  init_barriers(shared);
  project_strips<S>(shared, h, tiles, scales, token_tiles, tile_counts, hidden, intermediate,
                    FinishDown<kBias>{row_exponents, bias, sorted_slots, y, hidden});
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
  project_strips<S>(*reinterpret_cast<StreamShared<S>*>(stream_shared), h, tiles, scales, token_tiles,
                    tile_counts, hidden, intermediate,
                    SumDown<kBias>{{row_exponents, bias, nullptr, nullptr, hidden}, {out, shares, hidden}});
}

// The same; the warps of a block go on apart.
template <int kBlockM, int kWarps, int kTiles, int kDepth, int kHalf, Bias kBias>
__global__ void __launch_bounds__(32 * kWarps, kWarps <= kWarpsOfHalfAnSm ? 2 : 1)
    gemm2_stream_apart_add(const u16* h, const u8* tiles, const u8* scales, const u8* row_exponents,
                           const void* bias, const TokenShare* shares, const TokenTile* token_tiles,
                           const i32* tile_counts, u16* out, int hidden, int intermediate) {
  using S = StreamShape<kBlockM, kWarps, kTiles, kDepth, kHalf != 0>;
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(ApartShared<S>) == RTJIT_SMEM_BYTES);
#endif
  ApartShared<S>& shared = *reinterpret_cast<ApartShared<S>*>(stream_shared);
  init_barriers(shared);
  project_strips<S>(shared, h, tiles, scales, token_tiles, tile_counts, hidden, intermediate,
                    SumDown<kBias>{{row_exponents, bias, nullptr, nullptr, hidden}, {out, shares, hidden}});
}

}  // namespace rtjit::moe_mxfp4
