// What both GEMMs share where every token tile is narrow and reading the weights is all that matters.
//
// The strips of all token tiles form one list, cut into equal runs, one per thread block; so all SMs are busy
// to the end. The warps of a block share a strip's k: each holds its piece of the tokens in registers, for as
// long as the run stays within a token tile, and streams its tiles of the weights through shared memory of
// its own, kDepth strips ahead. The warps' sums meet in shared memory and are added in a fixed order, kBatch
// strips at a time, by a few warps while the others go on.
#pragma once

#include "device/async_copy.cuh"
#include "device/matrix.cuh"
#include "device/pdl.cuh"
#include "moe_mxfp4/common.cuh"
#include "moe_mxfp4/few_slots.cuh"

namespace rtjit::moe_mxfp4 {

// Blocks of so few warps share an SM: while one adds up a batch, the other multiplies.
constexpr int kWarpsOfHalfAnSm = 8;

// kHalf: k may leave a half tile; without it, k is a multiple of 64.
template <int kBlockM_, int kWarps_, int kTiles_, int kDepth_, bool kHalf_>
struct StreamShape {
  static constexpr int kBlockM = kBlockM_;
  static constexpr int kWarps = kWarps_;
  static constexpr int kTiles = kTiles_;  // 64-k tiles of a strip per warp
  static constexpr int kDepth = kDepth_;  // strips under way
  static constexpr bool kHalf = kHalf_;
  static constexpr int kColumns = kBlockM / 8;
  static constexpr int kBatch = 4 / kColumns;
  static constexpr int kUnits = kBatch * kColumns;  // 16 x 8 results, each added up by one warp
  static constexpr int kPartBytes = kTiles * (kTileBytes + kTileScaleBytes);
  static_assert(kColumns == 1 || kColumns == 2);
  static_assert(kWarps % kUnits == 0 && kTiles <= (kWarps <= kWarpsOfHalfAnSm ? 8 : 4));
};

template <class S>
struct StreamShared {
  alignas(128) u8 parts[S::kWarps][S::kDepth][S::kPartBytes];
  float4 sums[2][S::kUnits][S::kWarps][32];
  FewRouted routed;  // where there are only a few slots
};

// The token tiles, and which slots are in them.
struct TokenLists {
  const TokenTile* tiles;
  const i32* tile_count;
  const i32* sorted_slots;
};

// The lists in shared memory, made here from a few slots. All threads must call.
template <class S>
__device__ inline TokenLists route_here(StreamShared<S>& shared, const Routing& routing) {
  if (threadIdx.x < 32) route_few_slots(routing, S::kBlockM, shared.routed);
  __syncthreads();
  return {shared.routed.tiles, &shared.routed.tile_count, shared.routed.sorted_slots};
}

// A strip of a token tile.
struct StripPosition {
  i32 tile, strip;
  __device__ void advance(int by, int strips) {
    strip += by;
    while (strip >= strips) strip -= strips, ++tile;
  }
};

// The first of a warp's tiles: kTiles in a row for each warp, the last ones pushed back so that all are tiles
// of the strip. Tiles that two warps then have belong to the first of them; to the other their tokens are
// zeros.
template <class S>
__device__ inline int first_tile(int k) {
  return min(int(threadIdx.x >> 5) * S::kTiles, (k + kTileK - 1) / kTileK - S::kTiles);
}

// Copies this warp's part of successive strips into its ring of kDepth buffers.
template <class S>
class StripReader {
 public:
  __device__ StripReader(u8* ring, const u8* tiles, const u8* scales, const TokenTile* token_tiles,
                         int strips, int k, StripPosition position)
      : tiles_(tiles), scales_(scales), token_tiles_(token_tiles), strips_(strips), k_(k), at_(position) {
    const int lane = int(threadIdx.x & 31), first = first_tile<S>(k);
    ring_ = shared_address(ring);
    words_ = first * kTileBytes + lane * 16;
    scale_ = first * kTileScaleBytes + lane * 16;
    // Of a half tile only the first half is there.
    take_last_ = !S::kHalf || words_ + (S::kTiles - 1) * kTileBytes < strip_bytes(k);
    take_scale_ = lane < S::kTiles * kTileScaleBytes / 16 && scale_ < strip_scale_bytes(k);
    find_expert();
  }

