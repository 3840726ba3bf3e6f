// As stream.cuh, but the warps of a block do not wait for one another: each leaves its sums of a strip in the
// next place of a ring and goes on. Strip i is added up by warp i % kWarps, kLate strips later, when the
// others have mostly been there. Places change hands by two mbarriers each, so a warp that memory keeps
// waiting holds the others up only when it is almost a whole ring behind.
#pragma once

#include "device/mbarrier.cuh"
#include "moe_mxfp4/stream.cuh"

namespace rtjit::moe_mxfp4 {

constexpr int kPlaces = 8;  // of the ring of sums
constexpr int kLate = 2;    // strips between leaving sums and adding them up

template <class S>
struct ApartShared {
  alignas(128) u8 parts[S::kWarps][S::kDepth][S::kPartBytes];
  float4 sums[kPlaces][S::kWarps][32];
  u64 full[kPlaces], empty[kPlaces];
  static_assert(S::kColumns == 1 && kLate < S::kWarps && kLate < kPlaces);
};

// Copies this warp's part of successive strips into its ring of kDepth buffers, as StripReader does, with
// addresses that only move on from strip to strip.
template <class S>
class PartReader {
 public:
  __device__ PartReader(u8* ring, const u8* tiles, const u8* scales, const TokenTile* token_tiles, int strips,
                        int k, StripPosition position)
      : tiles_(tiles), scales_(scales), token_tiles_(token_tiles), strips_(strips), k_(k), at_(position) {
    const int lane = int(threadIdx.x & 31);
    ring_ = shared_address(ring) + u32(lane * 16);
    target_ = ring_;
    find_expert();
    const i64 word = first_tile<S>(k) * kTileBytes + lane * 16;
    const i64 scale = first_tile<S>(k) * kTileScaleBytes + lane * 16;
    // Of a half tile only the first half is there.
    take_last_ = !S::kHalf || word + (S::kTiles - 1) * kTileBytes < strip_bytes(k);
    take_scale_ = lane < S::kTiles * kTileScaleBytes / 16 && scale < strip_scale_bytes(k);
  }

  // The next strip's part into the next buffer.
  __device__ void next() {
    if (at_.strip == strips_) {
      at_.strip = 0, ++at_.tile;
      find_expert();
    }
#pragma unroll
    for (int j = 0; j < S::kTiles; ++j) {
      copy_async_16(target_ + u32(j * kTileBytes), word_ + (j * kTileBytes - kMiddle),
                    j + 1 < S::kTiles || take_last_);
    }
    if (take_scale_) copy_async_16(target_ + u32(S::kTiles * kTileBytes), scale_, true);
    word_ += strip_bytes(k_);
    scale_ += strip_scale_bytes(k_);
    ++at_.strip;
    target_ += S::kPartBytes;
    if (target_ >= ring_ + u32(S::kDepth * S::kPartBytes)) target_ = ring_;
  }

 private:
  // word_ points there, since the copies' offsets reach 2048 bytes to either side.
  static constexpr int kMiddle = S::kTiles / 2 * kTileBytes;

  __device__ void find_expert() {
    const int lane = int(threadIdx.x & 31);
    const i64 strip = i64(__ldcg(&token_tiles_[at_.tile].expert)) * strips_ + at_.strip;
    word_ = tiles_ + strip * strip_bytes(k_) + (first_tile<S>(k_) * kTileBytes + lane * 16 + kMiddle);
    scale_ = scales_ + strip * strip_scale_bytes(k_) + (first_tile<S>(k_) * kTileScaleBytes + lane * 16);
  }

