#include "tools/rtjit/tune_observers.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "tools/rtjit/tune_report.h"

namespace rtjit {
namespace {

constexpr size_t kBucketsShown = 6;  // the last ones

void put_line(std::FILE* out, const nlohmann::ordered_json& event) {
  fmt::print(out, "{}\n", event.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  std::fflush(out);
}

}  // namespace

const char* doing(TunePhase phase) {
  switch (phase) {
    case TunePhase::enumerate:
      return "enumerating configs";
    case TunePhase::compile:
      return "compiling";
    case TunePhase::predict:
      return "ranking";
    case TunePhase::wait:
      return "waiting for compiles";
    case TunePhase::setup:
      return "starting the worker";
    case TunePhase::load:
      return "loading";
    case TunePhase::measure:
      return "measuring";
    case TunePhase::verify:
      return "verifying winners";
    case TunePhase::settle:
      return "settling who wins";
  }
  return "";
}

void ProgressObserver::on_phase(TunePhase phase, int64_t total) { progress_.begin(doing(phase), total); }

void ProgressObserver::on_progress(TunePhase phase, int64_t done, int64_t total) {
  progress_.update(doing(phase), done, total);
}

void ProgressObserver::on_rejected(Verdict verdict, int64_t count) {
  rejected_[verdict] = count;
  describe();
}

void ProgressObserver::on_best(const std::string& stage, int64_t bucket, const std::string& variant,
                               const std::string& config, double time_us, Knowledge) {
  best_[stage][bucket] = fmt::format("{:.1f} us {} {}", time_us, variant, config);
  describe();
}

void ProgressObserver::describe() {
  std::vector<std::string> lines;
  std::string rejected;
  for (const auto& [verdict, count] : rejected_) {
    rejected += fmt::format("{}{} {}", rejected.empty() ? "rejected: " : ", ", to_string(verdict), count);
  }
  if (!rejected.empty()) lines.push_back(rejected);
  for (const auto& [stage, buckets] : best_) {
    size_t at = 0;
    for (const auto& [bucket, text] : buckets) {
      if (at++ + kBucketsShown >= buckets.size()) {
        lines.push_back(fmt::format("best {} {:>7}: {}", stage, with_thousands(bucket), text));
      }
    }
  }
  progress_.detail(std::move(lines));
}

double EventObserver::ms() const {
  std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start_;
  return std::round(time.count() * 10) / 10;
}

void EventObserver::on_phase(TunePhase phase, int64_t total) {
  put_line(out_, {{"event", "phase"}, {"ms", ms()}, {"phase", to_string(phase)}, {"total", total}});
}

void EventObserver::on_progress(TunePhase phase, int64_t done, int64_t total) {
  put_line(
      out_,
      {{"event", "progress"}, {"ms", ms()}, {"phase", to_string(phase)}, {"done", done}, {"total", total}});
}

void EventObserver::on_rejected(Verdict verdict, int64_t count) {
  put_line(out_, {{"event", "rejected"}, {"ms", ms()}, {"verdict", to_string(verdict)}, {"count", count}});
}

void EventObserver::on_best(const std::string& stage, int64_t bucket, const std::string& variant,
                            const std::string& config, double time_us, Knowledge knowledge) {
  put_line(out_, {{"event", "best"},
                  {"ms", ms()},
                  {"stage", stage},
                  {"bucket", bucket},
                  {"variant", variant},
                  {"config", config},
                  {"time_us", time_us},
                  {"knowledge", to_string(knowledge)}});
}

void EventObserver::on_warning(const std::string& sentence) {
  put_line(out_, {{"event", "warning"}, {"ms", ms()}, {"message", sentence}});
}

void EventObserver::done(const TuneReport& report) {
  put_line(out_, {{"event", "done"}, {"ms", ms()}, {"report", report_json(report)}});
}

void EventObserver::failed(const Error& error) {
  put_line(out_,
           {{"event", "failed"}, {"ms", ms()}, {"code", to_string(error.code)}, {"message", error.message}});
}

}  // namespace rtjit
