// Finds unordered accesses of shared memory, across the blocks of a cluster: of different warps, of lanes of
// one warp, and of the asynchronous proxy to what was written through the generic one. Everything is kept as
// vector clocks, one entry per warp.
//
// Barriers, mbarriers, atomics and strong accesses order warps. Lanes of one warp are ordered by everything
// that advances their warp's clock: those, and __syncwarp() (of however many lanes).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "emulator/clock.h"

namespace rtjit::emu {

// The lane of an access that all lanes make together (ldmatrix, wgmma): it is ordered among them.
inline constexpr int kWholeWarp = -1;

class RaceDetector {
 public:
  using Clock = emu::Clock;

  // Participants are the warps of all blocks of a cluster, and an agent per block.
  void start(uint32_t warps, uint32_t blocks, uint32_t bytes) {
    words_.assign(bytes / 4 + 1, Word());
    warps_ = warps;
    has_agents_ = warps < 32 || blocks > 1;
    stride_ = warps + has_agents_;
    uint32_t count = stride_ * blocks;
    who_bits_ = std::max<int>(5, std::bit_width(count - 1));
    clocks_.resize(count);
    for (uint32_t w = 0; w < count; ++w) {
      clocks_[w].start(count);
      clocks_[w][w] = 1;
    }
    shared_.clear();
    usable_.clear();
    floor_ = 0;
  }

  uint32_t participant(uint32_t rank, uint32_t warp) const { return rank * stride_ + warp; }
  uint32_t rank_of(uint32_t who) const { return who / stride_; }
  uint32_t warp_of(uint32_t who) const { return who % stride_; }
  uint32_t clock_of(uint32_t who) const { return clocks_[who][who]; }

  // Asynchronous operations of the tensor core have a clock of their own: what they read and wrote is ordered
  // before others by the mbarrier of a commit alone, whatever else orders the warp that issued them. A block
  // of 32 warps without a cluster has no clock to spare; there they count as done by their issuer.
  uint32_t agent(uint32_t who) const { return has_agents_ ? who - who % stride_ + warps_ : who; }
  bool is_agent(uint32_t who) const { return has_agents_ && who % stride_ == warps_; }
  // What the warp knows, the operations that it issues now know too.
  void hand_to_agent(uint32_t who) {
    if (!has_agents_) return;
    Clock known;
    release(who, &known);
    acquire(agent(who), known);
    if (usable_.empty()) return;
    // The issuer's own past needs no fence.
    std::vector<uint32_t>& usable = usable_[agent(who)];
    merge_times(&usable, usable_[who]);
    usable[who] = clocks_[who][who];
  }

  // Room for tensor memory, beside shared memory: the offset at which its `bytes` begin.
  uint32_t extend(uint32_t bytes) {
    if (usable_.empty()) usable_.resize(clocks_.size(), std::vector<uint32_t>(clocks_.size()));
    auto offset = static_cast<uint32_t>(words_.size() * 4);
    words_.resize(words_.size() + bytes / 4);
    return offset;
  }

