// --strategy, --effort, --measure, --samples and --seed: how `rtjit tune` searches.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/result.h"
#include "tuner/strategy.h"

namespace rtjit {

struct SearchOptions {
  std::string effort = "default", strategy;
  int configs = 0, samples = 0;  // 0: as the effort says
  uint64_t seed = 1;

  void add_to(CLI::App& verb);
  // Errors name the option.
  Result<StrategyOptions> resolve() const;
};

}  // namespace rtjit
