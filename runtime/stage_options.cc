#include "runtime/stage_options.h"

#include <algorithm>
#include <deque>
#include <limits>

#include "runtime/gates.h"

namespace rtjit {
namespace {

// How many neighbours of a rejected default are looked at. Most fall at a formula, which costs nothing.
constexpr size_t kNearby = 64;

// The values that one step away from `value` are allowed: the next smaller integer, every other choice.
std::vector<Value> steps_from(const KeySpec& key, const Value& value) {
  std::vector<Value> result;
  if (key.type == KeySpec::Type::choice) {
    std::copy_if(key.values.begin(), key.values.end(), std::back_inserter(result),
                 [&](const Value& other) { return other != value; });
  } else if (const int64_t* number = std::get_if<int64_t>(&value); number != nullptr) {
    int64_t best = INT64_MIN;
    for (const Value& other : key.values) {
      if (formula_value(other) < *number) best = std::max(best, formula_value(other));
    }
    if (key.values.empty() && *number - key.multiple_of >= key.min) best = *number - key.multiple_of;
    if (best != INT64_MIN) result.emplace_back(best);
  }
  return result;
}

}  // namespace

std::vector<Config> nearby_configs(const Variant& variant, const Config& config, size_t limit) {
  std::vector<Config> result;
  std::set<std::string> seen = {config.canonical()};
  std::deque<Config> frontier = {config};
  while (!frontier.empty() && result.size() < limit) {
    Config from = std::move(frontier.front());
    frontier.pop_front();
    for (size_t i = 0; i < from.values().size() && i < variant.parameters.size(); ++i) {
      for (const Value& value : steps_from(variant.parameters[i], from.values()[i].second)) {
        auto values = from.values();
        values[i].second = value;
        Config next(std::move(values));
        if (result.size() >= limit || !seen.insert(next.canonical()).second) continue;
        result.push_back(next);
        frontier.push_back(std::move(next));
      }
    }
  }
  return result;
}

StageOptions::StageOptions(const StageSetting& setting, const Stage& stage, int64_t bucket,
                           std::optional<StageOption> first, bool only_first)
    : setting_(setting), stage_(stage), bucket_(bucket) {
  if (first) ready_.push_back(std::move(*first));
  steps_ = only_first ? 0 : 3 * stage.variants.size();
}

Result<std::optional<StageOption>> StageOptions::next() {
  while (true) {
    while (!ready_.empty()) {
      StageOption option = std::move(ready_.back());
      ready_.pop_back();
      if (seen_.insert(option.variant->name + "|" + option.config.canonical()).second) {
        return std::optional<StageOption>(std::move(option));
      }
    }
    if (step_ == steps_) return std::optional<StageOption>();
    if (Status status = fill(); !status) return status.error();
  }
}

// For each variant its default, then what is near it; when all of that failed, the oracles at their most
// exact.
Status StageOptions::fill() {
  size_t step = step_++, variants = stage_.variants.size();
  if (step >= 2 * variants) return fill_oracle(stage_.variants[step - 2 * variants]);
  const Variant& variant = stage_.variants[step / 2];
  if (step % 2 == 0) return fill_default(variant);
  fill_nearby(variant);
  return {};
}

Status StageOptions::fill_default(const Variant& variant) {
  auto config = default_config(setting_.tmpl, stage_, variant, setting_.problem, bucket_, setting_.facts);
  if (!config) return config.error();
  default_ = std::move(*config);
  if (!default_) return {};
  const char* origin = !stage_.tuned ? "untuned" : variant.oracle ? "fallback" : "default";
  ready_.push_back({&variant, *default_, origin});
  return {};
}

void StageOptions::fill_nearby(const Variant& variant) {
  if (!default_) return;  // the manifest does not offer the variant here
  std::vector<Config> configs = nearby_configs(variant, *default_, kNearby);
  for (auto config = configs.rbegin(); config != configs.rend(); ++config) {
    ready_.push_back({&variant, std::move(*config), "near the default, which this device cannot run"});
  }
}

Status StageOptions::fill_oracle(const Variant& variant) {
  if (!variant.oracle) return {};
  auto given = parse_key_values(variant.oracle_config);
  if (!given) return given.error();
  auto config = make_config(variant, *given);
  if (!config) return config.error();
  ready_.push_back({&variant, std::move(*config), "fallback"});
  return {};
}

Result<std::string> why_not(const StageSetting& setting, const Stage& stage, const StageOption& option,
                            VariantFacts* facts) {
  auto evaluated =
      evaluate_variant(setting.tmpl, stage, *option.variant, option.config, setting.problem, setting.facts);
  if (!evaluated) return evaluated.error();
  *facts = std::move(*evaluated);
  auto gate = static_gate(*option.variant, *facts, setting.target, setting.limits);
  if (!gate) return gate.error();
  return std::move(gate->reason);
}

std::string why_not(const StageSetting& setting, const VariantFacts& facts, const Binary& binary) {
  // Spilling makes a kernel slow, not wrong.
  return load_gate(facts, compiled_facts(binary), setting.limits, std::numeric_limits<int64_t>::max()).reason;
}

}  // namespace rtjit
