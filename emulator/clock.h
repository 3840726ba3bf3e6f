// Vector clocks of the race detector.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace rtjit::emu {

// A time for each of the detector's participants. 32 suffice for most launches; more have the rest on the
// heap.
class Times {
 public:
  void start(uint32_t count) {
    rest_.resize(count > kFirst ? count - kFirst : 0);
    clear();
  }
  void clear() {
    first_.fill(0);
    std::fill(rest_.begin(), rest_.end(), 0);
  }
  uint32_t& operator[](uint32_t who) { return who < kFirst ? first_[who] : rest_[who - kFirst]; }
  uint32_t operator[](uint32_t who) const { return who < kFirst ? first_[who] : rest_[who - kFirst]; }
  void raise(uint32_t who, uint32_t time) {
    if (who >= kFirst + rest_.size()) rest_.resize(who - kFirst + 1);
    uint32_t& here = (*this)[who];
    here = std::max(here, time);
  }
  void merge(const Times& other) {
    for (size_t i = 0; i < kFirst; ++i) first_[i] = std::max(first_[i], other.first_[i]);
    if (rest_.size() < other.rest_.size()) rest_.resize(other.rest_.size());
    for (size_t i = 0; i < other.rest_.size(); ++i) rest_[i] = std::max(rest_[i], other.rest_[i]);
  }

 private:
  static constexpr size_t kFirst = 32;
  std::array<uint32_t, kFirst> first_{};
  std::vector<uint32_t> rest_;
};

inline void merge_times(std::vector<uint32_t>* times, const std::vector<uint32_t>& other) {
  if (times->size() < other.size()) times->resize(other.size());
  for (size_t i = 0; i < other.size(); ++i) (*times)[i] = std::max((*times)[i], other[i]);
}

// How much of each participant's past is known, how much of it a proxy fence made visible to the
// asynchronous proxy, and how much of its use of tensor memory it has handed on by a
// tcgen05.fence::before_thread_sync.
struct Clock {
  Times known, visible;
  std::vector<uint32_t>
      handed;  // empty until somebody hands something on: most kernels have no tensor memory

  uint32_t& operator[](uint32_t who) { return known[who]; }
  uint32_t operator[](uint32_t who) const { return known[who]; }
  void start(uint32_t count) {
    known.start(count);
    visible.start(count);
    handed.clear();
  }
  void clear() {
    known.clear();
    visible.clear();
    handed.clear();
  }
  void merge(const Clock& other) {
    known.merge(other.known);
    visible.merge(other.visible);
    merge_times(&handed, other.handed);
  }
};

}  // namespace rtjit::emu
