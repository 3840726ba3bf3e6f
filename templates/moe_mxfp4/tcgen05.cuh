// What both GEMMs on tensor memory (tcgen05, kind::mxf8f6f4) share.
//
// A block computes block_n weight rows (one or two products of 128) for up to block_m tokens of one expert,
// in steps of 128 k. Packed weights, tokens and their scales arrive by cp.async in `stages` buffers. All
// threads unpack the weights into one of two tiles as the tensor core reads E2M1: 16 codes in 8 bytes, then 8
// bytes that do not count. One thread then starts the products; they run while the next step is unpacked.
#pragma once

#include "device/tcgen05.cuh"
#include "device/tensor_map.cuh"
#include "moe_mxfp4/block_tile.cuh"
#include "moe_mxfp4/quantise.cuh"

namespace rtjit::moe_mxfp4 {

constexpr int kTensorRows = 128, kTensorK = 128;  // of a product, of a step
constexpr int kTensorThreads = 256;

template <int kBlockM, int kBlockN, int kStages>
struct TensorStorage {
  static constexpr int kHalves = kBlockN / kTensorRows;
  static constexpr int kTokenScaleTiles = div_up(kBlockM, 128);
  // What the tensor core reads, in rows of 128 bytes, swizzled.
  alignas(1024) u8 weights[2][kHalves][kTensorRows * kTensorK];
  u8 tokens[kStages][kBlockM * kTensorK];
  u8 packed[kStages][kBlockN * kTensorK / 2];
  u8 packed_scales[kStages][kBlockN * kTensorK / 32];
  u8 weight_scales[2][kHalves][kScaleTileBytes];
  u8 token_scales[kStages][kTokenScaleTiles * kScaleTileBytes];
  i32 rows[kBlockM];  // GEMM1: the token of each row; GEMM2: its slot; -1 where the tile has no row
  u64 done[2];        // the products that read weights[i] are complete
  u32 tensor_memory;
};

// Columns of tensor memory: the sums of each half, then the scales of the weights and of the tokens.
template <int kBlockM, int kBlockN>
struct TensorColumns {
  static constexpr int kWeightScales = kBlockM * (kBlockN / kTensorRows);
  static constexpr int kTokenScales = kWeightScales + 4 * (kBlockN / kTensorRows);
  static constexpr int kUsed = kTokenScales + 4 * div_up(kBlockM, 128);
  static constexpr int kAll = kUsed <= 32    ? 32
                              : kUsed <= 64  ? 64
                              : kUsed <= 128 ? 128
                              : kUsed <= 256 ? 256
                                             : 512;
  static_assert(kUsed <= 512);
};

template <int kBlockM, int kBlockN, int kStages>
class TensorLoop {
 public:
  using Shared = TensorStorage<kBlockM, kBlockN, kStages>;
  using Columns = TensorColumns<kBlockM, kBlockN>;
  static constexpr int kHalves = Shared::kHalves;
  static_assert(kBlockM % 16 == 0 && kBlockM <= 256 && kBlockN % kTensorRows == 0 && kStages >= 2);

  // `rows` of the tile's rows are there; `codes` and `scales`: of all tokens.
  __device__ TensorLoop(Shared& shared, const Weights& weights, const u8* codes, const u8* scales, int expert,
                        int first_strip, int rows)
      : shared_(shared), codes_(codes), token_scales_(scales), k_(weights.k), columns_(round_up(rows, 16)) {
    const int strips = weights.rows / kStripRows;
    const i64 strip = i64(expert) * strips + first_strip;
    weights_ = weights.tiles + strip * strip_bytes(k_);
    scales_ = weights.scales + strip * strip_scale_bytes(k_);
    strips_left_ = strips - first_strip;
  }

