#include "tuner/overview.h"

#include "templates/launch_plan.h"
#include "tuner/gpu_facts.h"
#include "tuner/settle_record.h"
#include "tuner/space.h"

namespace rtjit {
namespace {

// What a launch of the winner moves and computes. Left at zero where the manifest states no cost.
void add_cost(const ProblemScope& scope, const Stage& stage, OverviewCell* cell) {
  for (const Variant& variant : stage.variants) {
    if (variant.name != cell->winner.variant) continue;
    auto configs = enumerate_configs(variant);
    if (!configs) return;
    for (const Config& config : *configs) {
      if (config.canonical() != cell->winner.config) continue;
      auto cost =
          evaluate_cost(*scope.tmpl, stage, variant, config, scope.problem, cell->bucket, scope.facts);
      if (!cost) return;
      cell->dram_bytes = cost->dram_bytes;
      cell->flops = cost->flops;
      cell->rate = cost->rate;
      return;
    }
  }
}

// The time of the stage's default config, the first variant's that has one here: measured for a measured
// winner, predicted for a predicted one, so that like is compared with like.
double default_time(const OverviewCell& cell) {
  for (const ExplainEntry& entry : cell.entries) {
    if (!entry.is_default || entry.verdict != Verdict::ok) continue;
    return cell.winner.knowledge == Knowledge::measured ? entry.measured_us : entry.predicted_us;
  }
  return 0;
}

}  // namespace

std::map<Verdict, int> OverviewCell::verdicts() const {
  std::map<Verdict, int> counts;
  for (const ExplainEntry& entry : entries) ++counts[entry.verdict];
  return counts;
}

Result<Overview> gather_overview(const ProblemScope& scope, Store* store) {
  const GpuFacts gpu = gpu_facts(scope.target, scope.device);
  Overview overview;
  overview.template_name = scope.tmpl->name;
  overview.template_hash = scope.tmpl->content_hash;
  overview.problem = scope.problem.canonical();
  overview.target = scope.target.name();
  overview.device = gpu.name;
  overview.dram_bytes_per_us = gpu.dram_bytes_per_us;
  overview.flops_per_us = gpu.bf16_flops_per_us;

  WinnerRow pattern;
  pattern.template_name = overview.template_name;
  pattern.template_hash = overview.template_hash;
  pattern.problem = overview.problem;
  pattern.target = overview.target;
  pattern.sku = scope.sku;
  pattern.bucket = -1;
  auto winners = store->winners(pattern);
  if (!winners) return winners.error();

  std::map<std::string, std::map<int64_t, OverviewCell>> cells;
  for (int64_t bucket : scope.buckets) {
    ExplainRequest request;
    request.scope = scope;
    request.scope.buckets = {bucket};
    request.store = store;
    auto report = explain(request);
    if (!report) return report.error();
    for (ExplainEntry& entry : report->entries) {
      OverviewCell& cell = cells[entry.stage][bucket];
      cell.entries.push_back(std::move(entry));
    }
  }
  for (const Stage& stage : scope.tmpl->stages) {
    if (!stage.tuned) continue;
    for (int64_t bucket : scope.buckets) {
      OverviewCell& cell = cells[stage.name][bucket];
      cell.stage = stage.name;
      cell.bucket = bucket;
      for (const WinnerRow& winner : *winners) {
        if (winner.stage == stage.name && winner.bucket == bucket) cell.winner = winner;
      }
      cell.default_us = default_time(cell);
      add_cost(scope, stage, &cell);
      overview.cells.push_back(std::move(cell));
    }
  }
  RowKey rows;
  rows.template_name = overview.template_name;
  rows.template_hash = overview.template_hash;
  rows.problem = overview.problem;
  rows.target = overview.target;
  rows.bucket = -1;
  auto stored = store->rows(rows);
  if (!stored) return stored.error();
  for (const TuningRow& row : *stored) {
    if (!row.compiler.empty()) ++overview.compilers[row.compiler];
    if (!row.driver.empty()) ++overview.drivers[row.driver];
    if (!row.policy.empty()) ++overview.policies[without_settle_record(row.policy)];
  }
  return overview;
}

}  // namespace rtjit
