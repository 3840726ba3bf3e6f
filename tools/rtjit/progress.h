// Progress of long work on standard error: one bar with an ETA on a terminal, plain lines in a log.
#pragma once

#include <chrono>
#include <string>

namespace rtjit {

class Progress {
 public:
  // `quiet`: says nothing at all.
  explicit Progress(bool quiet = false);
  ~Progress();

  // A phase of `total` steps ("compiling", 142). Ends the phase before it; the same phase again only has a
  // new total.
  void begin(const std::string& phase, int64_t total);
  // `done` steps of the phase are finished; `detail` is shown behind the bar.
  void update(int64_t done, const std::string& detail = "");
  void end();
  // A line that stays, above the bar.
  void note(const std::string& line);

 private:
  using Clock = std::chrono::steady_clock;
  void draw(bool final);
  bool quiet_, terminal_;
  bool active_ = false;
  std::string phase_, detail_;
  int64_t total_ = 0, done_ = 0;
  Clock::time_point started_, drawn_;
};

// 75 -> "1 min 15 s"
std::string format_duration(double seconds);

}  // namespace rtjit
