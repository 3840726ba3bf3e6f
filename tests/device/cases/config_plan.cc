#include "tests/device/cases/config_plan.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

#include "base/text.h"
#include "runtime/stage_options.h"
#include "tuner/space.h"

namespace rtjit::testing {
namespace {

using Opened = std::optional<Result<std::unique_ptr<KernelHandle>>>;

std::vector<Opened> open_all(const std::shared_ptr<Context>& context, const TestCase& test,
                             const std::vector<std::vector<std::string>>& sets) {
  std::vector<Opened> opened(sets.size());
  std::atomic<size_t> next = 0;
  auto work = [&] {
    for (size_t i = next++; i < sets.size(); i = next++) {
      OpenOptions options;
      options.miss_policy = MissPolicy::use_default;
      options.max_bucket = std::max<int64_t>(test.value, 1);
      options.configs = sets[i];
      opened[i] = KernelHandle::open(context, test.template_name, test.problem, options);
    }
  };
  std::vector<std::thread> threads;
  const size_t count = std::min<size_t>({sets.size(), std::max(1u, std::thread::hardware_concurrency()), 16});
  for (size_t i = 0; i < count; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  return opened;
}

// The config of a stage whose turn it is. Variants take turns, so that one with few configs is not missed;
// over all turns the configs of each are spread evenly.
const std::string& config_of_turn(const StageConfigs& stage, size_t turn, size_t turns) {
  std::vector<std::pair<size_t, size_t>> variants;  // first config, count
  std::string before;
  for (size_t i = 0; i < stage.all.size(); ++i) {
    std::string variant = stage.all[i].substr(0, stage.all[i].find(':'));
    if (variant != before) variants.emplace_back(i, 0);
    ++variants.back().second;
    before = std::move(variant);
  }
  const auto [first, count] = variants[turn % variants.size()];
  return stage.all[first + turn / variants.size() * count / (turns / variants.size() + 1)];
}

std::string text_of(const std::vector<std::string>& set) {
  return set.empty() ? "the library's own choice" : join(set, " ");
}

}  // namespace

Result<std::vector<StageConfigs>> feasible_configs(const Context& context, const TestCase& test) {
  auto tmpl = context.registry().find(test.template_name);
  if (!tmpl) return tmpl.error();
  auto given = parse_key_values(test.problem);
  if (!given) return given.error();
  auto problem = context.registry().problem(**tmpl, *given);
  if (!problem) return problem.error();
  const DeviceInfo& info = context.device().info();
  const StageSetting setting{**tmpl, *problem, info.target, info.limits, info.facts()};
  std::vector<StageConfigs> result;
  for (const Stage& stage : (*tmpl)->stages) {
    if (!stage.tuned) continue;
    StageConfigs& configs = result.emplace_back();
    for (const Variant& variant : stage.variants) {
      auto enumerated = enumerate_configs(variant);
      if (!enumerated) return enumerated.error();
      for (const Config& config : *enumerated) {
        VariantFacts facts;
        auto reason = why_not(setting, stage, {&variant, config, ""}, &facts);
        if (!reason) return reason.error();
        if (!reason->empty()) continue;
        configs.all.push_back(fmt::format("{}={}:{}", stage.name, variant.name, config.canonical()));
        if (variant.oracle) configs.oracles.push_back(configs.all.back());
      }
    }
  }
  return result;
}

std::vector<std::vector<std::string>> choose_configs(const std::vector<StageConfigs>& stages, bool all,
                                                     size_t turn, size_t turns, size_t limit) {
  std::vector<std::vector<std::string>> sets = {{}};
  size_t oracles = stages.empty() ? 0 : stages[0].oracles.size(), longest = 0;
  for (const StageConfigs& stage : stages) {
    oracles = std::min(oracles, stage.oracles.size());
    longest = std::max(longest, stage.all.size());
  }
  for (size_t i = 0; i < oracles; ++i) {
    std::vector<std::string>& set = sets.emplace_back();
    for (const StageConfigs& stage : stages) set.push_back(stage.oracles[i]);
  }
  for (size_t j = 0; j < limit; ++j) {
    std::vector<std::string>& set = sets.emplace_back();
    // The stages run their variants in opposite order, so that different ones meet.
    const size_t at = turn * limit + j, last = turns * limit - 1;
    for (size_t s = 0; s < stages.size(); ++s) {
      set.push_back(config_of_turn(stages[s], s % 2 == 0 ? at : last - at, turns * limit));
    }
  }
  std::vector<size_t> chosen;
  for (size_t i = 0; limit == 0 && i < longest; ++i) {
    if (all || i % turns == turn) chosen.push_back(i);
  }
  for (size_t i : chosen) {
    std::vector<std::string>& set = sets.emplace_back();
    // Every other stage from the end, so that different tiles meet, and references meet tensor cores.
    for (size_t s = 0; s < stages.size(); ++s) {
      const size_t at = i % stages[s].all.size();
      set.push_back(stages[s].all[s % 2 == 0 ? at : stages[s].all.size() - 1 - at]);
    }
  }
  return sets;
}

std::vector<std::string> Coverage::missing() const {
  std::vector<std::string> result;
  for (const std::string& config : feasible) {
    if (!ran.contains(config) && !refused.contains(config)) result.push_back(config);
  }
  return result;
}

void Coverage::add(const Coverage& other) {
  feasible.insert(other.feasible.begin(), other.feasible.end());
  ran.insert(other.ran.begin(), other.ran.end());
  refused.insert(other.refused.begin(), other.refused.end());
  worst_rel_l2 = std::max(worst_rel_l2, other.worst_rel_l2);
  worst_max_per_rms = std::max(worst_max_per_rms, other.worst_max_per_rms);
  cases += other.cases;
  launches += other.launches;
}

std::vector<std::string> run_case(const std::shared_ptr<Context>& context, TestCase test, size_t turn,
                                  size_t turns, size_t limit, Coverage* coverage) {
  auto stages = feasible_configs(*context, test);
  if (!stages) return {stages.error().message};
  const auto sets = choose_configs(*stages, test.every_config, turn, turns, limit);
  for (const StageConfigs& stage : *stages) coverage->feasible.insert(stage.all.begin(), stage.all.end());
  std::vector<Opened> opened = open_all(context, test, sets);
  auto on_device = CaseOnDevice::create(context->device(), std::move(test));
  if (!on_device) return {on_device.error().message};

  std::vector<std::string> failures;
  for (size_t i = 0; i < sets.size(); ++i) {
    const Result<std::unique_ptr<KernelHandle>>& handle = *opened[i];
    if (!handle.ok()) {
      // A config that the formulas allow may still fall at the compiler. What the library chooses itself and
      // the references may not.
      const bool may_fall = i > stages->at(0).oracles.size() && handle.error().code == ErrorCode::unsupported;
      if (!may_fall) failures.push_back(fmt::format("{}: {}", text_of(sets[i]), handle.error().message));
      for (const std::string& config : sets[i]) {
        if (handle.error().message.find(config.substr(config.find(':') + 1)) != std::string::npos) {
          coverage->refused[config] = handle.error().message;
        }
      }
      continue;
    }
    auto judgement = (*on_device)->run(**handle);
    ++coverage->launches;
    if (!judgement) {
      failures.push_back(fmt::format("{}: {}", text_of(sets[i]), judgement.error().message));
      // The device's context is lost after a fault: nothing that follows can tell anything.
      if (judgement.error().code == ErrorCode::device_fault) break;
      continue;
    }
    if (!judgement->wrong.empty())
      failures.push_back(fmt::format("{}: {}", text_of(sets[i]), judgement->wrong));
    coverage->ran.insert(sets[i].begin(), sets[i].end());
    coverage->worst_rel_l2 = std::max(coverage->worst_rel_l2, judgement->rel_l2);
    coverage->worst_max_per_rms = std::max(coverage->worst_max_per_rms, judgement->max_per_rms);
  }
  ++coverage->cases;
  return failures;
}

}  // namespace rtjit::testing
