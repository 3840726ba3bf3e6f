// Measurements that lie in a database, as the searches and fits that work on them need them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/records.h"
#include "cache/store.h"
#include "templates/registry.h"
#include "tuner/candidates.h"

namespace rtjit {

// A config that was measured in one bucket.
struct SweepTime {
  int candidate = -1;  // index into the space's candidates
  double time_us = 0, low_us = 0, high_us = 0;
  int samples = 0;
};

// What is stored of one stage in one bucket of one problem on one GPU model.
struct SweepBucket {
  std::shared_ptr<const SearchContext> context;
  // With the registers, spills and rejections of the compiles that are stored; `feasible()` says which.
  std::shared_ptr<const StageSpace> space;
  std::string device_name, sku;
  int64_t bucket = 0;
  std::vector<SweepTime> times;      // one per measured config
  std::vector<int> failed;           // candidates that failed when they ran
  std::vector<double> predicted_us;  // by candidate, as known before anything is compiled; 0: not known
};

struct Sweep {
  std::vector<SweepBucket> buckets;  // by problem, target, GPU model, stage and bucket
  int64_t skipped = 0;               // measured rows of configs that the template does not have any more
};

struct SweepFilter {
  std::string problem{}, target{};  // "" = any; the canonical form
  std::vector<int64_t> buckets{};   // empty = all
};

// Reads what is stored of a template. Rows of its present content are taken; where there are none, those of
// the content that was measured last, as far as their configs still exist: most edits of a template change no
// config.
Result<Sweep> load_sweep(const Store& store, std::shared_ptr<const Template> tmpl, const SweepFilter& filter);

}  // namespace rtjit
