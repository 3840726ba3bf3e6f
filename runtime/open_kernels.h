// The kernels that are open in a library, by what they were opened for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/spin_lock.h"

struct rtjit_kernel;

namespace rtjit {

// Thread-safe. Finding one neither allocates nor compares more than its own text.
class OpenKernels {
 public:
  // Where a kernel is registered for this template and text already, that one stays the answer while it is
  // open.
  void add(std::string_view template_name, std::string_view problem, rtjit_kernel* kernel);

  // With one reference more, which the caller gives back; null: none is open.
  rtjit_kernel* find(std::string_view template_name, std::string_view problem) const;

  // Gives a reference back. True: it was the last, the kernel is found no more, and the caller deletes it.
  bool release(rtjit_kernel* kernel);

 private:
  struct Key {
    std::string template_name, problem;
  };
  struct View {
    std::string_view template_name, problem;
  };
  // Of the length and eight words spread over the text: a problem with all its keys has some two hundred
  // bytes, and hashing each of them takes longer than the rest of a lookup. Texts that meet are told apart by
  // comparing.
  struct Hash {
    using is_transparent = void;
    static uint64_t of(std::string_view text) {
      constexpr size_t kWords = 8, kWord = sizeof(uint64_t);
      constexpr uint64_t kOdd = 0x9E3779B97F4A7C15;
      uint64_t word = 0, hash = text.size();
      if (text.size() < kWord) {
        if (!text.empty()) std::memcpy(&word, text.data(), text.size());
        hash ^= word * kOdd;
      } else {
        const size_t last = text.size() - kWord, words = std::min(kWords, text.size() / kWord + 1);
        for (size_t i = 0; i < words; ++i) {  // products that do not wait for one another
          const size_t at = words < kWords ? std::min(i * kWord, last) : last * i / (kWords - 1);
          std::memcpy(&word, text.data() + at, kWord);
          hash ^= word * (kOdd + 2 * i);
        }
      }
      return hash ^ (hash >> 29);
    }
    static size_t of(std::string_view template_name, std::string_view problem) {
      return of(template_name) * 31 + of(problem);
    }
    size_t operator()(const Key& key) const { return of(key.template_name, key.problem); }
    size_t operator()(const View& key) const { return of(key.template_name, key.problem); }
  };
  struct Equal {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return a.problem == b.problem && a.template_name == b.template_name;
    }
  };
  mutable SpinLock lock_;  // of the references too; nobody holds it for long
  std::unordered_map<Key, std::vector<rtjit_kernel*>, Hash, Equal> kernels_;  // the first is the answer
};

}  // namespace rtjit