  const u8 *tiles_, *scales_;
  const TokenTile* token_tiles_;
  int strips_, k_;
  StripPosition at_;
  u32 ring_, target_;
  bool take_last_, take_scale_;
  const u8 *word_, *scale_;
};

// Called by all threads before stream_strips().
template <class S>
__device__ inline void init_barriers(ApartShared<S>& shared) {
  if (threadIdx.x < kPlaces) {
    barrier_init(&shared.full[threadIdx.x], 32 * S::kWarps);
    barrier_init(&shared.empty[threadIdx.x], 32);
  }
  __syncthreads();
}

// What a warp has to add up. What it needs of the weights' rows is asked for when the strip is multiplied,
// and not looked at before the sums are added: a warp that converted it at once would wait for memory in
// between.
template <class RawRow>
struct Errand {
  int strip_index = 0;  // counted in this block
  StripPosition at{};
  TokenTile tile{};
  RawRow row{};
};

template <class S, class Finish>
__device__ inline void add_up(ApartShared<S>& shared, const Finish& finish,
                              const Errand<typename Finish::RawRow>& errand) {
  const int lane = int(threadIdx.x & 31), place = errand.strip_index % kPlaces;
  barrier_wait(&shared.full[place], u32(errand.strip_index / kPlaces) & 1);
  float sums[4] = {};
#pragma unroll
  for (int w = 0; w < S::kWarps; ++w) {
    const float4 other = shared.sums[place][w][lane];
    sums[0] += other.x, sums[1] += other.y, sums[2] += other.z, sums[3] += other.w;
  }
  barrier_arrive(&shared.empty[place]);
  finish.finish(errand.row, errand.tile, errand.at.strip, sums);
}

// As the other stream_strips(), whose arguments these are, but `Finish` works in two steps:
//   RawRow raw = finish.raw_row(tile, strip)       what memory holds about the weights' rows, asked for early
//   finish.finish(raw, tile, strip, sums)          sums as in mma_bf16, of the tile's eight tokens
template <class S, class TokenRow, class Finish, class Wait>
__device__ inline void stream_strips(ApartShared<S>& shared, const u8* tiles, const u8* scales, int strips,
                                     int k, const TokenTile* token_tiles, const i32* tile_count,
                                     const TokenRow& token_row, const Finish& finish, const Wait& wait) {
  const i64 total = i64(__ldcg(tile_count)) * strips;
  const i64 begin = total * blockIdx.x / gridDim.x;
  const int count = int(total * (blockIdx.x + 1) / gridDim.x - begin);
  if (count == 0) {
    wait();
    return;
  }
  StripPosition use{i32(begin / strips), i32(begin % strips)};
  const int lane = int(threadIdx.x & 31), warp = int(threadIdx.x >> 5);
  u8* ring = shared.parts[warp][0];
  PartReader<S> reader(ring, tiles, scales, token_tiles, strips, k, use);
#pragma unroll 1
  for (int d = 0; d < S::kDepth; ++d) {
    if (d < count) reader.next();
    copy_async_commit();
  }
  wait();
  const bool half_last = S::kHalf && (first_tile<S>(k) + S::kTiles) * kTileK > k;
  TokenPiece<S> tokens;
  TokenTile tile{};
  int loaded_tile = -1, slot = 0, place = 0;
  u32 parity = 1;  // of the end of the last use of the place
  Errand<typename Finish::RawRow> errand;
  int own = warp, due = -1;  // the next strip that is this warp's to add up, and when it adds up the last one
#pragma unroll 1
  for (int i = 0; i < count; ++i) {
    if (use.tile != loaded_tile) {
      loaded_tile = use.tile;
      tile = token_tiles[use.tile];
      tokens.load(k, [&](int m) { return token_row(tile, m); });
    }
    copy_async_wait<S::kDepth - 1>();
    __syncwarp();
    float sums[1][4] = {};
    tokens.template multiply<ScaleRegisters::one>(ring + slot * S::kPartBytes, half_last, sums);
    __syncwarp();
    if (i + S::kDepth < count) reader.next();
    copy_async_commit();
    slot = slot + 1 == S::kDepth ? 0 : slot + 1;

    barrier_wait(&shared.empty[place], parity);
    shared.sums[place][warp][lane] = make_float4(sums[0][0], sums[0][1], sums[0][2], sums[0][3]);
    barrier_arrive(&shared.full[place]);
    if (++place == kPlaces) place = 0, parity ^= 1;

    if (i == due) {
      add_up<S>(shared, finish, errand);
      due = -1;
    }
    if (i == own) {
      errand = {i, use, tile, finish.raw_row(tile, use.strip)};
      due = i + kLate;
      own += S::kWarps;
    }
    if (++use.strip == strips) use.strip = 0, ++use.tile;
  }
  if (due >= 0) add_up<S>(shared, finish, errand);
}

}  // namespace rtjit::moe_mxfp4
