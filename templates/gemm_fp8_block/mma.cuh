// Tensor-core kernel: mma.sync fed by ldmatrix from a ring of cp.async stages, one stage per block of 128 k.
//
// The products of a scale block are summed by the tensor core alone; then the sum times both scales is added
// to the running fp32 sum. With kNativeFp8 the codes are multiplied as they are (sm_89 and up), else widened
// to bf16 in registers, which is exact.
#pragma once

#include "device/async_copy.cuh"
#include "device/matrix.cuh"
#include "gemm_fp8_block/common.cuh"

namespace rtjit::gemm_fp8_block {

constexpr int kRowBytes = kScaleBlock;      // of a tile in shared memory: one scale block
constexpr int kRowChunks = kRowBytes / 16;  // 16-byte pieces of it
constexpr int kRasterRows = 8;              // tiles of M that are walked together, so that they find B in L2

template <int kBlockM, int kBlockN, int kStages>
struct GemmStorage {
  u8 a[kStages][kBlockM * kRowBytes];
  u8 b[kStages][kBlockN * kRowBytes];
};

// Where a 16-byte piece of a row lies: the pieces are permuted so that 8 rows of one column hit all banks
// once.
__device__ inline u32 chunk_offset(int row, int chunk) {
  return u32(row * kRowBytes + ((chunk ^ (row & 7)) << 4));
}

// Starts the copies of kRows rows x 128 bytes. Rows from `rows` on and bytes from `bytes` on become zero.
template <int kRows, int kThreads>
__device__ inline void copy_tile(u32 target, const u8* source, i64 stride, int rows, int bytes) {
  constexpr int kPieces = kRows * kRowChunks;
  const int chunk = int(threadIdx.x) % kRowChunks;
#pragma unroll
  for (int i = 0; i < div_up(kPieces, kThreads); ++i) {
    const int row = int(threadIdx.x) / kRowChunks + i * (kThreads / kRowChunks);
    if (kPieces % kThreads != 0 && row >= kRows) break;
    const bool take = row < rows && chunk * 16 < bytes;
    copy_async_16(target + chunk_offset(row, chunk), take ? source + row * stride + chunk * 16 : source,
                  take);
  }
}

// How the warps share a tile, and what each owns: at most 32 rows, so that the registers of A stay few.
template <int kBlockM, int kBlockN, int kWarps>
struct WarpGrid {
  static constexpr int kAlongM = max_of(1, kBlockM / 32);
  static constexpr int kAlongN = kWarps / kAlongM;
  static constexpr int kRows = kBlockM / kAlongM, kColumns = kBlockN / kAlongN;
  static constexpr int kRowTiles = kRows / 16, kColumnTiles = kColumns / 8;
  static_assert(kRows % 16 == 0 && kColumns % 8 == 0, "a warp owns whole 16 x 8 tiles");
  // What the register allocator should leave room for: small tiles live from many blocks per SM.
  static constexpr int kSums = kRowTiles * kColumnTiles * 4;
  static constexpr int kMinBlocks = kWarps >= 8 ? 1 : kSums <= 16 ? 3 : 2;
};

// sums += factors * (A tile x B tile) over one scale block; `a` and `b` are the warp's rows in shared memory.
template <int kNativeFp8, int kRowTiles, int kColumnTiles>
__device__ inline void multiply_block(float (&sums)[kRowTiles][kColumnTiles][4], u32 a, u32 b,
                                      const float (&factors)[kRowTiles][2]) {
  // Widened codes need twice the registers, so bf16 takes a scale block in two halves.
  constexpr int kPasses = kNativeFp8 ? 1 : 2;
  constexpr int kSteps = 4 / kPasses;  // of 32 k
  const int lane = int(threadIdx.x) & 31;
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) {
    u32 a_codes[kRowTiles][kSteps][4];
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        load_matrix_x4(a_codes[i][step],
                       a + chunk_offset(i * 16 + (lane & 15), (pass * kSteps + step) * 2 + (lane >> 4)));
      }
    }
    u32 a_wide[!kNativeFp8 ? kRowTiles : 1][kSteps][2][4];
    if constexpr (!kNativeFp8) {
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
          // Both operands take bytes 0, 1 as k 2t, 2t+1 and bytes 2, 3 as k 2t+8, 2t+9: a permutation of k.
#pragma unroll
          for (int part = 0; part < 4; ++part) {
            widen_e4m3(a_codes[i][step][part], a_wide[i][step][part / 2][part % 2],
                       a_wide[i][step][part / 2][part % 2 + 2]);
          }
        }
      }
    }
