// fit_coefficients(): what is minimised, and the search for it.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "tuner/fit.h"

namespace rtjit {
namespace {

constexpr double kRobust = 0.15;    // errors of log time beyond this count linearly
constexpr double kPull = 1e-5;      // towards the coefficients before the fit, per squared log distance
constexpr double kFirstStep = 0.3;  // in log space
constexpr double kLastStep = 5e-4;
constexpr int kMaxSweeps = 400;

using Place = std::vector<double>;  // logarithms of the coefficients, in the order of coefficient_fields()

Place place_of(const CostCoefficients& coefficients) {
  Place place;
  for (const CoefficientField& field : coefficient_fields()) {
    place.push_back(std::log(std::clamp(coefficients.*field.member, field.low, field.high)));
  }
  return place;
}

// Steps beyond a range end at its border.
CostCoefficients at(const Place& place) {
  CostCoefficients coefficients;
  size_t i = 0;
  for (const CoefficientField& field : coefficient_fields()) {
    coefficients.*field.member = std::clamp(std::exp(place[i++]), field.low, field.high);
  }
  return coefficients;
}

double robust(double error) {
  double size = std::abs(error);
  return size <= kRobust ? size * size / 2 : kRobust * (size - kRobust / 2);
}

class Objective {
 public:
  Objective(std::span<const FitPoint> points, Place start) : points_(points), start_(std::move(start)) {
    std::map<int, double> best, sum;
    for (const FitPoint& point : points) {
      auto [entry, added] = best.try_emplace(point.group, point.time_us);
      if (!added) entry->second = std::min(entry->second, point.time_us);
    }
    for (const FitPoint& point : points) {
      double share = best[point.group] / point.time_us;
      weights_.push_back(share * share);
      sum[point.group] += weights_.back();
    }
    for (size_t i = 0; i < points.size(); ++i) {
      weights_[i] /= sum[points[i].group] * static_cast<double>(best.size());
    }
  }

  double operator()(const Place& place) const {
    const CostCoefficients coefficients = at(place);
    double total = 0;
    for (size_t i = 0; i < points_.size(); ++i) {
      const FitPoint& point = points_[i];
      double predicted =
          predict(point.cost, *point.gpu, point.blocks_per_sm, point.threads, coefficients).total_us;
      total += weights_[i] * robust(std::log(predicted / point.time_us));
    }
    for (size_t i = 0; i < place.size(); ++i) total += kPull * std::pow(place[i] - start_[i], 2);
    return total;
  }

 private:
  std::span<const FitPoint> points_;
  Place start_;
  std::vector<double> weights_;
};

// One step along each coefficient, kept where it helps.
double explore(const Objective& objective, double step, double value, Place* place) {
  for (double& coordinate : *place) {
    const double old = coordinate;
    for (double direction : {step, -step}) {
      coordinate = old + direction;
      double there = objective(*place);
      if (there < value) {
        value = there;
        break;
      }
      coordinate = old;
    }
  }
  return value;
}

}  // namespace

CostCoefficients fit_coefficients(std::span<const FitPoint> points, const CostCoefficients& before) {
  if (points.empty()) return before;
  Place place = place_of(before);
  const Objective objective(points, place);
  double value = objective(place), step = kFirstStep;
  for (int sweep = 0; sweep < kMaxSweeps && step > kLastStep; ++sweep) {
    Place next = place;
    double there = explore(objective, step, value, &next);
    if (there >= value) {
      step /= 2;
      continue;
    }
    // Going on in the direction that helped gets along narrow valleys, where two coefficients do the same.
    Place further = next;
    for (size_t i = 0; i < further.size(); ++i) further[i] += next[i] - place[i];
    double beyond = explore(objective, step, objective(further), &further);
    place = beyond < there ? further : next;
    value = std::min(beyond, there);
  }
  return at(place);
}

}  // namespace rtjit
