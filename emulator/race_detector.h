// Finds unordered accesses of shared memory: of different warps, of lanes of one warp, and of the
// asynchronous proxy to what was written through the generic one. Everything is kept as vector clocks, one
// entry per warp.
//
// Barriers, mbarriers, atomics and strong accesses order warps. Lanes of one warp are ordered by everything
// that advances their warp's clock: those, and __syncwarp() (of however many lanes).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace rtjit::emu {

// The lane of an access that all lanes make together (ldmatrix, wgmma): it is ordered among them.
inline constexpr int kWholeWarp = -1;

class RaceDetector {
 public:
  static constexpr uint32_t kWarps = 32;
  // For each warp: how much of its past is known; then how much of it a proxy fence made visible to the
  // asynchronous proxy.
  using Clock = std::array<uint32_t, 2 * kWarps>;

  void start(uint32_t warps, uint32_t bytes) {
    words_.assign(bytes / 4 + 1, Word());
    for (uint32_t w = 0; w < warps; ++w) {
      clocks_[w].fill(0);
      clocks_[w][w] = 1;
    }
    has_agent_ = warps <= kAgent;
    if (has_agent_) {
      clocks_[kAgent].fill(0);
      clocks_[kAgent][kAgent] = 1;
    }
    shared_.fill(0);
  }

  // Asynchronous operations of the tensor core have a clock of their own: what they read and wrote is ordered
  // before others by the mbarrier of a commit alone, whatever else orders the warp that issued them. A block
  // of 32 warps has no clock to spare; there they count as done by their issuer.
  static constexpr uint32_t kAgent = 31;
  uint32_t agent(uint32_t warp) const { return has_agent_ ? kAgent : warp; }
  bool is_agent(uint32_t warp) const { return has_agent_ && warp == kAgent; }
  // What the warp knows, the operations that it issues now know too.
  void hand_to_agent(uint32_t warp) {
    if (!has_agent_) return;
    Clock known{};
    release(warp, &known);
    acquire(kAgent, known);
  }

  // Room for memory beside shared memory: the offset at which its `bytes` begin.
  uint32_t extend(uint32_t bytes) {
    auto offset = static_cast<uint32_t>(words_.size() * 4);
    words_.resize(words_.size() + bytes / 4);
    return offset;
  }

  enum class Kind : uint8_t {
    none,
    warps,  // another warp's access
    lanes,  // another lane of the same warp
    proxy,  // ordered, but the asynchronous proxy may still see what was there before
  };
  struct Conflict {
    Kind kind = Kind::none;
    bool found() const { return kind != Kind::none; }
    bool other_wrote = false;
    uint32_t other_warp = 0;
    int32_t other_line = 0;
    int other_lane = kWholeWarp;  // lanes: which; kWholeWarp: several
    uint32_t offset = 0;
  };
  // `lane`: kWholeWarp, or whose access it is. `unchanged`: the write leaves every byte as it is, which lanes
  // of one warp may do together.
  Conflict read(uint32_t warp, uint32_t offset, uint32_t bytes, int32_t line, int lane = kWholeWarp) {
    return access<false, false>(warp, offset, bytes, line, lane, false);
  }
  Conflict write(uint32_t warp, uint32_t offset, uint32_t bytes, int32_t line, int lane = kWholeWarp,
                 bool unchanged = false) {
    return access<true, false>(warp, offset, bytes, line, lane, unchanged);
  }
  // Through the asynchronous proxy.
  Conflict read_async(uint32_t warp, uint32_t offset, uint32_t bytes, int32_t line, int lane = kWholeWarp) {
    return access<false, true>(warp, offset, bytes, line, lane, false);
  }
  Conflict write_async(uint32_t warp, uint32_t offset, uint32_t bytes, int32_t line, int lane = kWholeWarp) {
    return access<true, true>(warp, offset, bytes, line, lane, false);
  }
  // As if nobody had touched it.
  void forget(uint32_t offset, uint32_t bytes) {
    for (uint32_t i = offset / 4; i * 4 < offset + bytes && i < words_.size(); ++i) words_[i] = Word();
  }
  // Data that a warp's copy brought behind an mbarrier; `time`: the warp's clock when that began. `async`:
  // through the asynchronous proxy.
  void arrived(uint32_t warp, uint32_t time, uint32_t offset, uint32_t bytes, int32_t line, bool async) {
    forget(offset, bytes);
    for (uint32_t i = offset / 4; i * 4 < offset + bytes && i < words_.size(); ++i) {
      words_[i].writer = time << 9 | warp << 4 | mask_of(i, offset, offset + bytes);
      words_[i].writer_place = static_cast<uint32_t>(line) << 6 | (async ? kAsync : kWhole);
    }
  }
  // Whoever acquires the object knows of such a copy, through both proxies.
  static void complete(Clock* object, uint32_t warp, uint32_t time) {
    (*object)[warp] = std::max((*object)[warp], time);
    (*object)[kWarps + warp] = std::max((*object)[kWarps + warp], time);
  }
  uint32_t time(uint32_t warp) const { return clocks_[warp][warp]; }

