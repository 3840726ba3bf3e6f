// From a tile of bf16 in shared memory to rows of a matrix.
#pragma once

#include "device/tensor_map.cuh"
#include "moe_mxfp4/common.cuh"
#include "moe_mxfp4/output_rows.cuh"

namespace rtjit::moe_mxfp4 {

// Copies a staged tile to rows of `output`, 16 bytes at a time.
template <int kBlockM, int kWidth, int kPitch, int kThreads, class OutputRow>
__device__ inline void store_rows(const u8* staged, int first_column, int columns,
                                  const OutputRow& output_row) {
  constexpr int kPieces = kWidth / 8;
#pragma unroll 4
  for (int i = int(threadIdx.x); i < kBlockM * kPieces; i += kThreads) {
    const int m = i / kPieces, piece = i % kPieces;
    const int column = first_column + piece * 8;
    u16* row = output_row(m);
    if (row == nullptr || column >= columns) continue;
    *reinterpret_cast<uint4*>(row + column) =
        *reinterpret_cast<const uint4*>(staged + m * kPitch + piece * 16);
  }
}

// The pitch of a staged row of kWidth values: padded against bank conflicts, except where TMA reads it.
template <int kWidth, Store kStore>
constexpr int staged_pitch = kWidth * 2 + (kStore == Store::plain ? 16 : 0);

// The first `rows` rows of a staged tile of y to the slots that own them.
template <Store kStore, int kBlockM, int kWidth, int kThreads>
__device__ inline void scatter_rows(const u8* staged, const i32* slot_of_row, int rows, int first_column,
                                    int columns, int slots, u16* y, const TensorMap& y_map) {
  constexpr int kPitch = staged_pitch<kWidth, kStore>;
  if constexpr (kStore == Store::plain) {
    __syncthreads();
    store_rows<kBlockM, kWidth, kPitch, kThreads>(staged, first_column, columns, [&](int m) {
      return m < rows ? y + i64(slot_of_row[m]) * columns : nullptr;
    });
  } else {
    fence_async_shared();
    __syncthreads();
    const int first = int(threadIdx.x) * 4;
    if (first < rows) {
      int targets[4];  // a row index beyond the matrix leaves the row out
#pragma unroll
      for (int i = 0; i < 4; ++i) targets[i] = first + i < rows ? slot_of_row[first + i] : slots;
      store_scatter4(y_map, shared_address(staged + first * kPitch), first_column, targets);
      bulk_commit();
      bulk_wait_read();
    }
  }
}

// The first `rows` rows of a staged tile, which are weighted, to their tokens.
template <int kBlockM, int kWidth, int kThreads>
__device__ inline void add_rows(const u8* staged, const i32* token_of_row, int rows, int first_column,
                                const SummedRows& output) {
  constexpr int kPieces = kWidth / 8, kPitch = staged_pitch<kWidth, Store::plain>;
  __syncthreads();
#pragma unroll 4
  for (int i = int(threadIdx.x); i < kBlockM * kPieces; i += kThreads) {
    const int m = i / kPieces, piece = i % kPieces;
    const int column = first_column + piece * 8;
    if (m >= rows || column >= output.hidden) continue;
    add_bf16x8(output.row(token_of_row[m]) + column,
               *reinterpret_cast<const uint4*>(staged + m * kPitch + piece * 16));
  }
}

// Which row of the output an entry of the sorted order stands for.
__device__ inline int output_row(i32 slot) { return slot; }
__device__ inline int output_row(const TokenShare& share) { return share.token; }

}  // namespace rtjit::moe_mxfp4
