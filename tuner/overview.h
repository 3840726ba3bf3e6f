// All that is stored about one problem on one target, in the form in which a report shows it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/store.h"
#include "tuner/explain.h"
#include "tuner/problem_scope.h"

namespace rtjit {

// One tuned stage in one bucket.
struct OverviewCell {
  std::string stage;
  int64_t bucket = 0;
  WinnerRow winner;                   // variant "" = nothing is stored
  double default_us = 0;              // of the default config, known as the winner's time is; 0 = not known
  double dram_bytes = 0, flops = 0;   // of the winner, as its manifest counts them
  std::string rate;                   // the unit that does the flops: "wgmma.bf16"
  std::vector<ExplainEntry> entries;  // every config of the stage

  // How many times faster than the default config; 0 = not known.
  double speedup() const { return winner.time_us > 0 && default_us > 0 ? default_us / winner.time_us : 0; }
  // Configs per verdict, "ok" included.
  std::map<Verdict, int> verdicts() const;
};

struct Overview {
  std::string template_name, template_hash, problem, target, device;  // device: present or representative
  double dram_bytes_per_us = 0, flops_per_us = 0;  // the device's ceilings by its data sheet
  std::vector<OverviewCell> cells;                 // buckets within stages, both in the manifest's order
  std::map<std::string, int> compilers, drivers, policies;  // distinct values on the rows -> how many rows
};

// Looks only at what is stored and what static gates and the cost model say; compiles and measures nothing.
// `scope.filter` leaves out configs, not winners.
Result<Overview> gather_overview(const ProblemScope& scope, Store* store);

}  // namespace rtjit
