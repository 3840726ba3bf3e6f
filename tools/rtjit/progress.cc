#include "tools/rtjit/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace rtjit {
namespace {

constexpr int kBarWidth = 28;
constexpr auto kTerminalInterval = std::chrono::milliseconds(100);
constexpr auto kLogInterval = std::chrono::seconds(10);

// Columns of the terminal. It is asked each time: its user may change it.
size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string format_duration(double seconds) {
  if (seconds < 1) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
}

Progress::Progress(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) == 1) {}
Progress::~Progress() { end(); }

void Progress::begin(const std::string& phase, int64_t total) {
  if (active_ && phase == phase_) {  // more work turned up: the same phase goes on
    total_ = total;
    return;
  }
  end();
  active_ = true;
  phase_ = phase;
  detail_.clear();
  total_ = total;
  done_ = 0;
  started_ = drawn_ = Clock::now();
  if (!terminal_ && !quiet_) fmt::print(stderr, "{} ({})\n", phase_, total_);
  draw(false);
}

void Progress::update(int64_t done, const std::string& detail) {
  if (!active_) return;
  done_ = done;
  detail_ = detail;
  const auto now = Clock::now();
  if (now - drawn_ < (terminal_ ? Clock::duration(kTerminalInterval) : Clock::duration(kLogInterval))) return;
  drawn_ = now;
  draw(false);
  if (!terminal_ && !quiet_) {
    fmt::print(stderr, "  {} of {} after {} {}\n", done_, total_,
               format_duration(std::chrono::duration<double>(now - started_).count()), detail_);
  }
}

void Progress::draw(bool final) {
  if (quiet_ || !terminal_) return;
  const double seconds = std::chrono::duration<double>(Clock::now() - started_).count();
  const double share =
      total_ > 0 ? std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_)) : 1.0;
  const int filled = static_cast<int>(share * kBarWidth);
  std::string timing = final ? format_duration(seconds) : "";
  if (!final && done_ > 0 && seconds > 0.2) timing = "ETA " + format_duration(seconds / share - seconds);
  std::string line =
      fmt::format("{:<24} [{}{}] {}/{}  {}  {}", phase_, std::string(filled, '#'),
                  std::string(kBarWidth - filled, '.'), done_, total_, timing, final ? "" : detail_);
  // A line that wraps could not be drawn over. The last column stays free: some terminals wrap when it is
  // filled.
  line.resize(std::min(line.size(), terminal_width() - 1));
  fmt::print(stderr, "\r\033[K{}{}", line, final ? "\n" : "");
  std::fflush(stderr);
}

void Progress::end() {
  if (!active_) return;
  active_ = false;
  if (terminal_) {
    draw(true);
  } else if (!quiet_) {
    fmt::print(stderr, "  {} done in {}\n", phase_,
               format_duration(std::chrono::duration<double>(Clock::now() - started_).count()));
  }
}

void Progress::note(const std::string& line) {
  if (quiet_) return;
  if (terminal_) fmt::print(stderr, "\r\033[K");
  fmt::print(stderr, "{}\n", line);
  if (active_) draw(false);
}

}  // namespace rtjit