  enum class Kind : uint8_t {
    none,
    warps,  // another warp's access
    lanes,  // another lane of the same warp
    proxy,  // ordered, but the asynchronous proxy may still see what was there before
    fence,  // ordered, but not for tensor memory: a tcgen05.fence is missing
  };
  struct Conflict {
    Kind kind = Kind::none;
    bool found() const { return kind != Kind::none; }
    bool other_wrote = false;
    uint32_t other_who = 0;
    int32_t other_line = 0;
    int other_lane = kWholeWarp;  // lanes: which; kWholeWarp: several
    uint32_t offset = 0;
  };
  // `lane`: kWholeWarp, or whose access it is. `unchanged`: the write leaves every byte as it is, which lanes
  // of one warp may do together.
  Conflict read(uint32_t who, uint32_t offset, uint32_t bytes, int32_t line, int lane = kWholeWarp) {
    return access<false, false>(who, offset, bytes, line, lane, false);
  }
  Conflict write(uint32_t who, uint32_t offset, uint32_t bytes, int32_t line, int lane = kWholeWarp,
                 bool unchanged = false) {
    return access<true, false>(who, offset, bytes, line, lane, unchanged);
  }
  // Through the asynchronous proxy.
  Conflict read_async(uint32_t who, uint32_t offset, uint32_t bytes, int32_t line, int lane = kWholeWarp) {
    return access<false, true>(who, offset, bytes, line, lane, false);
  }
  Conflict write_async(uint32_t who, uint32_t offset, uint32_t bytes, int32_t line, int lane = kWholeWarp) {
    return access<true, true>(who, offset, bytes, line, lane, false);
  }
  // Tensor memory: whether what is ordered before this access by barriers was also handed on by a
  // before_thread_sync and taken by an after_thread_sync. What is not ordered is left to read() and write().
  Conflict missing_fence(uint32_t who, uint32_t offset, uint32_t bytes, bool write) const {
    const std::vector<uint32_t>& usable = usable_[who];
    const int shift = 4 + who_bits_;
    auto missing = [&](uint32_t stamp) {
      const uint32_t other = who_of(stamp), time = floor_ + (stamp >> shift);
      return stamp != 0 && other != who && time <= clocks_[who][other] && time > usable[other];
    };
    for (uint32_t i = offset / 4; i * 4 < offset + bytes; ++i) {
      const Word& word = words_[i];
      if (missing(word.writer)) return conflict(Kind::fence, true, word.writer, word.writer_place, i);
      for (int r = 0; write && r < 2; ++r) {
        if (missing(word.readers[r]))
          return conflict(Kind::fence, false, word.readers[r], word.reader_places[r], i);
      }
    }
    return {};
  }
  // As if nobody had touched it.
  void forget(uint32_t offset, uint32_t bytes) {
    for (uint32_t i = offset / 4; i * 4 < offset + bytes && i < words_.size(); ++i) words_[i] = Word();
  }
  // Data that a warp's copy brought behind an mbarrier; `time`: the warp's clock when that began. `async`:
  // through the asynchronous proxy.
  void arrived(uint32_t who, uint32_t time, uint32_t offset, uint32_t bytes, int32_t line, bool async) {
    forget(offset, bytes);
    if (time <= floor_) return;
    for (uint32_t i = offset / 4; i * 4 < offset + bytes && i < words_.size(); ++i) {
      words_[i].writer = stamp_of(who, time) | mask_of(i, offset, offset + bytes);
      words_[i].writer_place = static_cast<uint32_t>(line) << 6 | (async ? kAsync : kWhole);
    }
  }
  // Whoever acquires the object knows of such a copy, through both proxies.
  static void complete(Clock* object, uint32_t who, uint32_t time) {
    object->known.raise(who, time);
    object->visible.raise(who, time);
  }

  // What the warp did so far is known to whoever acquires the object later.
  void release(uint32_t who, Clock* object) {
    object->merge(clocks_[who]);
    advance(who);
  }
  void acquire(uint32_t who, const Clock& object) { clocks_[who].merge(object); }
  const Clock& clock(uint32_t who) const { return clocks_[who]; }

  // Atomics and strong accesses: ordered among each other through one object, which never reports what is
  // ordered.
  void synchronise(uint32_t who) {
    acquire(who, shared_);
    release(who, &shared_);
  }
  // __syncwarp(): what the warp's lanes did so far is ordered before what they do next.
  void order_lanes(uint32_t who) { advance(who); }
  // tcgen05.fence: before_thread_sync hands on what the participant did with tensor memory to whoever is
  // ordered after it from now on; after_thread_sync takes all that was handed to it.
  void fence_before_sync(uint32_t who) {
    if (usable_.empty()) return;
    std::vector<uint32_t>& handed = clocks_[who].handed;
    handed.resize(clocks_.size());
    handed[who] = clocks_[who][who];
    advance(who);
  }
  void fence_after_sync(uint32_t who) {
    if (!usable_.empty()) merge_times(&usable_[who], clocks_[who].handed);
  }
  // fence.proxy.async: all that the warp knows of becomes visible to the asynchronous proxy.
  void fence_async_proxy(uint32_t who) {
    clocks_[who].visible = clocks_[who].known;
    advance(who);
  }

 private:
  // Codes of lanes beside 0 to 31.
  static constexpr uint32_t kAsync = 61, kSeveral = 62, kWhole = 63;
  // A stamp is clock | participant | 4 bits for the bytes of the word; 0 = none. A place is line << 6 | lane.
  struct Word {
    uint32_t writer = 0, readers[2] = {0, 0};
    uint32_t writer_place = 0, reader_places[2] = {0, 0};
  };
  static constexpr int kStampBits = 28;  // for clock and participant

  uint32_t stamp_of(uint32_t who, uint32_t time) const {
    return (time - floor_) << (4 + who_bits_) | who << 4;
  }
  uint32_t who_of(uint32_t stamp) const { return stamp >> 4 & ((1u << who_bits_) - 1); }

  static uint32_t place(int32_t line, int lane) {
    return static_cast<uint32_t>(line) << 6 | (lane == kWholeWarp ? kWhole : static_cast<uint32_t>(lane));
  }
  static uint32_t mask_of(uint32_t word, uint32_t offset, uint32_t end) {
    uint32_t mask = 15;
    if (offset > word * 4) mask &= 15u << (offset - word * 4);
    if (end < word * 4 + 4) mask &= (1u << (end - word * 4)) - 1;
    return mask;
  }

