// Runs a search strategy on stored measurements, without a GPU: what it would have chosen, how much slower
// that is than the best of the sweep, and what it would have cost. A sweep knows one time of each config: how
// times differ from one moment to another, which passes that settle winners are for, is not in it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "tuner/ranking.h"
#include "tuner/strategy.h"
#include "tuner/sweep.h"

namespace rtjit {

struct ReplayOptions {
  StrategyOptions strategy{};
  TieRule ties{};
  // Where a strategy asks for fewer samples than the sweep took, its median is made to vary as the stored
  // interval says; times this factor. 0: every look gives the sweep's time.
  double noise = 1;
};

struct ReplayBucket {
  std::string problem, target, device_name, stage;
  int64_t bucket = 0;
  int configs = 0;  // measured in the sweep
  std::string best_variant, best_config, chosen_variant, chosen_config;
  double best_us = 0, chosen_us = 0, default_us = 0;  // of the sweep; default_us 0: it was not measured
  double regret = 0;                                  // chosen_us / best_us; 0: the strategy chose nothing
  int compiles = 0, measurements = 0;                 // configs compiled; configs measured, counted per batch
  int64_t samples = 0;
  int passes = 0;  // that settled who wins; they are counted in measurements and samples
};

struct ReplayReport {
  std::vector<ReplayBucket> buckets;
  double regret_geomean = 0, regret_worst = 0;
  // Compiles are shared between the buckets of a problem's stage: less than the sum over the buckets.
  int64_t compiles = 0, measurements = 0, samples = 0;
  int64_t skipped = 0;  // rows of configs that the template does not have any more
};

// Deterministic. ErrorCode::not_found when the sweep holds no measurement.
Result<ReplayReport> replay(const Sweep& sweep, const ReplayOptions& options);

}  // namespace rtjit
