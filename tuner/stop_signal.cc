#include "tuner/stop_signal.h"

#include <algorithm>

namespace rtjit {
namespace {

constexpr std::chrono::milliseconds kLookAgain{20};  // at the caller's flag, which wakes nobody

}  // namespace

StopSignal::StopSignal(const std::atomic<bool>* asked, std::chrono::milliseconds budget,
                       const std::atomic<bool>* also)
    : asked_(asked), also_(also), limited_(budget.count() > 0), deadline_(Clock::now() + budget) {
  if (!limited_ && !also_) return;
  watcher_ = std::thread([this] {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!done_ && !this->asked() && !out_of_time()) {
      const Clock::time_point next = Clock::now() + kLookAgain;
      wake_.wait_until(lock, limited_ ? std::min(deadline_, next) : next);
    }
    stop_ = !done_;
  });
}

StopSignal::~StopSignal() {
  if (!watcher_.joinable()) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    done_ = true;
  }
  wake_.notify_all();
  watcher_.join();
}

std::chrono::milliseconds StopSignal::left() const {
  if (!limited_) return std::chrono::hours(24 * 365);
  auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now());
  return std::max(left, std::chrono::milliseconds(0));
}

}  // namespace rtjit
