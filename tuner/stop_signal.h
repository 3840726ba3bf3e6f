// When a tuning run must stop: because it was asked to, or because its budget is used up.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace rtjit {

// The flag is what everything that waits looks at. Where there is but one thing to look at it is the caller's
// own, and no thread is started.
class StopSignal {
 public:
  using Clock = std::chrono::steady_clock;

  // Both flags may be null: the caller's, and one that another run on the same request sets. A budget of 0 ms
  // is none.
  StopSignal(const std::atomic<bool>* asked, std::chrono::milliseconds budget,
             const std::atomic<bool>* also = nullptr);
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  const std::atomic<bool>* flag() const { return watcher_.joinable() ? &stop_ : asked_; }
  bool stopped() const { return flag() && flag()->load(); }
  bool asked() const { return (asked_ && asked_->load()) || (also_ && also_->load()); }
  bool limited() const { return limited_; }
  bool out_of_time() const { return limited_ && Clock::now() >= deadline_; }
  // Time left; very long without a budget.
  std::chrono::milliseconds left() const;

 private:
  const std::atomic<bool>* asked_;
  const std::atomic<bool>* also_;
  bool limited_;
  Clock::time_point deadline_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
  std::thread watcher_;
};

}  // namespace rtjit