#pragma unroll
    for (int j = 0; j < kColumnTiles; ++j) {
      u32 b_codes[kSteps / 2][4];
#pragma unroll
      for (int pair = 0; pair < kSteps / 2; ++pair) {
        load_matrix_x4(b_codes[pair],
                       b + chunk_offset(j * 8 + (lane & 7), (pass * kSteps + pair * 2) * 2 + (lane >> 3)));
      }
      float block_sums[kRowTiles][4] = {};
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const u32 b0 = b_codes[step / 2][step % 2 * 2], b1 = b_codes[step / 2][step % 2 * 2 + 1];
        if constexpr (kNativeFp8) {
#pragma unroll
          for (int i = 0; i < kRowTiles; ++i) mma_e4m3(block_sums[i], a_codes[i][step], b0, b1);
        } else {
          u32 b_wide[4];
          widen_e4m3(b0, b_wide[0], b_wide[1]);
          widen_e4m3(b1, b_wide[2], b_wide[3]);
#pragma unroll
          for (int i = 0; i < kRowTiles; ++i) {
            mma_bf16(block_sums[i], a_wide[i][step][0], b_wide[0], b_wide[1]);
            mma_bf16(block_sums[i], a_wide[i][step][1], b_wide[2], b_wide[3]);
          }
        }
      }
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
        for (int c = 0; c < 4; ++c) sums[i][j][c] += factors[i][c / 2] * block_sums[i][c];
      }
    }
  }
}

template <int kNativeFp8, Format kOutput, Format kAScale, ScaleLayout kLayout, Format kBScale, int kBlockM,
          int kBlockN, int kWarps, int kStages>