  // What the warp did so far is known to whoever acquires the object later.
  void release(uint32_t warp, Clock* object) {
    for (size_t i = 0; i < object->size(); ++i) (*object)[i] = std::max((*object)[i], clocks_[warp][i]);
    ++clocks_[warp][warp];
  }
  void acquire(uint32_t warp, const Clock& object) {
    for (size_t i = 0; i < object.size(); ++i) clocks_[warp][i] = std::max(clocks_[warp][i], object[i]);
  }
  // Atomics and strong accesses: ordered among each other through one object, which never reports what is
  // ordered.
  void synchronise(uint32_t warp) {
    acquire(warp, shared_);
    release(warp, &shared_);
  }
  // __syncwarp(): what the warp's lanes did so far is ordered before what they do next.
  void order_lanes(uint32_t warp) { ++clocks_[warp][warp]; }
  // fence.proxy.async: all that the warp knows of becomes visible to the asynchronous proxy.
  void fence_async_proxy(uint32_t warp) {
    Clock& clock = clocks_[warp];
    std::copy_n(clock.begin(), kWarps, clock.begin() + kWarps);
    ++clock[warp];
  }

 private:
  // Codes of lanes beside 0 to 31.
  static constexpr uint32_t kAsync = 61, kSeveral = 62, kWhole = 63;
  // A stamp is clock << 9 | warp << 4 | bytes of the word; 0 = none. A place is line << 6 | lane.
  struct Word {
    uint32_t writer = 0, readers[2] = {0, 0};
    uint32_t writer_place = 0, reader_places[2] = {0, 0};
  };
  static uint32_t place(int32_t line, int lane) {
    return static_cast<uint32_t>(line) << 6 | (lane == kWholeWarp ? kWhole : static_cast<uint32_t>(lane));
  }
  static uint32_t mask_of(uint32_t word, uint32_t offset, uint32_t end) {
    uint32_t mask = 15;
    if (offset > word * 4) mask &= 15u << (offset - word * 4);
    if (end < word * 4 + 4) mask &= (1u << (end - word * 4)) - 1;
    return mask;
  }

  static uint32_t warp_of(uint32_t stamp) { return stamp >> 4 & 31; }
  bool unordered(uint32_t stamp, uint32_t warp, uint32_t bytes) const {
    uint32_t other = warp_of(stamp);
    return (stamp & bytes) && other != warp && stamp >> 9 > clocks_[warp][other];
  }
  bool unordered_lanes(uint32_t stamp, uint32_t other_place, uint32_t warp, uint32_t bytes, int lane) const {
    if (!(stamp & bytes) || warp_of(stamp) != warp || stamp >> 9 != clocks_[warp][warp]) return false;
    uint32_t code = other_place & 63;
    return code != kWhole && code != kAsync && code != static_cast<uint32_t>(lane);
  }
  static Conflict conflict(Kind kind, bool wrote, uint32_t stamp, uint32_t other_place, uint32_t word) {
    uint32_t code = other_place & 63;
    return {kind,
            wrote,
            warp_of(stamp),
            static_cast<int32_t>(other_place >> 6),
            code < 32 ? static_cast<int>(code) : kWholeWarp,
            word * 4};
  }

  template <bool Write, bool Async>
  Conflict access(uint32_t warp, uint32_t offset, uint32_t bytes, int32_t line, int lane, bool unchanged) {
    const uint32_t stamp_base = clocks_[warp][warp] << 9 | warp << 4, end = offset + bytes;
    const uint32_t here = place(line, lane);
    for (uint32_t i = offset / 4; i * 4 < end; ++i) {
      const uint32_t mask = mask_of(i, offset, end);
      Word& word = words_[i];
      if (unordered(word.writer, warp, mask))
        return conflict(Kind::warps, true, word.writer, word.writer_place, i);
      if (lane != kWholeWarp && !unchanged &&
          unordered_lanes(word.writer, word.writer_place, warp, mask, lane))
        return conflict(Kind::lanes, true, word.writer, word.writer_place, i);
      if constexpr (Async) {
        if ((word.writer & mask) && (word.writer_place & 63) != kAsync &&
            word.writer >> 9 > clocks_[warp][kWarps + warp_of(word.writer)])
          return conflict(Kind::proxy, true, word.writer, word.writer_place, i);
      }
      const uint32_t stamp = stamp_base | mask;
      if constexpr (Write) {
        for (int r = 0; r < 2; ++r) {
          if (unordered(word.readers[r], warp, mask))
            return conflict(Kind::warps, false, word.readers[r], word.reader_places[r], i);
          if (lane != kWholeWarp && unordered_lanes(word.readers[r], word.reader_places[r], warp, mask, lane))
            return conflict(Kind::lanes, false, word.readers[r], word.reader_places[r], i);
        }
        word.writer = stamp;
        word.writer_place = here;
        word.readers[0] = word.readers[1] = 0;
      } else {
        note_reader(word, stamp, here);
      }
    }
    return {};
  }

  static void note_reader(Word& word, uint32_t stamp, uint32_t here) {
    if (word.readers[0] == stamp && word.reader_places[0] != here) {
      // Lanes that read the same bytes at the same time stand for each other, unless it was all of them.
      uint32_t code = word.reader_places[0] & 63;
      if (code < 32 && (here & 63) < 32 && code != (here & 63)) here = (here & ~63u) | kSeveral;
      if (code == kSeveral) here = (here & ~63u) | kSeveral;
    } else if (word.readers[0] == 0 || warp_of(word.readers[0]) != warp_of(stamp)) {
      word.readers[1] = word.readers[0];
      word.reader_places[1] = word.reader_places[0];
    }
    word.readers[0] = stamp;
    word.reader_places[0] = here;
  }

  std::vector<Word> words_;
  std::array<Clock, kWarps> clocks_{};
  Clock shared_{};
  bool has_agent_ = false;
};

}  // namespace rtjit::emu
