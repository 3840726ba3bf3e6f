// What an engine waits for from the start of its process to its first launch, in parts, on a filled cache:
// each sample is a process of its own.
//   cold_bench --db cache.db [--driver LIBCUDA] [--template moe_mxfp4] [--problem preset=gpt-oss-20b]
//   [--tokens 64]
//   [--runs 15] [--check]
// With --driver a double of the driver (build/<preset>/tests/runtime/fake_libcuda.so) stands in for the GPU;
// the library's own time is the same. What the cache lacks is compiled by a process before those that count,
// whose time is shown too.
// --check: exit status 1 where a bar is missed or a compiler was opened.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/process.h"
#include "runtime/cuda_device.h"
#include "tools/bench/launch_arguments.h"

namespace rtjit {
namespace {

using Clock = std::chrono::steady_clock;  // one for all processes of a machine
using Json = nlohmann::ordered_json;

constexpr double kOneBucketBarMs = 60, kAllBucketsBarMs = 150;
constexpr Milliseconds kChildLimit{600'000};

struct Options {
  std::string driver, template_name = "moe_mxfp4", problem = "preset=gpt-oss-20b", database;
  int64_t tokens = 64;
  int runs = 15;
  int64_t started_ns = 0;  // in a child: when its parent started it
  bool check = false, json = false;
};

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

int fail(const Error& error) {
  fmt::print(stderr, "cold_bench: {}\n", error.message);
  return 1;
}

// The parts of a start in the order in which they happen, in milliseconds.
class Parts {
 public:
  explicit Parts(int64_t start_ns) : last_(start_ns) {}
  void done(const char* name) {
    const int64_t now = now_ns();
    json_["ms"][name] = static_cast<double>(now - last_) / 1e6;
    last_ = now;
  }
  void forget() { last_ = now_ns(); }  // what came since the last part is not part of a start
  Json& json() { return json_; }

 private:
  int64_t last_;
  Json json_;
};

int start_once(const Options& options) {
  Parts parts(options.started_ns);
  parts.done("process");
  auto driver = cuda::Driver::open(options.driver.empty() ? nullptr : options.driver.c_str());
  if (!driver) return fail(driver.error());
  auto device = open_cuda_device(*driver, 0);
  if (!device) return fail(device.error());
  parts.done("driver");
  ContextOptions context_options;
  context_options.database = options.database;
  auto context = Context::open(std::move(context_options), std::move(*device));
  if (!context) return fail(context.error());
  parts.done("library");
  OpenOptions open;
  open.max_bucket = options.tokens;
  auto handle = KernelHandle::open(*context, options.template_name, options.problem, open);
  if (!handle) return fail(handle.error());
  parts.done("kernel");

  Device& gpu = (*context)->device();
  auto arguments = make_arguments(gpu, **handle, options.tokens, ArgumentSpec::Role::launch);
  auto workspace_bytes = (*handle)->workspace_bytes(options.tokens);
  if (!arguments) return fail(arguments.error());
  if (!workspace_bytes) return fail(workspace_bytes.error());
  const int64_t packed_bytes = (*handle)->packed_bytes();
  auto workspace = gpu.allocate(static_cast<size_t>(std::max<int64_t>(*workspace_bytes, 256)));
  auto packed = gpu.allocate(static_cast<size_t>(std::max<int64_t>(packed_bytes, 256)));
  if (!workspace) return fail(workspace.error());
  if (!packed) return fail(packed.error());
  std::vector<TensorArg> tensors;
  for (const rtjit_tensor& tensor : *arguments) {
    TensorArg& to = tensors.emplace_back();
    to.name = tensor.name;
    to.dtype = static_cast<DType>(tensor.dtype);
    to.data = reinterpret_cast<DevicePtr>(tensor.data);
    to.rank = tensor.rank;
    std::copy_n(static_cast<const int64_t*>(tensor.shape), 4, to.shape.begin());
  }
  Status status = gpu.fill(*packed, 0, static_cast<size_t>(packed_bytes), nullptr);
  if (status) status = gpu.synchronize(nullptr);
  if (!status) return fail(status.error());
  parts.forget();
  status = (*handle)->launch(tensors, *packed, packed_bytes, *workspace, *workspace_bytes, nullptr);
  if (status) status = gpu.synchronize(nullptr);
  if (!status) return fail(status.error());
  parts.done("first launch");

  parts.json()["compiler_opened"] = (*context)->compiler_opened();
  const std::vector<int64_t>& all = (*handle)->source().buckets;
  const int64_t last = bucket_for((*handle)->source(), options.tokens);
  parts.json()["buckets"] =
      std::count_if(all.begin(), all.end(), [&](int64_t bucket) { return bucket <= last; });
  parts.json()["device"] = gpu.info().name;
  fmt::print("{}\n", parts.json().dump());
  return 0;
}

Result<Json> start_process(const std::vector<std::string>& arguments) {
  ProcessOptions options;
  options.arguments = arguments;
  options.arguments.push_back("--started");
  options.arguments.push_back(std::to_string(now_ns()));
  auto outcome = run_process(options, kChildLimit);
  if (!outcome) return outcome.error();
  Json json = Json::parse(outcome->output, nullptr, false);
  if (!outcome->exit.ok() || json.is_discarded()) {
    return make_error(ErrorCode::internal, "a start failed ({}): {}", outcome->exit.describe(),
                      outcome->error_output);
  }
  return json;
}

// Beyond what every program with a GPU waits for: its process and the driver's context.
double library_ms(const Json& parts) {
  double sum = 0;
  for (const auto& [name, ms] : parts.items()) {
    if (name != "process" && name != "driver") sum += ms.get<double>();
  }
  return sum;
}

int run(const Options& options, const std::vector<std::string>& arguments) {
  auto first = start_process(arguments);
  if (!first) return fail(first.error());
  std::map<std::string, std::vector<double>> samples;
  bool compiler_opened = false;
  for (int i = 0; i < options.runs; ++i) {
    auto next = start_process(arguments);
    if (!next) return fail(next.error());
    compiler_opened = compiler_opened || next->at("compiler_opened").get<bool>();
    for (const auto& [name, ms] : next->at("ms").items()) samples[name].push_back(ms.get<double>());
    samples["library's own"].push_back(library_ms(next->at("ms")));
  }
  Json medians = Json::object();
  std::vector<std::string> names;
  for (const auto& part : first->at("ms").items()) names.push_back(part.key());
  names.push_back("library's own");
  for (const std::string& name : names) {
    std::vector<double>& values = samples[name];
    std::sort(values.begin(), values.end());
    medians[name] = values[values.size() / 2];
  }
  const auto buckets = first->at("buckets").get<int64_t>();
  const double bar = buckets == 1 ? kOneBucketBarMs : kAllBucketsBarMs;
  const bool good = medians["library's own"].get<double>() <= bar && !compiler_opened;
  if (options.json) {
    const Json out = {{"device", first->at("device")},
                      {"template", options.template_name},
                      {"problem", options.problem},
                      {"buckets", buckets},
                      {"runs", options.runs},
                      {"first_ms", first->at("ms")},
                      {"first_compiled", first->at("compiler_opened")},
                      {"ms", medians},
                      {"compiler_opened", compiler_opened},
                      {"ok", good}};
    fmt::print("{}\n", out.dump(1));
  } else {
    fmt::print("{}, {} {}, {} bucket(s); medians of {} processes in ms, and the process before them{}\n",
               first->at("device").get<std::string>(), options.template_name, options.problem, buckets,
               options.runs, first->at("compiler_opened").get<bool>() ? ", which compiled" : "");
    for (const std::string& name : names) {
      const double before =
          name == names.back() ? library_ms(first->at("ms")) : first->at("ms")[name].get<double>();
      fmt::print("  {:<14} {:>8.2f}  {:>10.2f}\n", name, medians[name].get<double>(), before);
    }
    fmt::print("bar: {:.0f} ms beyond process and driver, without a compiler: {}\n", bar,
               good ? "met" : "MISSED");
  }
  return good || !options.check ? 0 : 1;
}

}  // namespace
}  // namespace rtjit

int main(int argc, char** argv) {
  rtjit::Options options;
  CLI::App app{"What an engine waits for until its first launch"};
  app.add_option("--db", options.database, "The cache; filled first with what it lacks")->required();
  app.add_option("--driver", options.driver,
                 "A libcuda to use instead of the system's; the tests' double needs no GPU");
  app.add_option("--template", options.template_name)->capture_default_str();
  app.add_option("--problem", options.problem)->capture_default_str();
  app.add_option("--tokens", options.tokens, "All buckets up to this many tokens; the launch has as many")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--runs", options.runs)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_flag("--check", options.check, "Exit status 1 where a bar is missed");
  app.add_flag("--json", options.json);
  app.add_option("--started", options.started_ns)
      ->group("");  // what makes a process one of those that are timed
  CLI11_PARSE(app, argc, argv);
  if (options.started_ns > 0) return rtjit::start_once(options);
  return rtjit::run(options, std::vector<std::string>(argv, argv + argc));
}
