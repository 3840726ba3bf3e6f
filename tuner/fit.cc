#include "tuner/fit.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace rtjit {
namespace {

constexpr size_t kTen = 10;

// A stage and bucket: the points as they are fitted, and as a search ranks them.
struct Group {
  const SweepBucket* sweep = nullptr;
  std::vector<FitPoint> compiled, uncompiled;
};

FitPoint point_of(const SearchContext& context, const CostInputs& cost, const Candidate& candidate,
                  const SweepTime& time, bool compiled) {
  FitPoint point;
  point.cost = cost;
  point.gpu = &context.gpu;
  point.threads = candidate.facts.threads;
  point.time_us = time.time_us;
  int registers =
      compiled ? candidate.compiled.registers : static_cast<int>(candidate.facts.predicted_registers);
  int64_t smem = candidate.facts.smem + (compiled ? candidate.compiled.static_smem : 0);
  point.blocks_per_sm =
      std::max(1, blocks_per_sm(candidate.facts.threads, std::max(registers, 32), smem, context.gpu.limits));
  return point;
}

Group make_group(const SweepBucket& sweep, int64_t* without_cost) {
  Group group;
  group.sweep = &sweep;
  const SearchContext& context = *sweep.context;
  for (const SweepTime& time : sweep.times) {
    const Candidate& candidate = sweep.space->candidates[static_cast<size_t>(time.candidate)];
    auto cost = evaluate_cost(*context.tmpl, *candidate.stage, *candidate.variant, candidate.config,
                              context.problem, sweep.bucket, context.facts);
    if (!cost || !predict(*cost, context.gpu, 1, candidate.facts.threads).known()) {
      ++*without_cost;
      continue;
    }
    group.uncompiled.push_back(point_of(context, *cost, candidate, time, false));
    group.compiled.push_back(point_of(context, *cost, candidate, time, candidate.feasible()));
  }
  return group;
}

double predicted(const FitPoint& point, const CostCoefficients& coefficients) {
  return predict(point.cost, *point.gpu, point.blocks_per_sm, point.threads, coefficients).total_us;
}

ChoiceFigures figures(const std::vector<FitPoint>& points, const CostCoefficients& coefficients) {
  std::vector<double> times;
  for (const FitPoint& point : points) times.push_back(predicted(point, coefficients));
  std::vector<size_t> order(points.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return times[a] < times[b]; });
  double best = points.front().time_us, ten = points[order.front()].time_us;
  for (const FitPoint& point : points) best = std::min(best, point.time_us);
  for (size_t i = 0; i < std::min(kTen, order.size()); ++i) ten = std::min(ten, points[order[i]].time_us);
  return {best / points[order.front()].time_us, best / ten};
}

ChoiceSummary summarize(const FamilyFit& fit, ChoiceFigures FitBucket::*which,
                        std::span<const FitPoint> points, const CostCoefficients& coefficients) {
  ChoiceSummary summary;
  summary.worst = {1, 1};
  double first = 0, ten = 0;
  for (const FitBucket& bucket : fit.buckets) {
    const ChoiceFigures& now = bucket.*which;
    first += std::log(now.first);
    ten += std::log(now.ten);
    summary.worst.first = std::min(summary.worst.first, now.first);
    summary.worst.ten = std::min(summary.worst.ten, now.ten);
  }
  const double count = static_cast<double>(fit.buckets.size());
  if (count > 0) summary.geomean = {std::exp(first / count), std::exp(ten / count)};
  std::vector<double> errors;
  for (const FitPoint& point : points) {
    errors.push_back(std::abs(std::log(predicted(point, coefficients) / point.time_us)));
  }
  auto middle = errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2);
  std::nth_element(errors.begin(), middle, errors.end());
  summary.typical_error = *middle;
  return summary;
}

FamilyFit fit_family(const std::string& family, const std::vector<Group>& groups) {
  FamilyFit result;
  result.family = family;
  result.before = coefficients_for(groups.front().sweep->context->target);
  std::vector<FitPoint> points;
  for (size_t i = 0; i < groups.size(); ++i) {
    for (FitPoint point : groups[i].compiled) {
      point.group = static_cast<int>(i);
      points.push_back(std::move(point));
    }
  }
  result.after = fit_coefficients(points, result.before);
  for (const Group& group : groups) {
    for (const FitPoint& point : group.compiled) {
      result.points.push_back(
          {group.sweep->space->stage->name, predicted(point, result.after), point.time_us});
    }
    if (group.uncompiled.size() < 2) continue;  // nothing to choose from
    FitBucket bucket;
    bucket.problem = group.sweep->context->problem.canonical();
    bucket.device_name = group.sweep->device_name;
    bucket.stage = group.sweep->space->stage->name;
    bucket.bucket = group.sweep->bucket;
    bucket.configs = static_cast<int>(group.uncompiled.size());
    bucket.before = figures(group.uncompiled, result.before);
    bucket.after = figures(group.uncompiled, result.after);
    result.buckets.push_back(std::move(bucket));
  }
  result.summary_before = summarize(result, &FitBucket::before, points, result.before);
  result.summary_after = summarize(result, &FitBucket::after, points, result.after);
  return result;
}

}  // namespace

Result<std::vector<FamilyFit>> fit(const std::vector<Sweep>& sweeps) {
  std::map<std::string, std::vector<Group>> by_family;
  std::map<std::string, int64_t> without_cost;
  for (const Sweep& sweep : sweeps) {
    for (const SweepBucket& bucket : sweep.buckets) {
      const std::string family = family_of(bucket.context->target);
      Group group = make_group(bucket, &without_cost[family]);
      if (!group.compiled.empty()) by_family[family].push_back(std::move(group));
    }
  }
  std::vector<FamilyFit> fits;
  for (const std::string& family : families()) {
    auto found = by_family.find(family);
    if (found == by_family.end()) continue;
    fits.push_back(fit_family(family, found->second));
    fits.back().without_cost = without_cost[family];
  }
  if (fits.empty()) {
    return make_error(
        ErrorCode::not_found,
        "there is no measurement to fit to; fill a database with: rtjit tune TEMPLATE --strategy "
        "exhaustive --db FILE, on a machine with a GPU");
  }
  return fits;
}

}  // namespace rtjit
