#include "tuner/candidates.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "tuner/space.h"

namespace rtjit {
namespace {

using Seen = std::map<std::pair<const Variant*, std::string>, int>;

// Index of the candidate with this config, made if it is new.
Result<int> ensure(const SearchContext& context, const Variant& variant, Config config, Seen* seen,
                   StageSpace* space) {
  auto [found, is_new] =
      seen->try_emplace({&variant, config.canonical()}, static_cast<int>(space->candidates.size()));
  if (!is_new) return found->second;
  auto candidate = make_candidate(context, *space->stage, variant, std::move(config));
  if (!candidate) return candidate.error();
  space->candidates.push_back(std::move(*candidate));
  return found->second;
}

}  // namespace

Result<Candidate> make_candidate(const SearchContext& context, const Stage& stage, const Variant& variant,
                                 Config config) {
  Candidate candidate;
  candidate.stage = &stage;
  candidate.variant = &variant;
  candidate.config_text = config.canonical();
  candidate.config = std::move(config);
  auto facts =
      evaluate_variant(*context.tmpl, stage, variant, candidate.config, context.problem, context.facts);
  if (!facts) {
    return facts.error().with_context(
        fmt::format("stage {} variant {} config {}", stage.name, variant.name, candidate.config_text));
  }
  candidate.facts = std::move(*facts);
  auto gate = static_gate(variant, candidate.facts, context.target, context.gpu.limits);
  if (!gate) return gate.error();
  candidate.gate = std::move(*gate);
  return candidate;
}

const char* to_string(VerdictSource source) {
  switch (source) {
    case VerdictSource::static_gate:
      return "static";
    case VerdictSource::compiled:
      return "compiled";
    case VerdictSource::stored:
      return "stored";
  }
  return "";
}

const char* to_string(Gate gate) {
  switch (gate) {
    case Gate::static_checks:
      return "static";
    case Gate::compile:
      return "compile";
    case Gate::load:
      return "load";
    case Gate::run:
      return "run";
  }
  return "";
}

Gate Candidate::rejected_by() const {
  if (failed_when_run(gate.verdict)) return Gate::run;
  if (!compiled_known) return Gate::static_checks;
  return binary_key.empty() ? Gate::compile : Gate::load;
}

int StageSpace::find(std::string_view variant, std::string_view config) const {
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].variant->name == variant && candidates[i].config_text == config)
      return static_cast<int>(i);
  }
  return -1;
}

int StageSpace::default_candidate(int64_t bucket) const {
  for (const auto& by_bucket : defaults) {
    auto found = by_bucket.find(bucket);
    if (found != by_bucket.end() && candidates[found->second].gate.ok()) return found->second;
  }
  return oracle >= 0 && candidates[oracle].gate.ok() ? oracle : -1;
}

Result<StageSpace> make_stage_space(const SearchContext& context, const Stage& stage,
                                    const std::vector<int64_t>& buckets) {
  StageSpace space;
  space.stage = &stage;
  Seen seen;
  for (const Variant& variant : stage.variants) {
    if (stage.tuned) {
      auto configs = enumerate_configs(variant);
      if (!configs) return configs.error().with_context(fmt::format("stage {}", stage.name));
      for (Config& config : *configs) {
        auto index = ensure(context, variant, std::move(config), &seen, &space);
        if (!index) return index.error();
      }
    }
    std::map<int64_t, int> by_bucket;
    for (int64_t bucket : buckets) {
      auto config = default_config(*context.tmpl, stage, variant, context.problem, bucket, context.facts);
      if (!config) return config.error();
      if (!*config) continue;
      auto index = ensure(context, variant, std::move(**config), &seen, &space);
      if (!index) return index.error();
      by_bucket[bucket] = *index;
    }
    space.defaults.push_back(std::move(by_bucket));
    if (!variant.oracle) continue;
    auto given = parse_key_values(variant.oracle_config);
    if (!given) return given.error();
    auto config = make_config(variant, *given);
    if (!config) return config.error();
    auto index = ensure(context, variant, std::move(*config), &seen, &space);
    if (!index) return index.error();
    space.oracle = *index;
  }
  return space;
}

