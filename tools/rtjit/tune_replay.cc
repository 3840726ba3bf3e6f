#include "tools/rtjit/tune_replay.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tools/rtjit/command.h"
#include "tools/rtjit/sweep_options.h"
#include "tools/rtjit/table.h"
#include "tuner/replay.h"

namespace rtjit {
namespace {

nlohmann::json to_json(const ReplayReport& report, const StrategyOptions& strategy) {
  nlohmann::json out = {{"strategy", strategy.name},           {"configs", strategy.configs},
                        {"samples_each", strategy.samples},    {"seed", strategy.seed},
                        {"most_passes", strategy.passes},      {"regret_geomean", report.regret_geomean},
                        {"regret_worst", report.regret_worst}, {"compiles", report.compiles},
                        {"measurements", report.measurements}, {"samples", report.samples},
                        {"skipped", report.skipped},           {"buckets", nlohmann::json::array()}};
  for (const ReplayBucket& bucket : report.buckets) {
    out["buckets"].push_back({{"problem", bucket.problem},
                              {"target", bucket.target},
                              {"device", bucket.device_name},
                              {"stage", bucket.stage},
                              {"bucket", bucket.bucket},
                              {"configs", bucket.configs},
                              {"best_variant", bucket.best_variant},
                              {"best_config", bucket.best_config},
                              {"best_us", bucket.best_us},
                              {"chosen_variant", bucket.chosen_variant},
                              {"chosen_config", bucket.chosen_config},
                              {"chosen_us", bucket.chosen_us},
                              {"default_us", bucket.default_us},
                              {"regret", bucket.regret},
                              {"compiles", bucket.compiles},
                              {"measurements", bucket.measurements},
                              {"samples", bucket.samples},
                              {"passes", bucket.passes}});
  }
  return out;
}

void print_report(const ReplayReport& report) {
  std::string heading;
  Table table({{"stage"},
               {"bucket", Table::Align::right},
               {"configs", Table::Align::right},
               {"best us", Table::Align::right},
               {"chosen us", Table::Align::right},
               {"regret", Table::Align::right},
               {"compiles", Table::Align::right},
               {"measured", Table::Align::right},
               {"samples", Table::Align::right},
               {"passes", Table::Align::right},
               {"chosen"}});
  const Table empty = table;
  auto flush = [&] {
    if (!table.empty()) fmt::print("{}\n{}\n", heading, table.render(2));
    table = empty;
  };
  for (const ReplayBucket& bucket : report.buckets) {
    std::string now = fmt::format("{} on {} ({})", bucket.problem, bucket.device_name, bucket.target);
    if (now != heading) flush();
    heading = now;
    table.add({bucket.stage, with_thousands(bucket.bucket), fmt::format("{}", bucket.configs),
               fmt::format("{:.1f}", bucket.best_us), fmt::format("{:.1f}", bucket.chosen_us),
               bucket.regret > 0 ? fmt::format("{:.3f}", bucket.regret) : "none",
               fmt::format("{}", bucket.compiles), fmt::format("{}", bucket.measurements),
               with_thousands(bucket.samples), fmt::format("{}", bucket.passes),
               bucket.chosen_variant + " " + bucket.chosen_config});
  }
  flush();
  fmt::print("regret {:.3f} geometric mean, {:.3f} worst; {} compiled, {} measured, {} samples\n",
             report.regret_geomean, report.regret_worst, with_thousands(report.compiles),
             with_thousands(report.measurements), with_thousands(report.samples));
  if (report.skipped > 0) {
    fmt::print("{} stored measurements are of configs that the template does not have any more\n",
               with_thousands(report.skipped));
  }
}

}  // namespace

int run_replay(const ScopeOptions& scope, const SearchOptions& search, const std::string& database) {
  auto strategy = search.resolve();
  if (!strategy) return fail(strategy.error());
  auto filter = open_sweeps(scope);
  if (!filter) return fail(filter.error());
  if (std::error_code ignored; !std::filesystem::is_regular_file(database, ignored)) {
    return fail(make_error(ErrorCode::not_found, "--replay: there is no database {}", database));
  }
  auto store = open_store(database);
  if (!store) return fail(store.error());
  auto sweep = load_sweep(**store, filter->tmpl, filter->filter);
  if (!sweep) return fail(sweep.error());
  auto report = replay(*sweep, {.strategy = *strategy});
  if (!report) return fail(report.error().with_context(database));
  if (scope.json) {
    fmt::print("{}\n", to_json(*report, *strategy).dump(2));
  } else {
    print_report(*report);
  }
  return 0;
}

}  // namespace rtjit