__global__ void __launch_bounds__(kWarps * 32, WarpGrid<kBlockM, kBlockN, kWarps>::kMinBlocks)
    gemm_mma(const u8* __restrict__ a, const void* __restrict__ a_scale, const u8* __restrict__ b,
             const void* __restrict__ b_scale, void* __restrict__ d, int m, int n, int k, i64 a_stride,
             i64 b_stride, i64 a_scale_stride, i64 d_stride) {
  using Grid = WarpGrid<kBlockM, kBlockN, kWarps>;
  using Storage = GemmStorage<kBlockM, kBlockN, kStages>;
  static_assert(kScaleBlock % kBlockN == 0, "the columns of a tile share one scale");
#ifdef RTJIT_SMEM_BYTES
  static_assert(sizeof(Storage) == RTJIT_SMEM_BYTES, "the manifest's smem formula disagrees with the kernel");
#endif
  extern __shared__ __align__(128) u8 shared[];
  const u32 shared_a = shared_address(reinterpret_cast<Storage*>(shared)->a);
  const u32 shared_b = shared_address(reinterpret_cast<Storage*>(shared)->b);

  const int tiles_m = div_up(m, kBlockM), tiles_n = div_up(n, kBlockN);
  const int first_tile_m = int(blockIdx.x) / (kRasterRows * tiles_n) * kRasterRows;
  const int tile_in_raster = int(blockIdx.x) % (kRasterRows * tiles_n);
  const int raster_rows = min_of(kRasterRows, tiles_m - first_tile_m);
  const int first_row = (first_tile_m + tile_in_raster % raster_rows) * kBlockM;
  const int first_column = tile_in_raster / raster_rows * kBlockN;

  const int lane = int(threadIdx.x) & 31, warp = int(threadIdx.x) >> 5;
  const int warp_row = warp / Grid::kAlongN * Grid::kRows,
            warp_column = warp % Grid::kAlongN * Grid::kColumns;
  const int blocks = scale_blocks(k);

  const u8* tile_a = a + first_row * a_stride;
  const u8* tile_b = b + first_column * b_stride;
  const auto copy_stage = [&](int block) {
    const int stage = block % kStages, offset = block * kScaleBlock;
    copy_tile<kBlockM, kWarps * 32>(shared_a + stage * kBlockM * kRowBytes, tile_a + offset, a_stride,
                                    m - first_row, k - offset);
    copy_tile<kBlockN, kWarps * 32>(shared_b + stage * kBlockN * kRowBytes, tile_b + offset, b_stride,
                                    n - first_column, k - offset);
  };

  // Both scales of the rows that this lane holds sums of. Rows past the end get 0 and are never stored.
  const int lane_row = first_row + warp_row + (lane >> 2);
  const i64 b_scale_row = i64(first_column / kScaleBlock) * blocks;
  float next_factors[Grid::kRowTiles][2] = {};
  const auto load_factors = [&](int block) {
    const float of_b = load_scale<kBScale>(b_scale, b_scale_row + block);
#pragma unroll
    for (int i = 0; i < Grid::kRowTiles * 2; ++i) {
      const int row = lane_row + i * 8;
      next_factors[i / 2][i % 2] =
          row < m ? load_a_scale<kAScale, kLayout>(a_scale, a_scale_stride, row, block) * of_b : 0.0f;
    }
  };

#pragma unroll
  for (int block = 0; block < kStages - 1; ++block) {
    if (block < blocks) copy_stage(block);
    copy_async_commit();
  }
  if (blocks > 0) load_factors(0);

  float sums[Grid::kRowTiles][Grid::kColumnTiles][4] = {};
#pragma unroll 1
  for (int block = 0; block < blocks; ++block) {
    copy_async_wait<kStages - 2>();
    __syncthreads();  // the stage has landed for all, and all are done with the one that is filled next
    if (block + kStages - 1 < blocks) copy_stage(block + kStages - 1);
    copy_async_commit();

    float factors[Grid::kRowTiles][2];
#pragma unroll
    for (int i = 0; i < Grid::kRowTiles * 2; ++i) factors[i / 2][i % 2] = next_factors[i / 2][i % 2];
    if (block + 1 < blocks) load_factors(block + 1);

    const int stage = block % kStages;
    multiply_block<kNativeFp8>(sums, shared_a + (stage * kBlockM + warp_row) * kRowBytes,
                               shared_b + (stage * kBlockN + warp_column) * kRowBytes, factors);
  }

  constexpr int kPairBytes = kOutput == Format::f32 ? 8 : 4;
  const bool pairs = ((reinterpret_cast<u64>(d) | u64(d_stride * (kPairBytes / 2))) & (kPairBytes - 1)) == 0;
#pragma unroll
  for (int i = 0; i < Grid::kRowTiles * 2; ++i) {
    const int row = lane_row + i * 8;
    if (row >= m) continue;
#pragma unroll
    for (int j = 0; j < Grid::kColumnTiles; ++j) {
      const int column = first_column + warp_column + j * 8 + (lane & 3) * 2;
      const float first = sums[i / 2][j][i % 2 * 2], second = sums[i / 2][j][i % 2 * 2 + 1];
      const i64 index = row * d_stride + column;
      if (pairs && column + 1 < n) {
        store_pair<kOutput>(d, index, first, second);
      } else {
        if (column < n) store_one<kOutput>(d, index, first);
        if (column + 1 < n) store_one<kOutput>(d, index + 1, second);
      }
    }
  }
}

}  // namespace rtjit::gemm_fp8_block
