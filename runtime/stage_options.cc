#include "runtime/stage_options.h"

#include <algorithm>
#include <deque>

#include "base/text.h"
#include "compiler/features.h"

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
  default_ = *config;
  const char* origin = !stage_.tuned ? "untuned" : variant.oracle ? "fallback" : "default";
  ready_.push_back({&variant, std::move(*config), origin});
  return {};
}

void StageOptions::fill_nearby(const Variant& variant) {
  std::vector<Config> configs = nearby_configs(variant, default_, kNearby);
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
  const Target& target = setting.target;
  auto covered = target.matches(option.variant->targets);
  if (!covered) return covered.error();
  if (!*covered) return fmt::format("it needs {}, this is {}", option.variant->targets, target.name());
  auto evaluated =
      evaluate_variant(setting.tmpl, stage, *option.variant, option.config, setting.problem, setting.facts);
  if (!evaluated) return evaluated.error();
  *facts = std::move(*evaluated);
  for (const std::string& feature : facts->features) {
    if (!supports(target, feature)) return fmt::format("{} is not supported by {}", feature, target.name());
  }
  if (!facts->violated.empty()) return facts->violated[0];
  if (facts->smem > setting.limits.smem_per_block) {
    return fmt::format("it needs {} B of shared memory, {} allows {} B per block",
                       with_thousands(facts->smem), target.name(),
                       with_thousands(setting.limits.smem_per_block));
  }
  if (facts->threads > setting.limits.threads_per_block) {
    return fmt::format("it needs {} threads, {} allows {} per block", facts->threads, target.name(),
                       setting.limits.threads_per_block);
  }
  return std::string();
}

std::string why_not(const StageSetting& setting, const VariantFacts& facts, const Binary& binary) {
  int64_t warps = (facts.threads + 31) / 32;
  int64_t unit = std::max(setting.limits.register_unit_per_warp, 1);
  for (const Binary::Kernel& kernel : binary.kernels) {
    int64_t per_warp = (kernel.resources.registers * int64_t{32} + unit - 1) / unit * unit;
    if (warps * per_warp > setting.limits.registers_per_block) {
      return fmt::format("{} threads x {} registers need {}, a block may have {}", facts.threads,
                         kernel.resources.registers, with_thousands(warps * per_warp),
                         with_thousands(setting.limits.registers_per_block));
    }
    int64_t smem = facts.smem + kernel.resources.static_smem;
    if (facts.smem > 0 && smem > setting.limits.smem_per_block + setting.limits.smem_reserved_per_block) {
      return fmt::format("it needs {} B of shared memory, {} allows {} B per block", with_thousands(smem),
                         setting.target.name(), with_thousands(setting.limits.smem_per_block));
    }
  }
  return {};
}

}  // namespace rtjit