  // All threads call. `token_row(m)` is the row that row m of the token tile comes from, negative for none.
  template <class TokenRow>
  __device__ void run(const TokenRow& token_row) {
    prepare();
    const int steps = div_up(k_, kTensorK);
    // Once per tile: unrolled it would be most of the kernel's code and half of its compile time.
#pragma unroll 1
    for (int s = 0; s < kStages; ++s) {
      if (s < steps) load(s, s, token_row);
      copy_async_commit();
    }
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      if (step >= 2) {
        // The products of step - 2 are complete: their weight tile and their stage are free.
        barrier_wait(&shared_.done[step & 1], u32(step / 2 - 1) & 1u);
        if (step - 2 + kStages < steps) load((step - 2) % kStages, step - 2 + kStages, token_row);
      }
      copy_async_commit();
      copy_async_wait<kStages - 2>();
      __syncthreads();
      unpack(step % kStages, step & 1, k_ - step * kTensorK);
      fence_async_shared();
      tensor_fence_before_sync();
      __syncthreads();
      if (threadIdx.x == 0) multiply(step);
      __syncwarp();
    }
    barrier_wait(&shared_.done[(steps - 1) & 1], u32((steps - 1) / 2) & 1u);
    tensor_fence_after_sync();
  }

  // Calls visit(row, first, values): the sums of weight row `row` of the block for tokens first .. first
  // + 15. All lanes of a warp hold rows next to each other and the same tokens.
  template <class Visit>
  __device__ void for_each_row(const Visit& visit) {
    const int warp = int(threadIdx.x >> 5), quarter = warp & 3;
#pragma unroll 1
    for (int half = 0; half < kHalves; ++half) {
#pragma unroll 1
      for (int first = (warp >> 2) * 16; first < columns_; first += kTensorThreads / 128 * 16) {
        float values[16];
        __syncwarp();
        load_tensor_columns(values,
                            shared_.tensor_memory + (u32(quarter) << 21) + u32(half * kBlockM + first));
        visit(half * kTensorRows + quarter * 32 + int(threadIdx.x & 31), first, values);
      }
    }
  }

  // After the last use of the sums.
  __device__ void finish() {
    tensor_fence_before_sync();
    __syncthreads();
    if (threadIdx.x < 32) free_tensor_memory<Columns::kAll>(shared_.tensor_memory);
  }

 private:
  __device__ void prepare() {
    if (threadIdx.x == 0) {
      barrier_init(&shared_.done[0], 1);
      barrier_init(&shared_.done[1], 1);
    }
    __syncwarp();
    if (threadIdx.x < 32) allocate_tensor_memory<Columns::kAll>(&shared_.tensor_memory);
    // Nothing else writes the bytes between codes and the scales of tokens beyond block_m.
    clear(&shared_.weights[0][0][0], sizeof(shared_.weights));
    clear(&shared_.token_scales[0][0], sizeof(shared_.token_scales));
    tensor_fence_before_sync();
    __syncthreads();
    tensor_fence_after_sync();
  }

  __device__ static void clear(u8* bytes, int count) {
#pragma unroll 1
    for (int i = int(threadIdx.x) * 16; i < count; i += kTensorThreads * 16)
      *reinterpret_cast<uint4*>(bytes + i) = make_uint4(0, 0, 0, 0);
  }

  template <class TokenRow>
  __device__ void load(int stage, int step, const TokenRow& token_row) {
    const int thread = int(threadIdx.x);
    const u32 tokens = shared_address(shared_.tokens[stage]);
    const int piece = thread % 8, k = step * kTensorK + piece * 16;
    for (int m = thread / 8; m < columns_; m += kTensorThreads / 8) {
      const i64 row = token_row(m);
      const bool take = row >= 0 && k < k_;
      copy_async_16(tokens + u32(m * kTensorK + (piece ^ (m & 7)) * 16), codes_ + (take ? row * k_ + k : 0),
                    take);
    }
    const u32 token_scales = shared_address(shared_.token_scales[stage]);
    for (int m = thread; m < columns_; m += kTensorThreads) {
      const i64 row = token_row(m);
      const int first = step * (kTensorK / kBlockSize), left = k_ / kBlockSize - first;
      copy_async_4(token_scales + u32(scale_tile_offset(m)),
                   token_scales_ + (row < 0 ? 0 : row * scale_pitch(k_) + first),
                   row < 0 ? 0 : min_of(left, 4));
    }
    constexpr int kStripPieces = kTensorK / kTileK * kTileBytes / 16;
    const u32 packed = shared_address(shared_.packed[stage]);
    const i64 offset = i64(step) * (kStripPieces * 16) + thread % kStripPieces * 16;
#pragma unroll
    for (int i = 0; i < kBlockN / kStripRows * kStripPieces / kTensorThreads; ++i) {
      const int strip = thread / kStripPieces + i * (kTensorThreads / kStripPieces);
      const bool take = strip < strips_left_ && offset < strip_bytes(k_);
      copy_async_16(packed + u32((thread + i * kTensorThreads) * 16),
                    weights_ + (take ? strip * strip_bytes(k_) + offset : 0), take);
    }
    constexpr int kScalePieces = kTensorK / kTileK * kTileScaleBytes / 16;
    static_assert(kBlockN / kStripRows * kScalePieces <= kTensorThreads);
    if (thread < kBlockN / kStripRows * kScalePieces) {
      const int strip = thread / kScalePieces;
      const int scale_offset = (step * kScalePieces + thread % kScalePieces) * 16;
      const bool take = strip < strips_left_ && scale_offset < strip_scale_bytes(k_);
      copy_async_16(shared_address(shared_.packed_scales[stage]) + u32(thread * 16),
                    scales_ + (take ? i64(strip) * strip_scale_bytes(k_) + scale_offset : 0), take);
    }
  }

