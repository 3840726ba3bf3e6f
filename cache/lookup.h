// Which config to use: from what is stored, the winner that says most about this device, and why it is that
// one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/records.h"
#include "cache/store.h"
#include "cache/stored_problem.h"
#include "templates/manifest.h"

namespace rtjit {

// How a config came to be chosen, best first.
enum class Provenance {
  measured_here,     // on a device like this one
  measured_nearby,   // on another device of the same target
  predicted,         // by the cost model, for this target
  fallback_default,  // nothing is stored: the caller uses the variant's default
};
const char* to_string(Provenance provenance);

struct LookupRequest {
  std::string template_name, template_hash;
  std::string problem;  // Problem::canonical()
  std::string stage;
  int64_t bucket = 1;
  std::string target;  // "sm_90a"
  std::string sku;     // format_sku() of the device, or "" without one
};

// What is asked for a stage of a template in a bucket; what a template without buckets has is kept under
// bucket 1.
LookupRequest make_lookup(const Template& tmpl, const Problem& problem, const Stage& stage, int64_t bucket,
                          const std::string& target, const std::string& sku);

struct Found {
  WinnerRow winner;
  std::optional<TuningRow> row;  // the winner's facts, where its tuning row is still stored
  Provenance provenance = Provenance::predicted;
  std::string sentence;  // "measured on NVIDIA H200 (132 SMs); this device has 114"
};

// Nothing: no stored winner fits. Winners of another template hash are never used. The order: measured on
// this SKU, measured on another SKU of the target (nearest SM count first), predicted; within each, the exact
// bucket before one at most a factor of two away. If none of these is there, any other bucket of the problem,
// nearest first. A config that is known to have failed when run (fault, hang, wrong, launch) on this target
// is passed over. A winner of another bucket or SKU may break a constraint here: the caller checks it as it
// checks any config.
Result<std::optional<Found>> lookup_winner(const Store& store, const LookupRequest& request);

// The same for whoever looks up more of a problem: `request` is about the stored problem.
Result<std::optional<Found>> lookup_winner(StoredProblem& stored, const LookupRequest& request);

}  // namespace rtjit
