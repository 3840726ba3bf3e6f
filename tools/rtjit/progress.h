// Progress of long work on standard error: bars with an ETA on a terminal, one for each phase that has begun,
// and plain lines in a log.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace rtjit {

class Progress {
 public:
  // `quiet`: says nothing at all. `terminal`: whether lines may be drawn over; default: what standard error
  // is.
  explicit Progress(bool quiet = false);
  Progress(bool quiet, bool terminal);
  ~Progress();

  // A phase of `total` steps ("compiling", 142). Phases may go on side by side; the same one again has a new
  // total.
  void begin(const std::string& phase, int64_t total);
  // `done` of `total` steps of a phase that has begun are finished.
  void update(const std::string& phase, int64_t done, int64_t total);
  // Lines beneath the bars, as of now: what was rejected, the best so far.
  void detail(std::vector<std::string> lines);
  // The last picture, which stays.
  void end();
  // A line that stays, above the bars.
  void note(const std::string& line);

 private:
  using Clock = std::chrono::steady_clock;
  struct Bar {
    std::string phase;
    int64_t done = 0, total = 0;
    Clock::time_point started, finished;
    bool complete() const { return done >= total; }
  };
  Bar* find(const std::string& phase);
  void erase();  // what is drawn
  void draw();
  void log(const Bar& bar);
  std::string text(const Bar& bar) const;

  bool quiet_, terminal_;
  std::vector<Bar> bars_;
  std::vector<std::string> detail_;
  int drawn_lines_ = 0;
  Clock::time_point drawn_;
};

// 75 -> "1 min 15 s"
std::string format_duration(double seconds);

}  // namespace rtjit
