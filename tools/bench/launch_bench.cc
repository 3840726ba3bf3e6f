// What the library adds to the driver's launches: frozen launches and launches by name over the raw
// cuLaunchKernelEx calls that they make, and finding an open kernel by its problem. All in one run, in turns.
//   launch_bench [--driver LIBCUDA] [--template moe_mxfp4] [--problem preset=gpt-oss-20b] [--tokens 64]
//   [--check]
// With --driver a double of the driver (build/<preset>/tests/runtime/fake_libcuda.so) stands in for the GPU.
// --check: exit status 1 where a bar is missed.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "rtjit.h"
#include "runtime/c_api_objects.h"
#include "runtime/cuda_device.h"
#include "tools/bench/launch_arguments.h"

namespace rtjit {
namespace {

constexpr double kFrozenBarNs = 150, kFindBarNs = 100;
constexpr int kRounds = 405,
              kCallsPerRound = 100;  // a round fits the driver's queue, so that no launch waits for the GPU

struct Options {
  std::string driver, template_name = "moe_mxfp4", problem = "preset=gpt-oss-20b", database = ":memory:";
  int64_t tokens = 64;
  bool check = false, json = false;
};

// A launch as the driver got it. The parameters' memory belongs to the frozen launch.
struct RawLaunch {
  cuda::LaunchConfig config;
  std::array<cuda::LaunchAttribute, 2> attributes;
  cuda::Function function;
  void** parameters;
};
std::vector<RawLaunch> recorded;

cuda::Result record(const cuda::LaunchConfig* config, cuda::Function function, void** parameters, void**) {
  RawLaunch& raw = recorded.emplace_back();
  raw.config = *config;
  std::copy_n(config->attributes, config->attribute_count, raw.attributes.begin());
  raw.function = function;
  raw.parameters = parameters;
  return cuda::kSuccess;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Round by round, so that a clock that changes during the run does not count.
double median_difference(std::vector<double> values, const std::vector<double>& base) {
  for (size_t i = 0; i < values.size(); ++i) values[i] -= base[i];
  return median(std::move(values));
}

struct Measured {
  std::string name;
  std::function<void()> body;
  std::vector<double> ns{};  // per call, one per round
};

void measure(std::vector<Measured>& all, const std::function<void()>& drain) {
  using Clock = std::chrono::steady_clock;
  for (int round = -3; round < kRounds; ++round) {  // the first three warm caches and clocks
    for (size_t turn = 0; turn < all.size(); ++turn) {
      Measured& one =
          all[round % 2 == 0 ? turn : all.size() - 1 - turn];  // nobody always comes after the same
      drain();
      const auto begin = Clock::now();
      for (int i = 0; i < kCallsPerRound; ++i) one.body();
      const double ns =
          std::chrono::duration<double, std::nano>(Clock::now() - begin).count() / kCallsPerRound;
      if (round >= 0) one.ns.push_back(ns);
    }
  }
}

int fail(const Error& error) {
  fmt::print(stderr, "launch_bench: {}\n", error.message);
  return 1;
}

void must(rtjit_status status) {
  if (status == RTJIT_OK) return;
  fmt::print(stderr, "launch_bench: {}\n", rtjit_last_error());
  std::exit(1);
}

int run(const Options& options) {
  auto opened = cuda::Driver::open(options.driver.empty() ? nullptr : options.driver.c_str());
  if (!opened) return fail(opened.error());
  auto driver = std::make_shared<cuda::Driver>(**opened);  // a copy, so that launches can be recorded
  auto cuda_device = open_cuda_device(driver, 0);
  if (!cuda_device) return fail(cuda_device.error());
  Device& device = **cuda_device;
  if (Status status = device.make_current(); !status) return fail(status.error());
  ContextOptions context_options;
  context_options.database = options.database;
  auto context = Context::open(std::move(context_options), std::move(*cuda_device));
  if (!context) return fail(context.error());
  rtjit_library* library = make_library(*context);
  rtjit_open_options open{};
  open.struct_size = sizeof open;
  open.max_bucket = options.tokens;
  rtjit_kernel* kernel = nullptr;
  must(rtjit_kernel_open(library, options.template_name.c_str(), options.problem.c_str(), &open, &kernel));
  const KernelHandle& handle = *kernel->handle;

  rtjit_weights* weights = nullptr;
  size_t packed_bytes = 0, workspace_bytes = 0;
  must(rtjit_kernel_packed_size(kernel, &packed_bytes));
  must(rtjit_kernel_workspace_size(kernel, options.tokens, &workspace_bytes));
  auto packed = device.allocate(packed_bytes), workspace = device.allocate(workspace_bytes);
  if (!packed) return fail(packed.error());
  if (!workspace) return fail(workspace.error());
  if (packed_bytes > 0) {
    if (Status status = device.fill(*packed, 0, packed_bytes, nullptr); !status) return fail(status.error());
    must(rtjit_weights_adopt(kernel, rtjit_kernel_layout(kernel), reinterpret_cast<void*>(*packed),
                             packed_bytes, &weights));
  }
  auto arguments = make_arguments(device, handle, options.tokens, ArgumentSpec::Role::launch);
  if (!arguments) return fail(arguments.error());
  auto stream = device.create_stream();
  if (!stream) return fail(stream.error());
  rtjit_frozen* frozen = nullptr;
  auto* workspace_pointer = reinterpret_cast<void*>(*workspace);
  must(rtjit_kernel_freeze(kernel, weights, arguments->data(), arguments->size(), workspace_pointer,
                           workspace_bytes, *stream, &frozen));
  std::vector<void*> data;
  for (const rtjit_tensor& tensor : *arguments) data.push_back(tensor.data);

  const auto launch = driver->launch;
  driver->launch = record;
  must(rtjit_frozen_launch(frozen, *stream));
  driver->launch = launch;
  for (RawLaunch& raw : recorded) raw.config.attributes = raw.attributes.data();

  // The raw launches are the frozen ones: the same configs with the same attributes, the same parameters.
  const auto raw_launches = [&] {
    for (const RawLaunch& raw : recorded) {
      if (driver->launch(&raw.config, raw.function, raw.parameters, nullptr) != cuda::kSuccess) std::exit(1);
    }
  };
  std::vector<Measured> all = {
      {"raw driver launches", raw_launches},
      {"rtjit_frozen_launch", [&] { must(rtjit_frozen_launch(frozen, *stream)); }},
      {"rtjit_frozen_launch_at",
       [&] { must(rtjit_frozen_launch_at(frozen, data.data(), data.size(), *stream)); }},
      {"rtjit_kernel_launch",
       [&] {
         must(rtjit_kernel_launch(kernel, weights, arguments->data(), arguments->size(), workspace_pointer,
                                  workspace_bytes, *stream));
       }},
      // What a difference means: the driver's own time wanders, by place and turn too.
      {"raw driver launches, again", raw_launches},
      {"rtjit_kernel_find",
       [&] {
         rtjit_kernel* found = nullptr;
         must(rtjit_kernel_find(library, options.template_name.c_str(), options.problem.c_str(), &found));
         rtjit_kernel_close(found);
       }},
      {"rtjit_kernel_find, all keys",
       [&] {
         rtjit_kernel* found = nullptr;
         must(
             rtjit_kernel_find(library, options.template_name.c_str(), rtjit_kernel_problem(kernel), &found));
         rtjit_kernel_close(found);
       }},
      // What of the library's time is the driver's: launches by the library ask once whose context is
      // current.
      {"cuCtxGetCurrent",
       [&] {
         cuda::Context current = nullptr;
         if (driver->context_get_current(&current) != cuda::kSuccess) std::exit(1);
       }},
  };
  measure(all, [&] {
    if (Status status = device.synchronize(*stream); !status) std::exit(fail(status.error()));
  });

  const double raw = median(all[0].ns), frozen_over = median_difference(all[1].ns, all[0].ns),
               at_over = median_difference(all[2].ns, all[0].ns);
  const double find = std::max(median(all[5].ns), median(all[6].ns));
  const bool good = frozen_over <= kFrozenBarNs && at_over <= kFrozenBarNs && find <= kFindBarNs;
  if (options.json) {
    nlohmann::ordered_json out = {{"device", device.info().name},
                                  {"driver", device.info().driver_version},
                                  {"template", options.template_name},
                                  {"problem", options.problem},
                                  {"tokens", options.tokens},
                                  {"launches", recorded.size()},
                                  {"ns", nlohmann::ordered_json::object()},
                                  {"frozen_over_raw_ns", frozen_over},
                                  {"frozen_at_over_raw_ns", at_over},
                                  {"raw_again_over_raw_ns", median_difference(all[4].ns, all[0].ns)},
                                  {"find_ns", find},
                                  {"ok", good}};
    for (const Measured& one : all) out["ns"][one.name] = median(one.ns);
    fmt::print("{}\n", out.dump(1));
  } else {
    fmt::print("{} (driver {}), {} {}, {} tokens: {} launches; medians of {} rounds of {} calls\n",
               device.info().name, device.info().driver_version, options.template_name, options.problem,
               options.tokens, recorded.size(), kRounds, kCallsPerRound);
    for (size_t i = 0; i < all.size(); ++i) {
      const double ns = median(all[i].ns);
      const std::string over = i > 0 && i < 5 ? fmt::format("  {:.2f} x raw, {:+.0f} ns", ns / raw,
                                                            median_difference(all[i].ns, all[0].ns))
                                              : "";
      fmt::print("  {:<28} {:>9.1f} ns{}\n", all[i].name, ns, over);
    }
    fmt::print("bars: frozen at most {:.0f} ns over raw, find at most {:.0f} ns: {}\n", kFrozenBarNs,
               kFindBarNs, good ? "met" : "MISSED");
  }
  rtjit_frozen_free(frozen);
  rtjit_weights_free(weights);
  for (void* block : data) device.free(reinterpret_cast<DevicePtr>(block));
  device.free(*packed);
  device.free(*workspace);
  device.destroy_stream(*stream);
  rtjit_kernel_close(kernel);
  rtjit_library_close(library);
  return good || !options.check ? 0 : 1;
}

}  // namespace
}  // namespace rtjit

int main(int argc, char** argv) {
  rtjit::Options options;
  CLI::App app{"What a launch costs besides the driver"};
  app.add_option("--driver", options.driver,
                 "A libcuda to use instead of the system's; the tests' double needs no GPU");
  app.add_option("--template", options.template_name)->capture_default_str();
  app.add_option("--problem", options.problem)->capture_default_str();
  app.add_option("--tokens", options.tokens)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--db", options.database, "Cache; without one everything is compiled anew")
      ->capture_default_str();
  app.add_flag("--check", options.check, "Exit status 1 where a bar is missed");
  app.add_flag("--json", options.json);
  CLI11_PARSE(app, argc, argv);
  return rtjit::run(options);
}
