// Fills the report of a stage in a bucket.
#pragma once

#include <string>

#include "tuner/ranking.h"
#include "tuner/tuning_run.h"

namespace rtjit {

// Counts and the default config; no winner yet.
BucketReport make_bucket_report(const TuningRun& run, size_t stage, int64_t bucket);

void report_winner(const Candidate& candidate, const Ranked& entry, const Judgement& judgement,
                   const std::string& why, BucketReport* report);

// What the store answers; only where TuningRun::usable_winner() is not null.
BucketReport report_from_store(const TuningRun& run, size_t stage, int64_t bucket);

}  // namespace rtjit
