// rtjit tune: finds, verifies and stores the winners of every token bucket.
#include <fmt/format.h>

#include <filesystem>

#include "runtime/cuda_device.h"
#include "tools/rtjit/command.h"
#include "tools/rtjit/quantity.h"
#include "tools/rtjit/scope_options.h"
#include "tools/rtjit/search_options.h"
#include "tools/rtjit/tune_observers.h"
#include "tools/rtjit/tune_replay.h"
#include "tools/rtjit/tune_report.h"
#include "tuner/fleet.h"
#include "tuner/session.h"

namespace rtjit {
namespace {

struct TuneOptions {
  ScopeOptions scope;
  SearchOptions search;
  std::string replay, budget, shard;
  TuneLimits limits;
  bool force = false, retry_quarantined = false, no_verify = false;
  bool quiet = false, timings = false, events = false;
};

// "3/16": the third of sixteen.
Result<Shard> parse_shard(const std::string& text) {
  if (text.empty()) return Shard();
  const std::vector<std::string> parts = split(text, '/');
  const int64_t number = parts.size() == 2 ? parse_int(parts[0]).value_or(0) : 0;
  const int64_t count = parts.size() == 2 ? parse_int(parts[1]).value_or(0) : 0;
  if (number < 1 || count < number) {
    return make_error(
        ErrorCode::invalid_argument,
        "--shard: '{}' is not of the form NUMBER/COUNT with NUMBER from 1 to COUNT, such as 3/16", text);
  }
  return Shard{static_cast<size_t>(number - 1), static_cast<size_t>(count)};
}

Result<std::chrono::milliseconds> parse_budget(const std::string& text) {
  if (text.empty()) return std::chrono::milliseconds(0);
  auto seconds = parse_quantity("--budget", text, {{'s', 1}, {'m', 60}, {'h', 3600}},
                                "a time in seconds, minutes or hours, for example 60s or 10m");
  if (!seconds) return seconds.error();
  if (*seconds < 1) return make_error(ErrorCode::invalid_argument, "--budget: at least one second is needed");
  return std::chrono::milliseconds(*seconds * 1000);
}

// Every GPU of this machine, for --device all.
Result<std::vector<DeviceInfo>> all_devices() {
  auto count = cuda_device_count();
  if (!count) return count.error();
  std::vector<DeviceInfo> devices;
  for (int ordinal = 0; ordinal < *count; ++ordinal) {
    auto device = open_cuda_device(ordinal);
    if (!device) return device.error().with_context(fmt::format("GPU {}", ordinal));
    devices.push_back((*device)->info());
  }
  return devices;
}

Result<TuneRequest> make_request(const TuneOptions& options, const ScopeContext& context,
                                 const Store* shipped) {
  TuneRequest request;
  request.tmpl = context.scope.tmpl;
  request.problem = context.scope.problem;
  request.target = context.scope.target;
  request.device = context.scope.device;
  request.buckets = context.scope.buckets;
  request.store = context.store.get();
  request.shipped = shipped;
  // Where there is a device, times are taken on the same machine meanwhile.
  request.compiler = compile_pool_factory(request.device ? CompilePool::Priority::background
                                                         : CompilePool::Priority::normal);
  request.emulator = emulator_factory();
  request.worker_command = {std::filesystem::read_symlink("/proc/self/exe").string(), "worker"};
  request.template_folders = options.scope.template_folders;
  request.filter = context.scope.filter;
  request.limits = options.limits;
  auto search = options.search.resolve();
  if (!search) return search.error();
  request.search = *search;
  auto budget = parse_budget(options.budget);
  if (!budget) return budget.error();
  request.budget = *budget;
  auto shard = parse_shard(options.shard);
  if (!shard) return shard.error();
  request.shard = *shard;
  request.force = options.force;
  request.retry_quarantined = options.retry_quarantined;
  request.verify = !options.no_verify;
  return request;
}

Result<TuneReport> tune_where_asked(const TuneOptions& options, const TuneRequest& request,
                                    TuneObserver* observer) {
  if (!options.scope.all_devices || !request.device) return tune(request, observer);
  auto devices = all_devices();
  if (!devices) return devices.error();
  return tune_on_devices(request, *devices, observer);
}

int exit_code(const TuneReport& report) {
  if (report.cancelled) {
    fmt::print(stderr, "rtjit: stopped; what was finished is stored, and the next call goes on from there\n");
    return 130;
  }
  if (report.out_of_time) {
    fmt::print(
        stderr,
        "rtjit: the budget was used up; what was finished is stored, and the next call goes on from there\n");
  }
  for (const StageReport& stage : report.stages) {
    for (const BucketReport& bucket : stage.buckets) {
      if (bucket.has_winner || bucket.out_of_time) continue;
      return fail(make_error(ErrorCode::unsupported,
                             "no config of stage {} survived for bucket {}: see rtjit explain", stage.stage,
                             bucket.bucket));
    }
  }
  return 0;
}

int run(const TuneOptions& options) {
  if (!options.replay.empty()) return run_replay(options.scope, options.search, options.replay);
  const std::atomic<bool>* cancel = install_cancel_handler();  // before the driver starts threads of its own
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
  auto shipped = open_shipped_store();
  if (!shipped) return fail(shipped.error());
  auto request = make_request(options, *context, shipped->get());
  if (!request) return fail(request.error());
  request->cancel = cancel;
  if (options.events) {
    EventObserver observer(stdout);
    auto report = tune_where_asked(options, *request, &observer);
    if (!report) {
      observer.failed(report.error());
      return fail(report.error());
    }
    observer.done(*report);
    return exit_code(*report);
  }
  ProgressObserver observer(options.quiet);
  auto report = tune_where_asked(options, *request, &observer);
  observer.end();
  if (!report) return fail(report.error());
  if (options.scope.json) {
    fmt::print("{}\n", report_json(*report).dump(2));
  } else {
    print_report(*report, options.timings);
    if (!request->filter.empty())
      fmt::print("only configs that --config names were looked at: nothing is published\n");
  }
  return exit_code(*report);
}

}  // namespace

void add_tune(CLI::App& app, Action* action) {
  auto options = std::make_shared<TuneOptions>();
  CLI::App* verb = app.add_subcommand("tune", "Find, verify and store the winner of every token bucket");
  options->scope.several_devices = true;
  options->scope.add_to(*verb);
  options->search.add_to(*verb);
  verb->get_option("--config")
      ->description(
          "Look at configs with these values only, \"stage=gemm1,block_m=64\"; then nothing is published, "
          "only shown");
  verb->add_flag("--force", options->force,
                 "Look at every config again, whatever the cache knows; quarantine holds");
  verb->add_flag(
      "--retry-quarantined", options->retry_quarantined,
      "Try configs again that faulted, hung or wrote outside their buffers; without it they are not run "
      "again with the same template and compiler");
  verb->add_flag("--no-verify", options->no_verify,
                 "Do not check results; then nothing is published, only shown");
  verb->add_option("--budget", options->budget,
                   "Stop in this time with the best so far, \"60s\" or \"10m\". Default: none");
  verb->add_option("--shard", options->shard,
                   "Do only this share of the work, \"3/16\": the third of sixteen (docs/fleet.md)");
  verb->add_option(
      "--replay", options->replay,
      "Tune nothing: run the strategy on the measurements in this database and show what it would "
      "have chosen and cost");
  verb->add_flag("--timings", options->timings, "Show where the time went");
  verb->add_flag("--json-events", options->events,
                 "What happens as it happens, one JSON object per line; the last one holds the result");
  verb->add_flag("--quiet", options->quiet, "No progress");
  verb->callback([options, action] { *action = [options] { return run(*options); }; });
}

}  // namespace rtjit
