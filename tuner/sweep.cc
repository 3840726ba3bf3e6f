#include "tuner/sweep.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "cache/sku.h"
#include "tuner/gpu_facts.h"

namespace rtjit {
namespace {

constexpr int64_t kMaxSpillBytes = 1 << 20;  // what was measured was let through

// The content of the template whose rows are used.
std::string content_of(const std::vector<TuningRow>& rows, const std::string& present) {
  std::string newest;
  int64_t at = -1;
  for (const TuningRow& row : rows) {
    if (row.knowledge != Knowledge::measured) continue;
    if (row.key.template_hash == present) return present;
    if (row.updated_unix > at) at = row.updated_unix, newest = row.key.template_hash;
  }
  return newest;
}

// As the tuner knew the device: the fingerprint holds all that prediction asks for but the clock.
GpuFacts facts_of(const Target& target, const std::string& sku, const std::string& device_name) {
  GpuFacts facts = gpu_facts(target, std::nullopt);
  auto known = parse_sku(sku);
  if (!known) return facts;
  DeviceInfo device;
  device.target = target;
  device.name = device_name;
  device.limits = target.limits();
  device.limits.smem_per_block = known->smem_per_block;
  device.sm_count = static_cast<int>(known->sm_count);
  device.l2_bytes = known->l2_bytes;
  device.memory_bus_bits = static_cast<int>(known->memory_bus_bits);
  device.memory_clock_khz = static_cast<int>(known->memory_clock_mhz) * 1000;
  return gpu_facts(target, device);
}

using Rows = std::vector<const TuningRow*>;

Result<std::shared_ptr<const SearchContext>> context_of(std::shared_ptr<const Template> tmpl,
                                                        const TuningRow& row) {
  auto given = parse_key_values(row.key.problem);
  if (!given) return given.error();
  auto problem = make_problem(*tmpl, *given);
  if (!problem) return problem.error();
  auto target = Target::parse(row.key.target);
  if (!target) return target.error();
  GpuFacts gpu = facts_of(*target, row.key.sku, row.device_name);
  TargetFacts facts = target->facts();
  facts.sm_count = gpu.sm_count;
  facts.smem_per_block = gpu.limits.smem_per_block;
  return std::shared_ptr<const SearchContext>(
      std::make_shared<SearchContext>(SearchContext{std::move(tmpl), *problem, *target, facts, gpu}));
}

Status add_stage(const std::shared_ptr<const SearchContext>& context, const Stage& stage, const Rows& rows,
                 const SweepFilter& filter, Sweep* sweep) {
  std::map<int64_t, SweepBucket> buckets;
  std::vector<int64_t> wanted;
  for (const TuningRow* row : rows) {
    bool measured = row->knowledge == Knowledge::measured && row->time_us > 0;
    bool asked = filter.buckets.empty() || std::find(filter.buckets.begin(), filter.buckets.end(),
                                                     row->key.bucket) != filter.buckets.end();
    if (!measured || !asked || !buckets.try_emplace(row->key.bucket).second) continue;
    wanted.push_back(row->key.bucket);
  }
  if (buckets.empty()) return {};
  auto space = make_stage_space(*context, stage, wanted);
  if (!space) return space.error();
  for (auto& [bucket, entry] : buckets) {
    for (const Candidate& candidate : space->candidates) {
      bool ok = candidate.gate.ok();
      entry.predicted_us.push_back(ok ? predict_candidate(*context, candidate, bucket).total_us : 0);
    }
  }
  for (const TuningRow* row : rows) {
    int index = space->find(row->key.variant, row->key.config);
    bool measured = row->knowledge == Knowledge::measured && row->time_us > 0;
    if (index < 0) {
      sweep->skipped += measured;
      continue;
    }
    Candidate& candidate = space->candidates[static_cast<size_t>(index)];
    if (row->key.bucket == 0 && candidate.gate.ok() && !row->compiler.empty()) {
      apply_stored_compile(*context, *row, kMaxSpillBytes, &candidate);
    }
    auto found = buckets.find(row->key.bucket);
    if (found == buckets.end()) continue;
    if (failed_when_run(row->verdict)) {
      found->second.failed.push_back(index);
    } else if (measured) {
      found->second.times.push_back({index, row->time_us, row->time_low_us, row->time_high_us, row->samples});
    }
    if (found->second.device_name.empty()) found->second.device_name = row->device_name;
    found->second.sku = row->key.sku;
  }
  auto shared = std::make_shared<const StageSpace>(std::move(*space));
  for (auto& [bucket, entry] : buckets) {
    entry.context = context;
    entry.space = shared;
    entry.bucket = bucket;
    sweep->buckets.push_back(std::move(entry));
  }
  return {};
}

}  // namespace

Result<Sweep> load_sweep(const Store& store, std::shared_ptr<const Template> tmpl,
                         const SweepFilter& filter) {
  RowKey pattern;
  pattern.template_name = tmpl->name;
  pattern.problem = filter.problem;
  pattern.target = filter.target;
  pattern.bucket = -1;
  auto rows = store.rows(pattern);
  if (!rows) return rows.error();
  const std::string content = content_of(*rows, tmpl->content_hash);
  // (problem, target, GPU model) -> stage -> rows
  std::map<std::tuple<std::string, std::string, std::string>, std::map<std::string, Rows>> groups;
  for (const TuningRow& row : *rows) {
    if (row.key.template_hash != content) continue;
    groups[{row.key.problem, row.key.target, row.key.sku}][row.key.stage].push_back(&row);
  }
  Sweep sweep;
  for (const auto& [key, stages] : groups) {
    auto context = context_of(tmpl, *stages.begin()->second.front());
    if (!context) return context.error().with_context(fmt::format("what is stored of {}", std::get<0>(key)));
    for (const Stage& stage : tmpl->stages) {
      auto found = stages.find(stage.name);
      if (!stage.tuned || found == stages.end()) continue;
      if (Status status = add_stage(*context, stage, found->second, filter, &sweep); !status)
        return status.error();
    }
  }
  return sweep;
}

}  // namespace rtjit
