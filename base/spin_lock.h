// A lock for a handful of instructions: one atomic operation to take it, a store to give it back, where a
// mutex has an atomic operation for each. Who waits lets others run. Satisfies Lockable.
#pragma once

#include <atomic>
#include <thread>

namespace rtjit {

class SpinLock {
 public:
  void lock() {
    while (!try_lock()) std::this_thread::yield();
  }
  bool try_lock() { return !locked_.exchange(true, std::memory_order_acquire); }
  void unlock() { locked_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> locked_{false};
};

}  // namespace rtjit
