// Tuning in a child process while the kernel already serves with what is known.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "runtime/context.h"

namespace rtjit {

// Owns a thread that waits for the child. Destroying it kills the child and waits for the thread.
class BackgroundTune {
 public:
  BackgroundTune(std::shared_ptr<const Context> context, std::shared_ptr<const Template> tmpl,
                 Problem problem, std::vector<int64_t> buckets);
  ~BackgroundTune();
  BackgroundTune(const BackgroundTune&) = delete;
  BackgroundTune& operator=(const BackgroundTune&) = delete;

  bool running() const { return running_.load(std::memory_order_acquire); }
  // True once: tuning has ended well since the last call, so that looking the cache up again pays.
  bool take_news() {
    return news_.load(std::memory_order_relaxed) && news_.exchange(false, std::memory_order_acquire);
  }

 private:
  std::atomic<bool> stop_{false}, running_{true}, news_{false};
  std::thread thread_;
};

}  // namespace rtjit
