// rtjit tune: finds, verifies and stores the winners of every token bucket.
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "tools/rtjit/command.h"
#include "tools/rtjit/progress.h"
#include "tools/rtjit/scope_options.h"
#include "tools/rtjit/table.h"
#include "tuner/session.h"

namespace rtjit {
namespace {

struct TuneOptions {
  ScopeOptions scope;
  TuneLimits limits;
  bool force = false, no_verify = false, quiet = false, timings = false;
};

const char* doing(TunePhase phase) {
  switch (phase) {
    case TunePhase::enumerate:
      return "enumerating configs";
    case TunePhase::compile:
      return "compiling";
    case TunePhase::predict:
      return "ranking";
    case TunePhase::measure:
      return "measuring";
    case TunePhase::verify:
      return "verifying winners";
  }
  return "";
}

// Shows a tuning run as it goes on.
class ProgressObserver : public TuneObserver {
 public:
  explicit ProgressObserver(bool quiet) : progress_(quiet) {}
  void on_phase(TunePhase phase, int64_t total) override { progress_.begin(doing(phase), total); }
  void on_progress(TunePhase, int64_t done, int64_t) override { progress_.update(done, detail()); }
  void on_rejected(Verdict verdict, int64_t count) override { rejected_[verdict] = count; }
  void on_best(const std::string& stage, int64_t bucket, const std::string& variant, const std::string&,
               double time_us, Knowledge) override {
    best_ = fmt::format("best {}@{}: {} {:.1f} us", stage, bucket, variant, time_us);
  }
  void on_warning(const std::string& sentence) override { progress_.note("warning: " + sentence); }
  void end() { progress_.end(); }

