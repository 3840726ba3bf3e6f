// The kernels that are open in a library, by what they were opened for.
#pragma once

#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

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
  struct Hash {
    using is_transparent = void;
    static size_t of(std::string_view template_name, std::string_view problem) {
      const std::hash<std::string_view> hash;
      return hash(template_name) * 31 + hash(problem);
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
  mutable std::shared_mutex mutex_;
  std::unordered_map<Key, std::vector<rtjit_kernel*>, Hash, Equal> kernels_;  // the first is the answer
};

}  // namespace rtjit
