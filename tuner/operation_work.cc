#include "tuner/operation_work.h"

#include <algorithm>

namespace rtjit {
namespace {

// The ceiling for a stage's operations is that of the fastest unit that any config here may use. Plain fp32
// is one only where no config uses tensor cores.
std::string type_of(const StageSpace& space) {
  double best = 0;
  std::string type = "fma";
  for (const Candidate& candidate : space.candidates) {
    const std::string& rate = candidate.variant->cost.rate;
    if (!candidate.gate.ok() || rate == "fma" || relative_rate(rate) <= best) continue;
    best = relative_rate(rate);
    type = math_type(rate);
  }
  return type;
}

Result<WorkAmount> least_cost(const SearchContext& context, const StageSpace& space, int64_t value) {
  WorkAmount least;
  bool any = false;
  for (const Candidate& candidate : space.candidates) {
    if (!candidate.gate.ok()) continue;
    auto cost = evaluate_cost(*context.tmpl, *space.stage, *candidate.variant, candidate.config,
                              context.problem, value, context.facts);
    if (!cost) return cost.error();
    if (cost->dram_bytes <= 0 && cost->flops <= 0) continue;  // states none
    least.bytes = any ? std::min(least.bytes, cost->dram_bytes) : cost->dram_bytes;
    least.flops = any ? std::min(least.flops, cost->flops) : cost->flops;
    any = true;
  }
  return least;
}

}  // namespace

double OperationWork::memory_us(const Ceilings& ceilings) const {
  return ceilings.bytes_per_us() > 0 ? bytes / ceilings.bytes_per_us() : 0;
}

double OperationWork::math_us(const Ceilings& ceilings) const {
  double us = 0;
  for (const auto& [type, count] : flops_by_type) {
    const MathCeiling* ceiling = ceilings.find(type);
    if (ceiling != nullptr && ceiling->flops_per_us > 0) us += count / ceiling->flops_per_us;
  }
  return us;
}

double OperationWork::floor_us(const Ceilings& ceilings) const {
  return std::max(memory_us(ceilings), math_us(ceilings));
}

Result<OperationWork> operation_work(const SearchContext& context, const std::vector<StageSpace>& spaces,
                                     int64_t value) {
  OperationWork work;
  for (const StageSpace& space : spaces) {
    const Stage& stage = *space.stage;
    auto part = stage.work.stated()
                    ? evaluate_work(*context.tmpl, stage, context.problem, value, context.facts)
                    : least_cost(context, space, value);
    if (!part) return part.error();
    if (stage.tuned && !stage.work.stated()) work.stated = false;
    work.bytes += part->bytes;
    work.flops += part->flops;
    if (part->flops > 0) work.flops_by_type[type_of(space)] += part->flops;
  }
  return work;
}

std::set<std::string> math_types(const std::vector<StageSpace>& spaces) {
  std::set<std::string> types;
  for (const StageSpace& space : spaces) {
    if (space.stage->tuned) types.insert(type_of(space));
  }
  return types;
}

double predict_operation(const SearchContext& context, const std::vector<const Candidate*>& choices,
                         int64_t value) {
  double us = 0;
  for (const Candidate* candidate : choices) {
    const Prediction prediction = predict_candidate(context, *candidate, value);
    if (!prediction.known() && candidate->stage->tuned) return 0;
    us += prediction.total_us;
  }
  return us;
}

}  // namespace rtjit
