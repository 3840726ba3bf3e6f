// How many samples a time rests on, which of them count, and what they say. Knows nothing of devices.
//
// Candidates are sampled in rounds. After `rounds` of them only candidates that may still be the fastest go
// on, until their median is known to `precision` or `max_rounds` are over. A sample during which the SM clock
// was lower than it usually was, or the device slowed itself down, is dropped, but never so many that fewer
// than `floor` remain.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace rtjit {

struct SamplingPolicy {
  int rounds = 9;
  int max_rounds = 27;
  int floor = 3;                   // undisturbed samples or not, so many remain
  double precision = 0.005;        // half of the interval, relative to the median
  double clock_tolerance = 0.03;   // below the usual SM clock
  int eliminate_after = 3;         // rounds, before a slow candidate is no longer looked at
  double eliminate_factor = 1.35;  // of the fastest median
  std::string text() const;        // for people, stored with each time
};

struct Sample {
  double us = 0;
  int sm_clock_mhz = 0;  // 0: not known
  bool slowed = false;   // the device says that it slowed down: heat, power brake
};

struct Summary {
  double median_us = 0, low_us = 0, high_us = 0;  // the interval holds the median with about 95 %
  int samples = 0, dropped = 0;
  int sm_clock_mhz = 0;  // usual clock during the samples; 0: not known
};

// Of at least one sample.
Summary summarize(std::span<const Sample> samples, const SamplingPolicy& policy);

// The samples of one group of candidates, and who needs more.
class SampleBook {
 public:
  // `fastest_us`: the best median known from before, for the comparison; 0: none.
  SampleBook(size_t candidates, const SamplingPolicy& policy, double fastest_us = 0);

  bool needs_more(size_t candidate) const { return open_[candidate]; }
  void add(size_t candidate, const Sample& sample) { samples_[candidate].push_back(sample); }
  void reject(size_t candidate) { open_[candidate] = false, rejected_[candidate] = true; }
  // Ends a round: the candidates that need no more from now on.
  std::vector<size_t> close_round();
  bool done() const;

  bool has_samples(size_t candidate) const { return !samples_[candidate].empty(); }
  Summary summary(size_t candidate) const { return summarize(samples_[candidate], policy_); }

 private:
  SamplingPolicy policy_;
  double fastest_us_;
  int round_ = 0;
  std::vector<bool> open_, rejected_;
  std::vector<std::vector<Sample>> samples_;
};

}  // namespace rtjit
