// What compiling costs: every feasible config of a template for the given targets, one after another on one
// core through the library's own path, in processor time. Docs: docs/performance.md.
//   compile_bench [TEMPLATE] [--target sm_90a,sm_120a] [--preset gpt-oss-20b] [--problem activations=mxfp8]
//   [--config variant=wgmma] [--every 10] [--check] [--json]
// --check: exit status 1 where a bar is missed.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "compiler/nvrtc.h"
#include "tools/rtjit/table.h"
#include "tuner/candidates.h"
#include "tuner/problem_scope.h"

namespace rtjit {
namespace {

constexpr double kMedianBarMs = 400, kLongestBarMs = 1200;

struct Options {
  ScopeRequest request;
  std::string targets = "sm_80,sm_86,sm_89,sm_90a,sm_100a,sm_103a,sm_120a,sm_121a";
  int64_t every = 1;
  bool check = false, json = false;
};

struct Compiled {
  std::string config;  // "gemm1/wgmma block_m=..."
  double ms = 0;
};

// One template on one target.
struct Measured {
  std::string template_name, target;
  std::vector<Compiled> compiled;  // ascending by time
  int rejected = 0;                // by the compiler

  double at(double share) const {
    return compiled[static_cast<size_t>(share * static_cast<double>(compiled.size() - 1))].ms;
  }
  size_t slow() const {
    return static_cast<size_t>(std::count_if(compiled.begin(), compiled.end(),
                                             [](const Compiled& each) { return each.ms > kLongestBarMs; }));
  }
  bool good() const { return compiled.empty() || (at(0.5) <= kMedianBarMs && slow() == 0); }
};

// The preset asked for, else the first that has a problem of this template.
std::string preset_for(const TemplateRegistry& registry, const std::string& template_name,
                       const std::string& asked) {
  if (!asked.empty()) return asked;
  for (const Preset& preset : registry.presets())
    if (preset.problems.count(template_name) != 0) return preset.name;
  return "";
}

Result<Measured> measure(const TemplateRegistry& registry, const Nvrtc& nvrtc, const ScopeRequest& request,
                         int64_t every) {
  auto scope = resolve_scope(registry, request, std::nullopt);
  if (!scope) return scope.error();
  const SearchContext search{scope->tmpl, scope->problem, scope->target, scope->facts,
                             gpu_facts(scope->target, std::nullopt)};
  Measured measured{request.template_name, request.target, {}, 0};
  int64_t seen = 0;
  for (const Stage& stage : scope->tmpl->stages) {
    auto space = make_stage_space(search, stage, scope->buckets);
    if (!space) return space.error();
    for (const Candidate& candidate : space->candidates) {
      if (!candidate.gate.ok()) continue;
      if (!scope->filter.matches(stage.name, candidate.variant->name, candidate.config)) continue;
      if (seen++ % every != 0) continue;
      auto outcome = compile(nvrtc, compile_request(search, candidate, std::chrono::minutes(1)));
      if (!outcome) return outcome.error();
      if (!outcome->binary) {
        ++measured.rejected;
        continue;
      }
      measured.compiled.push_back(
          {fmt::format("{}/{} {}", stage.name, candidate.variant->name, candidate.config_text),
           outcome->binary->compile_ms});
    }
  }
  std::sort(measured.compiled.begin(), measured.compiled.end(),
            [](const Compiled& a, const Compiled& b) { return a.ms < b.ms; });
  return measured;
}

nlohmann::ordered_json to_json(const Measured& measured) {
  nlohmann::ordered_json out = {{"template", measured.template_name},
                                {"target", measured.target},
                                {"compiled", measured.compiled.size()},
                                {"rejected", measured.rejected}};
  if (!measured.compiled.empty()) {
    out["median_ms"] = measured.at(0.5);
    out["p95_ms"] = measured.at(0.95);
    out["longest_ms"] = measured.compiled.back().ms;
    out["longest"] = measured.compiled.back().config;
    out["over_1200_ms"] = measured.slow();
  }
  out["ok"] = measured.good();
  out["configs"] = nlohmann::ordered_json::array();
  for (const Compiled& each : measured.compiled)
    out["configs"].push_back({{"config", each.config}, {"ms", each.ms}});
  return out;
}

void print_table(const std::vector<Measured>& all) {
  constexpr auto kRight = Table::Align::right;
  Table table({{"template"},
               {"target"},
               {"compiled", kRight},
               {"median ms", kRight},
               {"p95 ms", kRight},
               {"over 1,200 ms", kRight},
               {"longest ms", kRight},
               {"which"}});
  for (const Measured& each : all) {
    if (each.compiled.empty()) {
      table.add({each.template_name, each.target, "0"});
      continue;
    }
    const size_t slow = each.slow();
    table.add({each.template_name, each.target, std::to_string(each.compiled.size()),
               fmt::format("{:.0f}", each.at(0.5)), fmt::format("{:.0f}", each.at(0.95)),
               fmt::format("{} ({:.1f} %)", slow,
                           100.0 * static_cast<double>(slow) / static_cast<double>(each.compiled.size())),
               fmt::format("{:.0f}", each.compiled.back().ms), each.compiled.back().config});
  }
  fmt::print("{}", table.render());
}

int fail(const Error& error) {
  fmt::print(stderr, "compile_bench: {}\n", error.message);
  return 1;
}

int run(const Options& options) {
  auto registry = TemplateRegistry::create();
  if (!registry) return fail(registry.error());
  auto nvrtc = Nvrtc::open();
  if (!nvrtc) return fail(nvrtc.error());
  std::vector<std::string> names = {options.request.template_name};
  if (options.request.template_name.empty()) names = (*registry)->names();
  std::vector<Measured> all;
  for (const std::string& name : names) {
    ScopeRequest request = options.request;
    request.template_name = name;
    request.preset = preset_for(**registry, name, options.request.preset);
    for (const std::string& target : split(options.targets, ',')) {
      request.target = target;
      auto measured = measure(**registry, **nvrtc, request, options.every);
      if (!measured) return fail(measured.error());
      all.push_back(std::move(*measured));
    }
  }
  const bool good = std::all_of(all.begin(), all.end(), [](const Measured& each) { return each.good(); });
  if (options.json) {
    nlohmann::ordered_json out = {{"compiler", (*nvrtc)->version()}, {"every", options.every}, {"ok", good}};
    for (const Measured& each : all) out["measured"].push_back(to_json(each));
    fmt::print("{}\n", out.dump(1));
  } else {
    fmt::print("{}, processor time on one core, one of {} configs\n", (*nvrtc)->version(), options.every);
    print_table(all);
    fmt::print("bars: median at most {:.0f} ms, none over {:.0f} ms: {}\n", kMedianBarMs, kLongestBarMs,
               good ? "met" : "MISSED");
  }
  return good || !options.check ? 0 : 1;
}

}  // namespace
}  // namespace rtjit

int main(int argc, char** argv) {
  rtjit::Options options;
  CLI::App app{"What compiling a template's configs costs"};
  app.add_option("template", options.request.template_name, "Template. Default: every built-in one");
  app.add_option("--target", options.targets, "Targets, separated by commas")->capture_default_str();
  app.add_option("--preset", options.request.preset,
                 "Named problem. Default: the first that has one of the template");
  app.add_option("--problem", options.request.problem, "Problem keys; they win over the preset's");
  app.add_option("--config", options.request.config, "Only configs with these values, \"variant=wgmma\"");
  app.add_option("--every", options.every, "Compile only one of so many feasible configs")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_flag("--check", options.check, "Exit status 1 where a bar is missed");
  app.add_flag("--json", options.json, "Every config with its time, as JSON");
  CLI11_PARSE(app, argc, argv);
  return rtjit::run(options);
}
