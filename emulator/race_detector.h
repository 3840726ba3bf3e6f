// Finds unordered accesses of different warps to the same shared memory. Barriers, mbarriers, atomics and
// strong accesses order; everything is kept as vector clocks, one entry per warp. Lanes of one warp are
// ordered by lock-step.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace rtjit::emu {

class RaceDetector {
 public:
  using Clock = std::array<uint32_t, 32>;  // for each warp: how much of its past is known

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
  // before others by the mbarrier of a commit alone, whatever else orders the warp that issued them. A block of 32
  // warps has no clock to spare; there they count as done by their issuer.
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

  struct Conflict {
    bool found = false, other_wrote = false;
    uint32_t other_warp = 0;
    int32_t other_line = 0;
    uint32_t offset = 0;
  };
  Conflict read(uint32_t warp, uint32_t offset, uint32_t bytes, int32_t line) {
    return access<false>(warp, offset, bytes, line);
  }
  Conflict write(uint32_t warp, uint32_t offset, uint32_t bytes, int32_t line) {
    return access<true>(warp, offset, bytes, line);
  }
  // Data that arrived behind an mbarrier: who waits for it is ordered, and others meet the pending mark.
  void forget(uint32_t offset, uint32_t bytes) {
    for (uint32_t i = offset / 4; i * 4 < offset + bytes && i < words_.size(); ++i) words_[i] = Word();
  }

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

 private:
  // An access as clock << 9 | warp << 4 | bytes of the word; 0 = none.
  struct Word {
    uint32_t writer = 0, readers[2] = {0, 0};
    int32_t writer_line = 0, reader_lines[2] = {0, 0};
  };

  bool unordered(uint32_t stamp, uint32_t warp, uint32_t bytes) const {
    uint32_t other = stamp >> 4 & 31;
    return (stamp & bytes) && other != warp && stamp >> 9 > clocks_[warp][other];
  }

  template <bool Write>
  Conflict access(uint32_t warp, uint32_t offset, uint32_t bytes, int32_t line) {
    uint32_t stamp_base = clocks_[warp][warp] << 9 | warp << 4, end = offset + bytes;
    for (uint32_t i = offset / 4; i * 4 < end; ++i) {
      uint32_t mask = 15;
      if (offset > i * 4) mask &= 15u << (offset - i * 4);
      if (end < i * 4 + 4) mask &= (1u << (end - i * 4)) - 1;
      Word& word = words_[i];
      if (unordered(word.writer, warp, mask))
        return {true, true, word.writer >> 4 & 31, word.writer_line, i * 4};
      uint32_t stamp = stamp_base | mask;
      if constexpr (Write) {
        for (int r = 0; r < 2; ++r) {
          if (unordered(word.readers[r], warp, mask))
            return {true, false, word.readers[r] >> 4 & 31, word.reader_lines[r], i * 4};
        }
        word.writer = stamp;
        word.writer_line = line;
        word.readers[0] = word.readers[1] = 0;
      } else {
        if ((word.readers[0] >> 4 & 31) != warp || word.readers[0] == 0) {
          word.readers[1] = word.readers[0];
          word.reader_lines[1] = word.reader_lines[0];
        }
        word.readers[0] = stamp;
        word.reader_lines[0] = line;
      }
    }
    return {};
  }

  std::vector<Word> words_;
  std::array<Clock, 32> clocks_{};
  Clock shared_{};
  bool has_agent_ = false;
};

}  // namespace rtjit::emu
