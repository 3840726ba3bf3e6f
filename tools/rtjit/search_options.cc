#include "tools/rtjit/search_options.h"

#include "base/text.h"
#include "tuner/effort.h"

namespace rtjit {

void SearchOptions::add_to(CLI::App& verb) {
  verb.add_option(
      "--strategy", strategy,
      fmt::format("How configs are searched: {}. Default: halving", join(strategy_names(), ", ")));
  verb.add_option("--effort", effort, fmt::format("How much is looked at: {}", join(effort_names(), ", ")))
      ->capture_default_str();
  verb.add_option("--measure", configs,
                  "How many configs are looked at per bucket (the default config is always). Default: as the "
                  "effort says, 3, 8 or 48")
      ->check(CLI::PositiveNumber);
  verb.add_option("--samples", samples,
                  "Samples of each config that may win. Default: as the effort says, 5, 9 or 21")
      ->check(CLI::PositiveNumber);
  verb.add_option(
          "--passes", passes,
          "Passes over the configs nearest to the fastest that settle which of them wins, at most; 0: "
          "the search decides. Default: as the effort says, 0, 7 or 11")
      ->check(CLI::NonNegativeNumber);
  verb.add_option("--seed", seed, "What --strategy random draws with")->capture_default_str();
}

Result<StrategyOptions> SearchOptions::resolve() const {
  auto options = effort_options(effort);
  if (!options) return options.error().with_context("--effort");
  if (!strategy.empty()) options->name = strategy;
  if (configs > 0) options->configs = configs;
  if (samples > 0) options->samples = samples;
  if (passes) options->passes = *passes;
  options->seed = seed;
  if (auto made = make_strategy(*options); !made) return made.error().with_context("--strategy");
  return options;
}

}  // namespace rtjit
