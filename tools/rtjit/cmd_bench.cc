// rtjit bench: the whole operation as deployed, against its default configs, its reference kernels and what
// the hardware delivers.
#include <fmt/format.h>

#include <fstream>

#include "base/text.h"
#include "runtime/nvml.h"
#include "tools/rtjit/bench_report.h"
#include "tools/rtjit/command.h"
#include "tools/rtjit/progress.h"
#include "tools/rtjit/quantity.h"
#include "tools/rtjit/scope_options.h"

namespace rtjit {
namespace {

struct BenchOptions {
  ScopeOptions scope;
  std::string svg, reference_limit = "2s";
  int samples = 9;
  bool quiet = false;
};

Status choose_tokens(ProblemScope* scope) {
  if (scope->tokens.empty()) {
    scope->tokens = bench_tokens(*scope->tmpl);
    std::vector<std::string> words;
    for (int64_t tokens : scope->tokens) words.push_back(std::to_string(tokens));
    auto buckets = resolve_buckets(*scope->tmpl, join(words, ","));
    if (!buckets) return buckets.error();
    scope->buckets = std::move(*buckets);
  }
  if (scope->tokens.empty() || scope->tokens.front() < 1) {
    return make_error(ErrorCode::invalid_argument,
                      "--tokens: there is nothing to measure in a launch of 0 {}",
                      scope->tmpl->bucket_scalar);
  }
  return {};
}

Result<BenchRequest> make_request(const BenchOptions& options, const ScopeContext& context) {
  BenchRequest request;
  request.scope = context.scope;
  if (Status status = choose_tokens(&request.scope); !status) return status.error();
  request.store = context.store.get();
  request.sampling.rounds = options.samples;
  request.sampling.max_rounds = 3 * options.samples;
  auto limit = parse_quantity("--reference-limit", options.reference_limit, {{'s', 1}, {'m', 60}},
                              "a time in seconds or minutes, for example 2s");
  if (!limit) return limit.error();
  request.most_reference_us = static_cast<double>(*limit) * 1e6;
  if (!request.scope.device) return request;
  ContextOptions open;
  open.database = options.scope.database;
  open.template_folders = options.scope.template_folders;
  open.device = options.scope.device;
  auto opened = Context::open(std::move(open));
  if (!opened) return opened.error();
  request.context = std::move(*opened);
  if (auto nvml = NvmlDevice::open(request.scope.device->pci_bus_id)) {
    request.clocks = [nvml = *nvml] { return nvml->clocks(); };
  }
  return request;
}

std::string tune_command(const ScopeOptions& options) {
  std::string command = "rtjit tune " + options.request.template_name;
  for (const auto& [name, value] :
       {std::pair<const char*, const std::string*>{"target", &options.request.target},
        {"preset", &options.request.preset},
        {"problem", &options.request.problem}}) {
    if (!value->empty()) command += fmt::format(" --{} {}", name, *value);
  }
  return command;
}

Status write_svg(const std::string& path, const BenchReport& report) {
  if (path.empty()) return {};
  std::ofstream file(path, std::ios::binary);
  file << bench_roofline(report);
  if (!file.flush()) return make_error(ErrorCode::io, "--svg: cannot write {}", path);
  return {};
}

int run(const BenchOptions& options) {
  const std::atomic<bool>* cancel = install_cancel_handler();  // before the driver starts threads of its own
  auto context = open_scope(options.scope, {.with_prebuilt = true});
  if (!context) return fail(context.error());
  auto request = make_request(options, *context);
  if (!request) return fail(request.error());
  Progress progress(options.quiet || !request->scope.device);
  request->cancel = cancel;
  request->progress = [&](const std::string& phase, int64_t done, int64_t total) {
    if (done == 0) {
      progress.begin(phase, total);
    } else {
      progress.update(phase, done, total);
    }
  };
  auto report = bench(*request);
  progress.end();
  if (!report) return fail(report.error());
  const std::vector<std::string> notes = bench_notes(*report, tune_command(options.scope));
  if (Status status = write_svg(options.svg, *report); !status) return fail(status.error());
  if (options.scope.json) {
    nlohmann::json out = bench_json(*report);
    out["notes"] = notes;
    fmt::print("{}\n", out.dump(1));
  } else {
    fmt::print("{}\n", bench_text(*report));
    for (const std::string& note : notes) fmt::print("note: {}\n", note);
  }
  if (report->cancelled) {
    fmt::print(stderr, "rtjit: stopped; {} of {} sizes were measured\n", report->rows.size(),
               request->scope.tokens.size());
    return 130;
  }
  const bool all = std::all_of(report->rows.begin(), report->rows.end(),
                               [](const BenchRow& row) { return row.time.known(); });
  return all ? 0 : 1;
}

}  // namespace

void add_bench(CLI::App& app, Action* action) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* verb =
      app.add_subcommand("bench", "Time the whole operation against defaults, reference and the hardware");
  options->scope.add_to(*verb);
  verb->get_option("--target")
      ->description(
          "Predict for a target such as sm_120a; nothing is measured. Default: the GPU that is present is "
          "measured");
  verb->get_option("--tokens")
      ->description(
          "Launch sizes, \"64\" or \"1,64,8192\": values of the template's bucket scalar. Default: every "
          "second bucket "
          "and the last");
  verb->get_option("--config")
      ->description(
          "Measure this config instead of what serves: values that leave one config of a stage, "
          "\"stage=gemm1,variant=mma,block_m=64,...\"");
  verb->add_option("--svg", options->svg, "Write a roofline plot to this file");
  verb->add_option("--samples", options->samples, "Samples of each time at least")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  verb->add_option(
          "--reference-limit", options->reference_limit,
          "Leave the reference kernels out where one look at them would take longer than this; \"0s\": "
          "always")
      ->capture_default_str();
  verb->add_flag("--quiet", options->quiet, "No progress");
  verb->footer(
      "Opens the kernel as an engine does, packs drawn weights, and replays CUDA graphs of frozen launches "
      "with cold "
      "L2.\nBytes and operations are what the template says the operation needs; the floor is their time at "
      "what this "
      "device's\nmemory and tensor cores were just measured to deliver. docs/bench.md explains the "
      "columns.\n"
      "Exits with 1 when a size could not be measured.\n\n"
      "  rtjit bench moe_mxfp4 --preset gpt-oss-120b --tokens 1,4,16,64 --svg roofline.svg\n"
      "  rtjit bench moe_mxfp4 --preset gpt-oss-120b --target sm_120a        predicted");
  verb->callback([options, action] { *action = [options] { return run(*options); }; });
}

}  // namespace rtjit