int keep_only(const std::function<bool(const Candidate&)>& wanted, StageSpace* space) {
  std::vector<bool> needed(space->candidates.size(), false);
  for (const auto& by_bucket : space->defaults) {
    for (const auto& [bucket, index] : by_bucket) needed[static_cast<size_t>(index)] = true;
  }
  if (space->oracle >= 0) needed[static_cast<size_t>(space->oracle)] = true;
  std::vector<int> place(space->candidates.size(), -1);
  std::vector<Candidate> kept;
  int count = 0;
  for (size_t i = 0; i < space->candidates.size(); ++i) {
    Candidate& candidate = space->candidates[i];
    candidate.wanted = wanted(candidate);
    count += candidate.wanted;
    if (!candidate.wanted && !needed[i]) continue;
    place[i] = static_cast<int>(kept.size());
    kept.push_back(std::move(candidate));
  }
  space->candidates = std::move(kept);
  for (auto& by_bucket : space->defaults) {
    for (auto& [bucket, index] : by_bucket) index = place[static_cast<size_t>(index)];
  }
  if (space->oracle >= 0) space->oracle = place[static_cast<size_t>(space->oracle)];
  return count;
}

CompileRequest compile_request(const SearchContext& context, const Candidate& candidate,
                               std::chrono::milliseconds time_limit) {
  CompileRequest request;
  request.tmpl = context.tmpl;
  request.source = candidate.variant->source;
  for (const auto& kernel : candidate.facts.kernels)
    request.name_expressions.push_back(kernel.name_expression);
  request.smem_bytes = candidate.facts.smem;
  request.target = context.target;
  request.declared_features = candidate.facts.features;
  request.time_limit = time_limit;
  return request;
}

Result<std::optional<CompileRequest>> pack_compile_request(const SearchContext& context,
                                                           std::chrono::milliseconds time_limit) {
  if (context.tmpl->pack.empty()) return std::optional<CompileRequest>();
  auto plan = LaunchPlan::create(context.tmpl, context.problem, {}, context.facts, /*packing=*/true);
  if (!plan) return plan.error().with_context("weight packing");
  CompileRequest request;
  request.tmpl = context.tmpl;
  request.source = context.tmpl->pack_source;
  request.target = context.target;
  request.time_limit = time_limit;
  std::set<std::string> names;
  for (const PlanLaunch& launch : plan->launches()) {
    if (names.insert(launch.kernel).second) request.name_expressions.push_back(launch.kernel);
  }
  return std::optional<CompileRequest>(std::move(request));
}

void apply_compiled(const SearchContext& context, const CompiledFacts& compiled, int64_t max_spill_bytes,
                    Candidate* candidate) {
  candidate->compiled_known = true;
  candidate->compiled = compiled;
  // The oracle is the fallback that always exists: slow is allowed.
  int64_t spill_limit = candidate->variant->oracle ? std::numeric_limits<int64_t>::max() : max_spill_bytes;
  candidate->gate = load_gate(candidate->facts, compiled, context.gpu.limits, spill_limit);
  if (!candidate->gate.ok()) return;
  candidate->occupancy = blocks_per_sm(candidate->facts.threads, compiled.registers,
                                       candidate->facts.smem + compiled.static_smem, context.gpu.limits);
}

void apply_stored_compile(const SearchContext& context, const TuningRow& row, int64_t max_spill_bytes,
                          Candidate* candidate) {
  candidate->source = VerdictSource::stored;
  candidate->compiler = row.compiler;
  candidate->binary_key = row.binary_key;
  if (row.binary_key.empty()) {  // the compiler refused it
    candidate->compiled_known = true;
    candidate->gate = {row.verdict, row.reason};
    return;
  }
  CompiledFacts facts;
  facts.registers = row.registers;
  facts.stack = row.stack;
  facts.spills = row.spills;
  facts.static_smem = std::max<int64_t>(0, row.smem_bytes - candidate->facts.smem);
  apply_compiled(context, facts, max_spill_bytes, candidate);
}

StageChoice choice_of(const Candidate& candidate) {
  return {candidate.stage->name, candidate.variant->name, candidate.config};
}

Prediction predict_candidate(const SearchContext& context, const Candidate& candidate, int64_t bucket) {
  auto inputs = evaluate_cost(*context.tmpl, *candidate.stage, *candidate.variant, candidate.config,
                              context.problem, bucket, context.facts);
  if (!inputs) return {};
  int occupancy = candidate.occupancy;
  if (occupancy == 0) {  // not compiled yet: what the manifest predicts
    int registers = std::max<int>(candidate.registers(), 32);
    occupancy = blocks_per_sm(candidate.facts.threads, registers, candidate.facts.smem, context.gpu.limits);
  }
  return predict(*inputs, context.gpu, std::max(occupancy, 1), candidate.facts.threads);
}

}  // namespace rtjit
