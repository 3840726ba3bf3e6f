// Speed of the emulator on one core: the mma variant of moe_mxfp4 at T=64, H=512, I=512, E=8, run as `rtjit
// check` does it but not scaled down. Prints the figures of docs/emulator.md.
#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>

#include "emulator/emulated_device.h"
#include "tools/rtjit/scope_options.h"
#include "tuner/choices.h"
#include "tuner/emulator_check.h"

namespace rtjit {
namespace {

int fail(const Error& error) {
  fmt::print(stderr, "emulator_bench: {}\n", error.message);
  return 1;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The whole process, all threads: unlike wall time it does not count what other programs take.
double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

Status measure(const SearchContext& search, BinarySource& binaries, const std::vector<StageChoice>& oracle,
               const std::vector<StageChoice>& choices, bool races, bool isolate) {
  EmulatedDevice* device = nullptr;  // the check owns it
  EmulatorFactory factory = [&](const Target& target) -> Result<std::unique_ptr<Device>> {
    EmulatorOptions options;
    options.host_threads = 1;
    options.strictness.races = races;
    auto made = make_emulated_device_with(target, options);
    if (!made) return made.error();
    device = made->get();
    return std::unique_ptr<Device>(std::move(*made));
  };
  TuneLimits limits;
  limits.emulator_tokens = {64};
  const auto start = std::chrono::steady_clock::now();
  auto check = EmulatorCheck::create(search, binaries, limits, factory);
  if (!check) return check.error();
  // The oracle runs here, so that only the config's kernels are counted below.
  if (auto first = isolate ? (*check)->check(oracle) : Result<EmulatorVerdict>(EmulatorVerdict{}); !first)
    return first.error();
  const EmulatorStatistics before = device->statistics();
  const double cpu_before = cpu_seconds();
  auto verdict = (*check)->check(choices);
  if (!verdict) return verdict.error();
  if (!verdict->checked || verdict->outcome.verdict != Verdict::ok)
    return make_error(ErrorCode::internal, "the config is not right: {}", verdict->outcome.reason);
  const double cpu = cpu_seconds() - cpu_before;
  const EmulatorStatistics after = device->statistics();
  const auto lanes = static_cast<double>(after.lane_instructions - before.lane_instructions);
  if (isolate) {
    fmt::print(
        "races {}: {:.1f} M lane-instructions, {:.0f} M a second of CPU time, parsing and decoding "
        "included (first line: NVRTC too)\n",
        races ? "on" : "off", lanes / 1e6, lanes / cpu / 1e6);
  } else {
    fmt::print("races {}: the whole check takes {:.2f} s (compiled before)\n", races ? "on" : "off",
               seconds_since(start));
  }
  return {};
}

int run() {
  ScopeOptions options;
  options.request.template_name = "moe_mxfp4";
  options.request.target = "sm_90a";
  options.request.preset = "gpt-oss-20b";
  options.request.problem = "hidden=512,intermediate=512,experts=8";
  options.request.tokens = "64";
  options.database = ":memory:";
  auto context = open_scope(options);
  if (!context) return fail(context.error());
  auto full_size = std::make_shared<Template>(*context->scope.tmpl);
  full_size->verify.small.clear();
  const ProblemScope& scope = context->scope;
  const SearchContext search{full_size, scope.problem, scope.target, scope.facts,
                             gpu_facts(scope.target, scope.device)};
  BinarySource binaries(context->store.get(), compile_pool_factory());
  auto oracle = oracle_choices(search, scope.buckets.front());
  if (!oracle) return fail(oracle.error());
  auto choices = *oracle;
  for (size_t i = 0; i < full_size->stages.size(); i++) {
    auto space = make_stage_space(search, full_size->stages[i], scope.buckets);
    if (!space) return fail(space.error());
    for (const Candidate& candidate : space->candidates) {
      if (!candidate.gate.ok() || candidate.variant->name != "mma") continue;
      choices[i] = choice_of(candidate);
      break;
    }
  }
  fmt::print("{}\n", choices_text(choices));
  // The first also compiles by NVRTC; what follows finds the binaries.
  for (auto [races, isolate] :
       {std::pair(true, true), std::pair(true, true), std::pair(false, true), std::pair(true, false)}) {
    if (Status status = measure(search, binaries, *oracle, choices, races, isolate); !status.ok())
      return fail(status.error());
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print("peak memory {} MB\n", usage.ru_maxrss / 1024);
  return 0;
}

}  // namespace
}  // namespace rtjit

int main() { return rtjit::run(); }
