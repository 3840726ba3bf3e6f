#include "tuner/samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace rtjit {
namespace {

template <typename T>
T middle(std::vector<T> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

int usual_clock(std::span<const Sample> samples) {
  std::vector<int> clocks;
  for (const Sample& sample : samples) {
    if (sample.sm_clock_mhz > 0) clocks.push_back(sample.sm_clock_mhz);
  }
  return clocks.empty() ? 0 : middle(std::move(clocks));
}

// How far a sample is from the usual conditions; 0: within them.
double disturbance(const Sample& sample, int usual, const SamplingPolicy& policy) {
  if (sample.slowed) return 2;
  if (sample.sm_clock_mhz <= 0 || usual <= 0) return 0;
  const double below = 1 - static_cast<double>(sample.sm_clock_mhz) / usual;
  return below > policy.clock_tolerance ? below : 0;
}

}  // namespace

std::string SamplingPolicy::text() const {
  const std::string count =
      max_rounds > rounds ? fmt::format("{} to {}", rounds, max_rounds) : fmt::format("{}", rounds);
  const std::string until =
      max_rounds > rounds ? fmt::format(", until known to {:.1f} %", 100 * precision) : "";
  return fmt::format("median of {} rounds, interleaved in random order{}; graph replay of one stage, cold L2",
                     count, until);
}

Summary summarize(std::span<const Sample> samples, const SamplingPolicy& policy) {
  Summary result;
  result.sm_clock_mhz = usual_clock(samples);
  std::vector<Sample> kept(samples.begin(), samples.end());
  std::stable_sort(kept.begin(), kept.end(), [&](const Sample& a, const Sample& b) {
    return disturbance(a, result.sm_clock_mhz, policy) < disturbance(b, result.sm_clock_mhz, policy);
  });
  const size_t floor = static_cast<size_t>(std::max(1, policy.floor));
  while (kept.size() > floor && disturbance(kept.back(), result.sm_clock_mhz, policy) > 0) kept.pop_back();

  std::vector<double> times;
  for (const Sample& sample : kept) times.push_back(sample.us);
  std::sort(times.begin(), times.end());
  // Order statistics that bracket the median with about 95 %; shortest and longest where there are few.
  const size_t count = times.size(), half = count / 2;
  const size_t reach = static_cast<size_t>(0.98 * std::sqrt(static_cast<double>(count)));
  result.median_us = middle(times);
  result.low_us = times[half > reach ? half - reach : 0];
  result.high_us = times[std::min(count - 1, half + reach)];
  result.samples = static_cast<int>(count);
  result.dropped = static_cast<int>(samples.size() - count);
  return result;
}

SampleBook::SampleBook(size_t candidates, const SamplingPolicy& policy, double fastest_us)
    : policy_(policy),
      fastest_us_(fastest_us),
      open_(candidates, true),
      rejected_(candidates),
      samples_(candidates) {}

bool SampleBook::done() const {
  return std::none_of(open_.begin(), open_.end(), [](bool open) { return open; });
}

std::vector<size_t> SampleBook::close_round() {
  ++round_;
  std::vector<Summary> summaries(samples_.size());
  double fastest = fastest_us_ > 0 ? fastest_us_ : std::numeric_limits<double>::infinity();
  double fastest_high = fastest;
  for (size_t i = 0; i < samples_.size(); ++i) {
    if (samples_[i].empty()) continue;
    summaries[i] = summary(i);
    if (!rejected_[i] && summaries[i].median_us < fastest) {
      fastest = summaries[i].median_us;
      fastest_high = summaries[i].high_us;
    }
  }
  std::vector<size_t> closed;
  for (size_t i = 0; i < samples_.size(); ++i) {
    if (!open_[i] || samples_[i].empty()) continue;
    const Summary& s = summaries[i];
    const bool slow = round_ >= policy_.eliminate_after && s.median_us > policy_.eliminate_factor * fastest;
    const bool known = (s.high_us - s.low_us) / 2 <= policy_.precision * s.median_us;
    const bool beaten = s.low_us > fastest_high;
    const bool enough = round_ >= policy_.rounds && (known || beaten || round_ >= policy_.max_rounds);
    if (slow || enough) closed.push_back(i);
  }
  for (size_t i : closed) open_[i] = false;
  return closed;
}

}  // namespace rtjit