  void advance(uint32_t who) {
    if ((++clocks_[who][who] - floor_) >> (kStampBits - who_bits_) != 0) [[unlikely]]
      forget_accesses();
  }
  // A clock no longer fits a stamp: stamps count from here on, and earlier accesses are taken as ordered.
  void forget_accesses() {
    std::fill(words_.begin(), words_.end(), Word());
    for (uint32_t w = 0; w < clocks_.size(); ++w) floor_ = std::max(floor_, clocks_[w][w]);
    for (uint32_t w = 0; w < clocks_.size(); ++w) clocks_[w][w] = floor_ + 1;
  }

  Conflict conflict(Kind kind, bool wrote, uint32_t stamp, uint32_t other_place, uint32_t word) const {
    uint32_t code = other_place & 63;
    return {kind,
            wrote,
            who_of(stamp),
            static_cast<int32_t>(other_place >> 6),
            code < 32 ? static_cast<int>(code) : kWholeWarp,
            word * 4};
  }

  template <bool Write, bool Async>
  Conflict access(uint32_t who, uint32_t offset, uint32_t bytes, int32_t line, int lane, bool unchanged) {
    const Clock& clock = clocks_[who];
    // Copies: the compiler cannot know that words do not overlap them.
    const int shift = 4 + who_bits_;
    const uint32_t floor = floor_, whos = (1u << shift) - 16, own = who << 4;
    const uint32_t now = stamp_of(who, clock[who]), here = place(line, lane), end = offset + bytes;
    auto unordered = [&](uint32_t stamp, uint32_t mask) {
      return (stamp & mask) && (stamp & whos) != own && floor + (stamp >> shift) > clock[(stamp & whos) >> 4];
    };
    auto unordered_lanes = [&](uint32_t stamp, uint32_t other_place, uint32_t mask) {
      if (!(stamp & mask) || (stamp ^ now) >> 4 != 0) return false;
      uint32_t code = other_place & 63;
      return code != kWhole && code != kAsync && code != static_cast<uint32_t>(lane);
    };
    for (uint32_t i = offset / 4; i * 4 < end; ++i) {
      const uint32_t mask = mask_of(i, offset, end);
      Word& word = words_[i];
      if (unordered(word.writer, mask)) return conflict(Kind::warps, true, word.writer, word.writer_place, i);
      if (lane != kWholeWarp && !unchanged && unordered_lanes(word.writer, word.writer_place, mask))
        return conflict(Kind::lanes, true, word.writer, word.writer_place, i);
      if constexpr (Async) {
        if ((word.writer & mask) && (word.writer_place & 63) != kAsync &&
            floor + (word.writer >> shift) > clock.visible[(word.writer & whos) >> 4])
          return conflict(Kind::proxy, true, word.writer, word.writer_place, i);
      }
      if constexpr (Write) {
        for (int r = 0; r < 2; ++r) {
          if (unordered(word.readers[r], mask))
            return conflict(Kind::warps, false, word.readers[r], word.reader_places[r], i);
          if (lane != kWholeWarp && unordered_lanes(word.readers[r], word.reader_places[r], mask))
            return conflict(Kind::lanes, false, word.readers[r], word.reader_places[r], i);
        }
        word.writer = now | mask;
        word.writer_place = here;
        word.readers[0] = word.readers[1] = 0;
      } else {
        note_reader(word, now | mask, here);
      }
    }
    return {};
  }

  void note_reader(Word& word, uint32_t stamp, uint32_t here) const {
    if (word.readers[0] == stamp && word.reader_places[0] != here) {
      // Lanes that read the same bytes at the same time stand for each other, unless it was all of them.
      uint32_t code = word.reader_places[0] & 63;
      if (code < 32 && (here & 63) < 32 && code != (here & 63)) here = (here & ~63u) | kSeveral;
      if (code == kSeveral) here = (here & ~63u) | kSeveral;
    } else if (word.readers[0] == 0 || who_of(word.readers[0]) != who_of(stamp)) {
      word.readers[1] = word.readers[0];
      word.reader_places[1] = word.reader_places[0];
    }
    word.readers[0] = stamp;
    word.reader_places[0] = here;
  }

  std::vector<Word> words_;
  std::vector<Clock> clocks_;
  std::vector<std::vector<uint32_t>> usable_;  // by participant: Clock::handed at its last after_thread_sync
  Clock shared_;
  uint32_t warps_ = 0, stride_ = 1, floor_ = 0;
  int who_bits_ = 5;
  bool has_agents_ = false;
};

}  // namespace rtjit::emu
