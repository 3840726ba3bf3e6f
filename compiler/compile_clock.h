// When one compile is over its limit.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <ctime>

namespace rtjit {

// Starts when it is made, by the thread that will compile; may be read from other threads as long as that
// thread lives. The limit is one of processor time, so that a busy machine loses no configs. Six times as
// much wall time is the end of patience with a compile that waits instead of computing.
class CompileClock {
 public:
  CompileClock() : wall_start_(Clock::now()) {
    pthread_getcpuclockid(pthread_self(), &cpu_clock_);
    cpu_start_ = cpu_now();
  }

  std::chrono::nanoseconds cpu_time() const { return cpu_now() - cpu_start_; }
  bool is_over(std::chrono::milliseconds limit) const { return left(limit).count() <= 0; }

  // No compile that is within its limit now can be over it before this much wall time has passed.
  std::chrono::nanoseconds left(std::chrono::milliseconds limit) const {
    std::chrono::nanoseconds wall = limit * kPatience - (Clock::now() - wall_start_);
    return std::min(wall, limit - cpu_time());
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr int kPatience = 6;

  std::chrono::nanoseconds cpu_now() const {
    timespec now{};
    clock_gettime(cpu_clock_, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  }

  Clock::time_point wall_start_;
  clockid_t cpu_clock_{};
  std::chrono::nanoseconds cpu_start_{};
};

}  // namespace rtjit