 private:
  std::string detail() const {
    std::string text;
    for (const auto& [verdict, count] : rejected_) text += fmt::format(" {} {}", to_string(verdict), count);
    if (!text.empty()) text = "rejected:" + text + "  ";
    return text + best_;
  }
  Progress progress_;
  std::map<Verdict, int64_t> rejected_;
  std::string best_;
};

std::string rejected_text(const std::map<Verdict, int>& rejected) {
  std::string text;
  for (const auto& [verdict, count] : rejected) {
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", to_string(verdict), count);
  }
  return text.empty() ? "none" : text;
}

// "static 421, load 1"
std::string gates_text(const std::map<Gate, int>& rejected_by) {
  std::string text;
  for (const auto& [gate, count] : rejected_by)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", to_string(gate), count);
  return text.empty() ? "none" : text;
}

// Where the winner was verified, in a word; `details` collects what that was in full.
std::string verified_text(const BucketReport& bucket, std::set<std::string>* details) {
  if (!bucket.has_winner) return "";
  if (!bucket.verified) return "compiled only";
  const size_t comma = bucket.verified_on.find(',');
  if (comma != std::string::npos) details->insert(bucket.verified_on);
  return bucket.verified_on.substr(0, comma);
}

nlohmann::json to_json(const TuneReport& report) {
  nlohmann::json out = {{"template", report.template_name},
                        {"problem", report.problem},
                        {"target", report.target},
                        {"device", report.device_name},
                        {"sku", report.sku},
                        {"compiled", report.compiled},
                        {"reused_binaries", report.reused_binaries},
                        {"total_ms", report.total_ms},
                        {"cancelled", report.cancelled},
                        {"warnings", report.warnings}};
  for (const auto& [phase, ms] : report.phase_ms) out["phase_ms"][to_string(phase)] = ms;
  out["winners"] = nlohmann::json::array();
  for (const StageReport& stage : report.stages) {
    for (const BucketReport& bucket : stage.buckets) {
      nlohmann::json rejected = nlohmann::json::object();
      for (const auto& [verdict, count] : bucket.rejected) rejected[to_string(verdict)] = count;
      nlohmann::json rejected_by = nlohmann::json::object();
      for (const auto& [gate, count] : bucket.rejected_by) rejected_by[to_string(gate)] = count;
      out["winners"].push_back({{"stage", stage.stage},
                                {"bucket", bucket.bucket},
                                {"has_winner", bucket.has_winner},
                                {"variant", bucket.variant},
                                {"config", bucket.config},
                                {"why", bucket.why},
                                {"knowledge", to_string(bucket.knowledge)},
                                {"time_us", bucket.time_us},
                                {"default_time_us", bucket.default_time_us},
                                {"default_variant", bucket.default_variant},
                                {"default_config", bucket.default_config},
                                {"verified", bucket.verified},
                                {"verified_on", bucket.verified_on},
                                {"smem_bytes", bucket.smem_bytes},
                                {"registers", bucket.registers},
                                {"candidates", bucket.candidates},
                                {"feasible", bucket.feasible},
                                {"measured", bucket.measured},
                                {"rejected", rejected},
                                {"rejected_by_gate", rejected_by},
                                {"from_cache", bucket.from_cache}});
    }
  }
  return out;
}

void print_report(const TuneReport& report, bool timings) {
  fmt::print("{} for {} ({})\n{}\n", report.template_name, report.target, report.device_name, report.problem);
  bool predicted = false;
  for (const StageReport& stage : report.stages) {
    if (stage.buckets.empty()) continue;  // stopped before it
    fmt::print("\n{}\n", stage.stage);
    Table table({{"bucket", Table::Align::right},
                 {"winner"},
                 {"time us", Table::Align::right},
                 {""},
                 {"SMEM B", Table::Align::right},
                 {"regs", Table::Align::right},
                 {"feasible", Table::Align::right},
                 {"rejected by gate"},
                 {"verified"},
                 {"why"}});
    std::map<Verdict, int> rejected;
    int candidates = 0;
    std::set<std::string> verified_on;
    for (const BucketReport& bucket : stage.buckets) {
      predicted |= bucket.knowledge == Knowledge::predicted;
      rejected = bucket.rejected;
      candidates = bucket.candidates;
      table.add(
          {with_thousands(bucket.bucket),
           bucket.has_winner ? bucket.variant + (bucket.config.empty() ? "" : " " + bucket.config) : "none",
           fmt::format("{:.1f}", bucket.time_us), to_string(bucket.knowledge),
           with_thousands(bucket.smem_bytes), fmt::format("{}", bucket.registers),
           fmt::format("{}/{}", bucket.feasible, bucket.candidates), gates_text(bucket.rejected_by),
           verified_text(bucket, &verified_on), bucket.why});
    }
    fmt::print("{}", table.render(2));
    fmt::print("  rejected of {} configs: {}\n", candidates, rejected_text(rejected));
    for (const std::string& detail : verified_on) fmt::print("  verified on {}\n", detail);
  }
  for (const std::string& warning : report.warnings) fmt::print("warning: {}\n", warning);
  if (predicted)
    fmt::print("\nTimes marked predicted come from the cost model; no {} was measured.\n", report.target);
  if (timings) {
    fmt::print("\n");
    for (const auto& [phase, ms] : report.phase_ms) fmt::print("  {:<20} {:>10.1f} ms\n", doing(phase), ms);
  }
  fmt::print("{} compiled, {} binaries reused, {:.2f} s\n", report.compiled, report.reused_binaries,
             report.total_ms / 1e3);
}

int run(const TuneOptions& options) {
  auto context = open_scope(options.scope);
  if (!context) return fail(context.error());
  if (!options.scope.database.empty() && !options.no_verify) {
    // What was asked to be kept must be kept: say so before the work, not after it.
    auto info = context->store->info();
    if (!info) return fail(info.error());
    if (!info->writable) {
      return fail(make_error(ErrorCode::invalid_argument, "--db: {} cannot be written, nothing would be kept",
                             options.scope.database));
    }
  }
  TuneRequest request;
  request.tmpl = context->scope.tmpl;
  request.problem = context->scope.problem;
  request.target = context->scope.target;
  request.device = context->scope.device;
  request.buckets = context->scope.buckets;
  request.store = context->store.get();
  request.compiler = compile_pool_factory();
  request.emulator = emulator_factory();
  request.worker_command = {std::filesystem::read_symlink("/proc/self/exe").string(), "worker"};
  request.template_folders = options.scope.template_folders;
  request.filter = context->scope.filter;
  request.limits = options.limits;
  request.force = options.force;
  request.verify = !options.no_verify;
  request.cancel = install_cancel_handler();
  ProgressObserver observer(options.quiet);
  auto report = tune(request, &observer);
  observer.end();
  if (!report) return fail(report.error());
  if (options.scope.json) {
    fmt::print("{}\n", to_json(*report).dump(2));
  } else {
    print_report(*report, options.timings);
    if (!request.filter.empty())
      fmt::print("only configs that --config names were looked at: nothing is published\n");
  }
  if (report->cancelled) {
    fmt::print(stderr, "rtjit: stopped; what was finished is stored, and the next call goes on from there\n");
    return 130;
  }
  for (const StageReport& stage : report->stages) {
    for (const BucketReport& bucket : stage.buckets) {
      if (!bucket.has_winner)
        return fail(make_error(ErrorCode::unsupported,
                               "no config of stage {} survived for bucket {}: "
                               "see rtjit explain",
                               stage.stage, bucket.bucket));
    }
  }
  return 0;
}

}  // namespace

void add_tune(CLI::App& app, Action* action) {
  auto options = std::make_shared<TuneOptions>();
  CLI::App* verb = app.add_subcommand("tune", "Find, verify and store the winner of every token bucket");
  options->scope.add_to(*verb);
  verb->get_option("--config")
      ->description(
          "Look at configs with these values only, \"stage=gemm1,block_m=64\"; then nothing is published, "
          "only shown");
  verb->add_flag("--force", options->force, "Look at every config again, whatever the cache knows");
  verb->add_flag("--no-verify", options->no_verify,
                 "Do not check results; then nothing is published, only shown");
  verb->add_option("--measure", options->limits.max_measured_per_bucket,
                   "With a GPU: how many of the best predicted configs are measured per bucket (the default "
                   "config is always)")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  verb->add_flag("--timings", options->timings, "Show where the time went");
  verb->add_flag("--quiet", options->quiet, "No progress");
  verb->callback([options, action] { *action = [options] { return run(*options); }; });
}

}  // namespace rtjit
