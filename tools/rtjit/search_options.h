// --strategy, --effort, --measure, --samples, --passes and --seed: how `rtjit tune` searches.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "base/result.h"
#include "tuner/strategy.h"

namespace rtjit {

struct SearchOptions {
  std::string effort = "default", strategy;
  int configs = 0, samples = 0;  // 0: as the effort says
  std::optional<int> passes;     // none: as the effort says
  uint64_t seed = 1;

  void add_to(CLI::App& verb);
  // Errors name the option.
  Result<StrategyOptions> resolve() const;
};

}  // namespace rtjit