  // The next strip's part into buffer `slot`, and one strip further.
  __device__ void next(int slot) {
    if (at_.strip == strips_) {
      at_.strip = 0, ++at_.tile;
      find_expert();
    }
    const u32 target = ring_ + u32(slot * S::kPartBytes + int(threadIdx.x & 31) * 16);
    const u8* words = strip_tiles_ + words_;
#pragma unroll
    for (int j = 0; j < S::kTiles; ++j)
      copy_async_16(target + u32(j * kTileBytes), words + j * kTileBytes, j + 1 < S::kTiles || take_last_);
    if (take_scale_) copy_async_16(target + u32(S::kTiles * kTileBytes), strip_scales_ + scale_, true);
    strip_tiles_ += strip_bytes(k_);
    strip_scales_ += strip_scale_bytes(k_);
    ++at_.strip;
  }

 private:
  __device__ void find_expert() {
    const i64 strip = i64(token_tiles_[at_.tile].expert) * strips_ + at_.strip;
    strip_tiles_ = tiles_ + strip * strip_bytes(k_);
    strip_scales_ = scales_ + strip * strip_scale_bytes(k_);
  }

  const u8 *tiles_, *scales_;
  const TokenTile* token_tiles_;
  int strips_, k_;
  StripPosition at_;
  u32 ring_;
  int words_, scale_;
  bool take_last_, take_scale_;
  const u8 *strip_tiles_, *strip_scales_;
};

// One warp's piece of a token tile: for each 64-k tile the right operands of four mma steps.
template <class S>
struct TokenPiece {
  u32 words[S::kColumns][S::kTiles][8];

  // `token_row(m)` is where row m of the tile starts, null for none.
  template <class TokenRow>
  __device__ void load(int k, const TokenRow& token_row) {
    const int lane = int(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
    const int first_k = first_tile<S>(k) * kTileK, own_k = int(threadIdx.x >> 5) * S::kTiles * kTileK;
#pragma unroll
    for (int c = 0; c < S::kColumns; ++c) {
      const u16* row = token_row(c * 8 + g);
#pragma unroll
      for (int j = 0; j < S::kTiles; ++j) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          const int at = first_k + j * kTileK + i * 8;
          words[c][j][i] =
              row != nullptr && at >= own_k && at < k ? *reinterpret_cast<const u32*>(row + at + 2 * t) : 0;
        }
      }
    }
  }

  // sums += one strip's part * this piece. `half_last`: the last tile is a half one.
  __device__ void multiply(const u8* part, bool half_last, float (&sums)[S::kColumns][4]) const {
    const int lane = int(threadIdx.x & 31);
    const u8* scales = part + S::kTiles * kTileBytes;
    float odd[S::kColumns][4] = {};  // a second chain of sums: mma waits for the one before it in its chain
#pragma unroll
    for (int j = 0; j < S::kTiles; ++j) {
      const LaneTile tile = load_lane_tile(part + j * kTileBytes, scales + j * kTileScaleBytes, lane,
                                           S::kHalf && j + 1 == S::kTiles && half_last);
      multiply_group<0>(tile, j, sums);
      multiply_group<1>(tile, j, odd);
    }
#pragma unroll
    for (int c = 0; c < S::kColumns; ++c) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[c][i] += odd[c][i];
    }
  }

 private:
  template <int kGroup>
  __device__ void multiply_group(const LaneTile& tile, int j, float (&sums)[S::kColumns][4]) const {
    u32 left[2][4];
    widen_group<kGroup>(tile, left);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
#pragma unroll
      for (int c = 0; c < S::kColumns; ++c) {
        mma_bf16(sums[c], left[h], words[c][j][kGroup * 4 + 2 * h], words[c][j][kGroup * 4 + 2 * h + 1]);
      }
    }
  }
};

