// Fits the cost model's coefficients to stored measurements, and says how well the model chooses.
//
// What is minimised over all measured configs of a family of targets is a robust mean of the error of
// log(predicted / measured): quadratic while small, linear beyond, so that a few configs that the model
// cannot describe do not bend the rest. A config weighs less the slower it is than the best of its bucket,
// because the model's task is to tell the fast ones apart; every bucket weighs the same. A weak pull towards
// the coefficients before the fit decides what the measurements do not. The search is a pattern search along
// the coefficients, in logarithms, and deterministic.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "tuner/cost_model.h"
#include "tuner/sweep.h"

namespace rtjit {

// A measured config as the cost model sees it.
struct FitPoint {
  CostInputs cost;
  int group = 0;  // points of one group (stage and bucket) compete with each other
  const GpuFacts* gpu = nullptr;
  int blocks_per_sm = 1;
  int64_t threads = 32;
  double time_us = 0;
};

CostCoefficients fit_coefficients(std::span<const FitPoint> points, const CostCoefficients& before);

// How the model's order does: speed relative to the best config, 1 = as fast.
struct ChoiceFigures {
  double first = 0;  // of the config that it ranks first
  double ten = 0;    // of the best among the ten that it ranks first
};
struct FitBucket {
  std::string problem, device_name, stage;
  int64_t bucket = 0;
  int configs = 0;
  ChoiceFigures before, after;
};
struct ChoiceSummary {
  ChoiceFigures geomean, worst;
  double typical_error = 0;  // median of |log(predicted / measured)|: 0.1 is about 10 %
};

struct FamilyFit {
  std::string family;
  CostCoefficients before, after;
  std::vector<FitBucket> buckets;  // with more than one measured config
  ChoiceSummary summary_before, summary_after;
  // All points, for a plot: predictions with the coefficients after the fit.
  struct Point {
    std::string stage;
    double predicted_us, measured_us;
  };
  std::vector<Point> points;
  int64_t without_cost = 0;  // measured configs of variants whose manifest states no cost
};

// One fit per family in the sweeps, in the order of families(). Configs are ranked, as in a search, by what
// is known before they are compiled, and fitted with what the compiler made of them. ErrorCode::not_found
// when nothing can be fitted.
Result<std::vector<FamilyFit>> fit(const std::vector<Sweep>& sweeps);

}  // namespace rtjit