  // A warp takes a tile of 16 rows x 64 k; a lane holds eight codes of rows g and g + 8 in two blocks of 32,
  // which are half of 16 codes that stand together.
  __device__ void unpack(int stage, int buffer, int k_left) {
    const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
    constexpr int kTiles = kTensorK / kTileK;
#pragma unroll 2
    for (int index = int(threadIdx.x >> 5); index < kBlockN / kStripRows * kTiles;
         index += kTensorThreads / 32) {
      const int strip = index / kTiles, tile = index % kTiles;
      LaneTile part = load_lane_tile(shared_.packed[stage] + index * kTileBytes,
                                     shared_.packed_scales[stage] + index * kTileScaleBytes, lane,
                                     k_left - tile * kTileK < kTileK);
      const u32 scales = relative_scales(part.scales, part.words);
      u8* weights = shared_.weights[buffer][strip / 8];
      const int row = strip % 8 * kStripRows + g;  // and row + 8: the same modulo 8, so swizzled alike
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int piece = tile * 4 + i / 2 * 2 + (t >> 1);
        *reinterpret_cast<u32*>(weights + (row + i % 2 * 8) * kTensorK + (piece ^ g) * 16 + (t & 1) * 4) =
            gather_e2m1(part.words[i]);
      }
      if (t < 2) {
        const u32 mine = scales >> (8 * t);  // of row + 8 t: bytes 0 and 2
        *reinterpret_cast<u16*>(shared_.weight_scales[buffer][strip / 8] + scale_tile_offset(row + 8 * t) +
                                tile * 2) = u16((mine & 255u) | ((mine >> 8) & 0xff00u));
      }
    }
  }

  // One thread: the products of a step, as many blocks of 32 k as there are.
  __device__ void multiply(int step) {
    tensor_fence_after_sync();
    const int stage = step % kStages, buffer = step & 1;
    const int blocks = min_of(kTensorK, k_ - step * kTensorK) / kBlockSize;
    const u32 memory = shared_.tensor_memory;
#pragma unroll
    for (int tile = 0; tile < Shared::kTokenScaleTiles; ++tile) {
      copy_tensor_scales(memory + u32(Columns::kTokenScales + 4 * tile),
                         scale_tile(shared_address(shared_.token_scales[stage] + tile * kScaleTileBytes)));
    }
    const u32 tokens = shared_address(shared_.tokens[stage]);
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      const u32 scales = memory + u32(Columns::kWeightScales + 4 * half);
      copy_tensor_scales(scales, scale_tile(shared_address(shared_.weight_scales[buffer][half])));
      const u32 weights = shared_address(shared_.weights[buffer][half]);
#pragma unroll 1
      for (int block = 0; block < blocks; ++block) {
        tensor_multiply_scaled(memory + u32(half * kBlockM), swizzled_tile(weights + u32(block * 32)),
                               swizzled_tile(tokens + u32(block * 32)), e2m1_e4m3_product(columns_, block),
                               scales, memory + u32(Columns::kTokenScales), step > 0 || block > 0);
      }
    }
    tensor_commit(&shared_.done[buffer]);
  }

  Shared& shared_;
  const u8 *codes_, *token_scales_;
  const u8 *weights_, *scales_;
  int k_, strips_left_, columns_;
};

extern __shared__ __align__(1024) unsigned char tensor_shared_memory[];

}  // namespace rtjit::moe_mxfp4
