// How a tuning run is shown while it goes on: bars for people, one JSON object per line for programs.
#pragma once

#include <chrono>
#include <cstdio>
#include <map>
#include <string>

#include "tools/rtjit/progress.h"
#include "tuner/session.h"

namespace rtjit {

const char* doing(TunePhase phase);  // "compiling"

class ProgressObserver : public TuneObserver {
 public:
  explicit ProgressObserver(bool quiet) : progress_(quiet) {}
  void on_phase(TunePhase phase, int64_t total) override;
  void on_progress(TunePhase phase, int64_t done, int64_t total) override;
  void on_rejected(Verdict verdict, int64_t count) override;
  void on_best(const std::string& stage, int64_t bucket, const std::string& variant,
               const std::string& config, double time_us, Knowledge knowledge) override;
  void on_warning(const std::string& sentence) override { progress_.note("warning: " + sentence); }
  void end() { progress_.end(); }

 private:
  void describe();
  Progress progress_;
  std::map<Verdict, int64_t> rejected_;
  std::map<std::string, std::map<int64_t, std::string>> best_;  // stage -> bucket -> what and how fast
};

// Every event as one line on `out`: {"event": "phase" | "progress" | "rejected" | "best" | "warning", "ms":
// since the start, ...}. docs/tuning.md lists the fields. Flushed line by line.
class EventObserver : public TuneObserver {
 public:
  explicit EventObserver(std::FILE* out) : out_(out), start_(std::chrono::steady_clock::now()) {}
  void on_phase(TunePhase phase, int64_t total) override;
  void on_progress(TunePhase phase, int64_t done, int64_t total) override;
  void on_rejected(Verdict verdict, int64_t count) override;
  void on_best(const std::string& stage, int64_t bucket, const std::string& variant,
               const std::string& config, double time_us, Knowledge knowledge) override;
  void on_warning(const std::string& sentence) override;
  // The last line: the event "done" with the report, or "failed" with a message.
  void done(const TuneReport& report);
  void failed(const Error& error);

 private:
  double ms() const;
  std::FILE* out_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace rtjit
