#include "tuner/settle.h"

#include <algorithm>
#include <cmath>

namespace rtjit {
namespace {

constexpr size_t kMostContenders = 4;
constexpr size_t kFewestPasses = 3;  // two may agree by chance

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::vector<double> logarithms(std::vector<double> values) {
  for (double& value : values) value = std::log(value);
  return values;
}

}  // namespace

Settle::Settle(const StageSpace& space, const std::vector<Ranked>& finalists, const TieRule& rule,
               int most_passes)
    : space_(space), rule_(rule), most_passes_(most_passes) {
  std::vector<Ranked> known;
  for (const Ranked& entry : finalists) {
    if (entry.time_us > 0) known.push_back(entry);
  }
  std::stable_sort(known.begin(), known.end(),
                   [](const Ranked& a, const Ranked& b) { return a.time_us < b.time_us; });
  for (size_t i = 0; i < known.size(); ++i) {
    const bool reference = known[i].is_default || known[i].is_incumbent;
    const bool near =
        known[i].time_us <= (1 + (reference ? kSettleNearReference : kSettleNear)) * known.front().time_us;
    if (near && (i < kMostContenders || reference)) {
      contenders_.push_back(known[i]);
    } else if (reference) {
      others_.push_back(known[i]);
    }
  }
}

std::vector<int> Settle::contenders() const {
  std::vector<int> candidates;
  for (const Ranked& entry : contenders_) candidates.push_back(entry.candidate);
  return candidates;
}

bool Settle::done() const {
  if (contenders_.size() < 2 || passes_.size() >= static_cast<size_t>(std::max(0, most_passes_))) return true;
  if (passes_.size() < kFewestPasses) return false;
  const int winner = choose(0, passes_.size());
  size_t agree = 0;
  for (size_t pass = 0; pass < passes_.size(); ++pass) agree += choose(pass, 1) == winner;
  return agree == passes_.size() || agree > static_cast<size_t>(most_passes_) / 2;
}

void Settle::add(const std::vector<double>& times_us) { passes_.push_back(times_us); }

void Settle::reject(int candidate) {
  for (size_t i = contenders_.size(); i-- > 0;) {
    if (contenders_[i].candidate != candidate) continue;
    contenders_.erase(contenders_.begin() + static_cast<std::ptrdiff_t>(i));
    for (std::vector<double>& pass : passes_) pass.erase(pass.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

std::vector<double> Settle::times_of(int candidate) const {
  std::vector<double> times;
  for (size_t i = 0; i < contenders_.size(); ++i) {
    if (contenders_[i].candidate != candidate) continue;
    for (const std::vector<double>& pass : passes_) times.push_back(pass[i]);
  }
  return times;
}

// The contenders as these passes see them. In each, a contender's time is taken relative to the geometric
// mean of all; what they have in common is the search's.
std::vector<Ranked> Settle::settled_by(size_t first, size_t count) const {
  std::vector<Ranked> settled = contenders_;
  if (count == 0 || settled.empty()) return settled;
  std::vector<double> searched;
  for (const Ranked& entry : contenders_) searched.push_back(entry.time_us);
  const double level = mean_of(logarithms(searched));
  std::vector<std::vector<double>> relative(settled.size());
  for (size_t pass = first; pass < first + count; ++pass) {
    const std::vector<double> times = logarithms(passes_[pass]);
    const double mean = mean_of(times);
    for (size_t i = 0; i < settled.size(); ++i) relative[i].push_back(times[i] - mean);
  }
  for (size_t i = 0; i < settled.size(); ++i) {
    const auto [low, high] = std::minmax_element(relative[i].begin(), relative[i].end());
    settled[i].time_us = std::exp(level + median_of(relative[i]));
    settled[i].low_us = std::exp(level + *low);
    settled[i].high_us = std::exp(level + *high);
    settled[i].samples += static_cast<int>(count) * kSettleSamples;
    settled[i].settled = true;
  }
  return settled;
}

int Settle::choose(size_t first, size_t count) const {
  const std::vector<Ranked> settled = settled_by(first, count);
  const int winner = choose_winner(space_, settled, rule_);
  return winner < 0 ? -1 : settled[static_cast<size_t>(winner)].candidate;
}

std::vector<Ranked> Settle::ranked() const {
  std::vector<Ranked> all = settled_by(0, passes_.size());
  all.insert(all.end(), others_.begin(), others_.end());
  return all;
}

int Settle::winner() const {
  const int candidate = choose(0, passes_.size());
  for (size_t i = 0; i < contenders_.size(); ++i) {
    if (contenders_[i].candidate == candidate) return static_cast<int>(i);  // ranked() begins with them
  }
  return -1;
}

}  // namespace rtjit
