// Tunes one stage in one bucket: searches, verifies the best until one stands, publishes it.
#pragma once

#include <memory>

#include "tuner/stage_bench.h"
#include "tuner/stage_settler.h"
#include "tuner/strategy.h"
#include "tuner/tuning_run.h"

namespace rtjit {

// A piece of work, and the first step of its search, which says what to compile ahead of it.
struct StageWork {
  size_t stage = 0;
  int64_t bucket = 0;
  std::unique_ptr<Strategy> strategy;
  std::vector<Prospect> prospects;
  Batch first;
};

// ErrorCode::invalid_argument for a strategy that does not exist.
Result<StageWork> plan_stage(const TuningRun& run, size_t stage, int64_t bucket);

// `chosen`: what serves the other stages; the winner is entered for this one. The report of the bucket is
// returned, also when no config is usable. ErrorCode::cancelled when the run must stop; what was measured is
// stored. `unsettled`: what is left to do where the winner, though published, has yet to be settled.
Result<BucketReport> tune_stage(TuningRun& run, StageWork work, StopSignal::Clock::time_point until,
                                Chosen* chosen, std::unique_ptr<StageSettler>* unsettled);

}  // namespace rtjit