// What is done with the sums of a strip and eight tokens: they are scaled, biased and stored by `Finish`:
//   RawRows rows = finish.rows(expert, strip)      what it needs of the weights' rows, asked for early
//   finish.store(rows, tile, strip, c, sums)       sums as in mma_bf16, of tokens 8 c to 8 c + 7 of the tile
// `token_row(tile, m)` is where row m of a tile starts, null for none. `wait()` comes after the first
// loads of weights and before the first of tokens; the tile list must be there before.
template <class S, class TokenRow, class Finish, class Wait>
__device__ inline void stream_strips(StreamShared<S>& shared, const u8* tiles, const u8* scales, int strips,
                                     int k, const TokenLists& lists, const TokenRow& token_row,
                                     const Finish& finish, const Wait& wait) {
  // Below 2^32: 2^13 strips at most of 2^18 + 2^10 tiles, for there are 2^21 slots and 2^10 experts at most.
  const u32 total = u32(*lists.tile_count) * u32(strips), each = total / gridDim.x;
  const u32 longer = total - each * gridDim.x;  // so many blocks have one more
  const u32 begin = each * blockIdx.x + min(blockIdx.x, longer);
  const int count = int(each + (blockIdx.x < longer ? 1 : 0));
  if (count == 0) {
    wait();
    return;
  }
  const TokenTile* token_tiles = lists.tiles;
  StripPosition use{i32(begin / u32(strips)), i32(begin % u32(strips))};
  const int lane = int(threadIdx.x & 31), warp = int(threadIdx.x >> 5);
  u8* ring = shared.parts[warp][0];
  StripReader<S> reader(ring, tiles, scales, token_tiles, strips, k, use);
#pragma unroll 1
  for (int d = 0; d < S::kDepth; ++d) {
    if (d < count) reader.next(d);
    copy_async_commit();
  }
  wait();
  const bool half_last = S::kHalf && (first_tile<S>(k) + S::kTiles) * kTileK > k;
  int slot = 0;
  TokenPiece<S> tokens;
  int loaded_tile = -1;
#pragma unroll 1
  for (int first = 0, batch = 0; first < count; first += S::kBatch, ++batch) {
    // The warps that add up this batch change from batch to batch.
    const int unit = (warp + S::kUnits * batch) % S::kWarps;
    const int unit_strip = unit / S::kColumns, unit_column = unit % S::kColumns;
    const bool adds = unit < S::kUnits && first + unit_strip < count;
    StripPosition at = use;
    TokenTile tile{};
    RawRows rows{};
    if (adds) {
      at.advance(unit_strip, strips);
      tile = token_tiles[at.tile];
      rows = finish.rows(tile.expert, at.strip);
    }
    // The strips of the batch, up to the end of their token tile at a time.
    const int batch_end = min(S::kBatch, count - first);
#pragma unroll 1
    for (int done = 0; done < batch_end;) {
      if (use.tile != loaded_tile) {
        loaded_tile = use.tile;
        const TokenTile now = token_tiles[use.tile];
        tokens.load(k, [&](int m) { return token_row(now, m); });
      }
      const int end = min(batch_end, done + strips - use.strip);
#pragma unroll 1
      for (int s = done; s < end; ++s) {
        copy_async_wait<S::kDepth - 1>();
        __syncwarp();
        float sums[S::kColumns][4] = {};
        tokens.multiply(ring + slot * S::kPartBytes, half_last, sums);
        __syncwarp();
        if (first + s + S::kDepth < count) reader.next(slot);
        copy_async_commit();
        slot = slot + 1 == S::kDepth ? 0 : slot + 1;
#pragma unroll
        for (int c = 0; c < S::kColumns; ++c) {
          shared.sums[batch & 1][s * S::kColumns + c][warp][lane] =
              make_float4(sums[c][0], sums[c][1], sums[c][2], sums[c][3]);
        }
      }
      use.advance(end - done, strips);
      done = end;
    }
    // Also keeps a warp from writing over sums of the batch before the last that are still being added.
    __syncthreads();
    if (!adds) continue;
    float sums[4] = {};
#pragma unroll
    for (int w = 0; w < S::kWarps; ++w) {
      const float4 other = shared.sums[batch & 1][unit][w][lane];
      sums[0] += other.x, sums[1] += other.y, sums[2] += other.z, sums[3] += other.w;
    }
    finish.store(rows, tile, at.strip, unit_column, sums);
  }
}

extern __shared__ __align__(128) unsigned char stream_shared[];

}  // namespace rtjit::moe_mxfp4
