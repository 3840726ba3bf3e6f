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

double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// A line that wraps would not be drawn over.
size_t terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 100;
}

}  // namespace

std::string format_duration(double seconds) {
  if (seconds < 1) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
}

Progress::Progress(bool quiet) : Progress(quiet, isatty(STDERR_FILENO) == 1) {}
Progress::Progress(bool quiet, bool terminal) : quiet_(quiet), terminal_(terminal) {}
Progress::~Progress() { end(); }

Progress::Bar* Progress::find(const std::string& phase) {
  for (Bar& bar : bars_) {
    if (bar.phase == phase) return &bar;
  }
  return nullptr;
}

void Progress::begin(const std::string& phase, int64_t total) {
  if (quiet_) return;
  if (Bar* bar = find(phase)) {  // more work turned up
    bar->total = total;
  } else {
    Bar fresh;
    fresh.phase = phase;
    fresh.total = total;
    fresh.started = fresh.finished = Clock::now();
    bars_.push_back(fresh);
    if (!terminal_) {
      fmt::print(stderr, "{} ({})\n", phase, total);
      drawn_ = Clock::now();
    }
  }
  if (terminal_) draw();
}

void Progress::update(const std::string& phase, int64_t done, int64_t total) {
  Bar* bar = find(phase);
  if (quiet_ || !bar) return;
  bar->done = done;
  bar->total = total;
  bar->finished = Clock::now();
  const auto since = bar->finished - drawn_;
  if (terminal_) {
    if (since >= kTerminalInterval || bar->complete()) draw();
  } else if (since >= kLogInterval) {
    log(*bar);
  }
}

void Progress::detail(std::vector<std::string> lines) { detail_ = std::move(lines); }

std::string Progress::text(const Bar& bar) const {
  const double share =
      bar.total > 0 ? std::min(1.0, static_cast<double>(bar.done) / static_cast<double>(bar.total)) : 1.0;
  const int filled = static_cast<int>(share * kBarWidth);
  const double seconds = seconds_between(bar.started, bar.complete() ? bar.finished : Clock::now());
  std::string timing = bar.complete() ? format_duration(seconds) : "";
  if (!bar.complete() && bar.done > 0 && seconds > 0.2) {
    timing = "ETA " + format_duration(seconds / share - seconds);
  }
  return fmt::format("{:<22} [{}{}] {}/{}  {}", bar.phase, std::string(static_cast<size_t>(filled), '#'),
                     std::string(static_cast<size_t>(kBarWidth - filled), '.'), bar.done, bar.total, timing);
}

void Progress::log(const Bar& bar) {
  drawn_ = Clock::now();
  fmt::print(stderr, "  {}: {} of {} after {}\n", bar.phase, bar.done, bar.total,
             format_duration(seconds_between(bar.started, drawn_)));
  for (const std::string& line : detail_) fmt::print(stderr, "  {}\n", line);
}

void Progress::erase() {
  if (drawn_lines_ > 0) fmt::print(stderr, "\033[{}A\r\033[J", drawn_lines_);
  drawn_lines_ = 0;
}

void Progress::draw() {
  if (drawn_lines_ > 0) fmt::print(stderr, "\033[{}A", drawn_lines_);
  drawn_lines_ = 0;
  const size_t columns = terminal_columns();
  auto line = [&](std::string content) {
    if (content.size() >= columns) content.resize(columns - 1);
    fmt::print(stderr, "\r\033[K{}\n", content);
    ++drawn_lines_;
  };
  for (const Bar& bar : bars_) line(text(bar));
  for (const std::string& extra : detail_) line("  " + extra);
  fmt::print(stderr, "\033[J");  // what a longer picture has left
  std::fflush(stderr);
  drawn_ = Clock::now();
}

void Progress::end() {
  if (quiet_ || bars_.empty()) return;
  if (terminal_) {
    detail_.clear();
    draw();
    drawn_lines_ = 0;  // it stays
  } else {
    for (const Bar& bar : bars_) {
      const std::string time = format_duration(seconds_between(bar.started, bar.finished));
      if (bar.complete()) {
        fmt::print(stderr, "  {} done in {}\n", bar.phase, time);
      } else {
        fmt::print(stderr, "  {}: {} of {} in {}\n", bar.phase, bar.done, bar.total, time);
      }
    }
  }
  bars_.clear();
}

void Progress::note(const std::string& line) {
  if (quiet_) return;
  if (terminal_) erase();
  fmt::print(stderr, "{}\n", line);
  if (terminal_ && !bars_.empty()) draw();
}

}  // namespace rtjit
