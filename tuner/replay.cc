#include "tuner/replay.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "tuner/inputs.h"
#include "tuner/ranking.h"
#include "tuner/search.h"
#include "tuner/settle.h"

namespace rtjit {
namespace {

constexpr double kMedianSpread = 1.2533;  // of a median's standard error to that of a mean
constexpr double kWidth = 1.96;           // standard errors in half an interval of 95 %
constexpr int kPassSeed = 1009;           // each pass varies in its own way

double standard_normal(Random& random) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += random.uniform();
  return sum;
}

class ReplayBench : public Bench {
 public:
  ReplayBench(const SweepBucket& sweep, double noise) : sweep_(sweep), noise_(noise) {
    times_.resize(sweep.space->candidates.size());
    for (const SweepTime& time : sweep.times) times_[static_cast<size_t>(time.candidate)] = &time;
  }

  Status measure(const Batch& batch, std::vector<Prospect>* prospects) override {
    for (size_t index : batch.prospects) {
      Prospect& prospect = (*prospects)[index];
      compiled_.insert(static_cast<int>(index));
      const SweepTime* time = times_[index];
      if (!time) {  // refused by the compiler, or failed when it ran
        prospect.rejected = true;
        continue;
      }
      if (batch.samples <= prospect.samples) continue;
      ++measurements_;
      samples_ += batch.samples - prospect.samples;
      look(*time, batch.samples, &prospect);
    }
    return {};
  }

  // What one pass of settling says of these candidates.
  std::vector<double> pass(const std::vector<int>& candidates, int number) {
    std::vector<double> times;
    for (int candidate : candidates) {
      ++measurements_;
      samples_ += kSettleSamples;
      times.push_back(
          time_seen(*times_[static_cast<size_t>(candidate)], kSettleSamples, kPassSeed * number).time_us);
    }
    return times;
  }

  const std::set<int>& compiled() const { return compiled_; }
  int measurements() const { return measurements_; }
  int64_t samples() const { return samples_; }
  const SweepTime* time_of(size_t index) const { return times_[index]; }

 private:
  void look(const SweepTime& time, int samples, Prospect* prospect) const {
    const SweepTime seen = time_seen(time, samples, 0);
    prospect->samples = samples;
    prospect->time_us = seen.time_us;
    prospect->low_us = seen.low_us;
    prospect->high_us = seen.high_us;
  }

  SweepTime time_seen(const SweepTime& time, int samples, int seed) const {
    if (samples >= time.samples || noise_ <= 0) return time;
    double half = (time.high_us - time.low_us) / 2;
    double deviation = half * std::sqrt(std::max(time.samples, 1)) / (kWidth * kMedianSpread);
    double error = noise_ * deviation * kMedianSpread / std::sqrt(samples);
    Random random(static_cast<uint64_t>(sweep_.bucket) * 1000003 +
                  static_cast<uint64_t>(time.candidate) * 101 + static_cast<uint64_t>(samples + seed));
    SweepTime seen = time;
    seen.time_us = std::max(time.time_us / 2, time.time_us + error * standard_normal(random));
    seen.low_us = seen.time_us - kWidth * error;
    seen.high_us = seen.time_us + kWidth * error;
    return seen;
  }

  const SweepBucket& sweep_;
  double noise_;
  std::vector<const SweepTime*> times_;
  std::set<int> compiled_;
  int measurements_ = 0;
  int64_t samples_ = 0;
};

std::vector<Prospect> prospects_of(const SweepBucket& sweep) {
  const StageSpace& space = *sweep.space;
  std::vector<Prospect> prospects(space.candidates.size());
  for (size_t i = 0; i < prospects.size(); ++i) {
    prospects[i].predicted_us = sweep.predicted_us[i];
    prospects[i].rejected = true;
    // What the compiler refused costs a strategy a compile; what the static gate refused costs nothing.
    const Candidate& candidate = space.candidates[i];
    if (!candidate.gate.ok() && candidate.source == VerdictSource::stored) prospects[i].rejected = false;
  }
  for (const SweepTime& time : sweep.times) prospects[static_cast<size_t>(time.candidate)].rejected = false;
  for (int index : sweep.failed) prospects[static_cast<size_t>(index)].rejected = false;
  int index = space.default_candidate(sweep.bucket);
  if (index >= 0) prospects[static_cast<size_t>(index)].is_default = true;
  return prospects;
}

}  // namespace

Result<ReplayReport> replay(const Sweep& sweep, const ReplayOptions& options) {
  ReplayReport report;
  report.skipped = sweep.skipped;
  std::set<std::pair<const StageSpace*, int>> compiled;
  double logarithms = 0;
  for (const SweepBucket& entry : sweep.buckets) {
    auto strategy = make_strategy(options.strategy);
    if (!strategy) return strategy.error();
    ReplayBench bench(entry, options.noise);
    std::vector<Prospect> prospects = prospects_of(entry);
    if (Status status = search(**strategy, bench, &prospects); !status) return status.error();

    ReplayBucket bucket;
    bucket.problem = entry.context->problem.canonical();
    bucket.target = entry.context->target.name();
    bucket.device_name = entry.device_name;
    bucket.stage = entry.space->stage->name;
    bucket.bucket = entry.bucket;
    bucket.configs = static_cast<int>(entry.times.size());
    auto best =
        std::min_element(entry.times.begin(), entry.times.end(),
                         [](const SweepTime& a, const SweepTime& b) { return a.time_us < b.time_us; });
    const Candidate& fastest = entry.space->candidates[static_cast<size_t>(best->candidate)];
    bucket.best_us = best->time_us;
    bucket.best_variant = fastest.variant->name;
    bucket.best_config = fastest.config_text;
    for (size_t i = 0; i < prospects.size(); ++i) {
      if (prospects[i].is_default && bench.time_of(i)) bucket.default_us = bench.time_of(i)->time_us;
    }
    std::vector<Ranked> ranked = rank_finalists(prospects, Knowledge::measured);
    int winner = choose_winner(*entry.space, ranked, options.ties);
    Settle settle(*entry.space, ranked, options.ties, options.strategy.passes);
    while (!settle.done()) settle.add(bench.pass(settle.contenders(), settle.passes() + 1));
    if (settle.passes() > 0) {
      ranked = settle.ranked();
      winner = settle.winner();
    }
    bucket.passes = settle.passes();
    if (winner >= 0) {
      auto index = static_cast<size_t>(ranked[static_cast<size_t>(winner)].candidate);
      bucket.chosen_us = bench.time_of(index)->time_us;
      bucket.chosen_variant = entry.space->candidates[index].variant->name;
      bucket.chosen_config = entry.space->candidates[index].config_text;
      bucket.regret = bucket.chosen_us / bucket.best_us;
    }
    bucket.compiles = static_cast<int>(bench.compiled().size());
    bucket.measurements = bench.measurements();
    bucket.samples = bench.samples();
    for (int index : bench.compiled()) compiled.emplace(entry.space.get(), index);
    report.measurements += bucket.measurements;
    report.samples += bucket.samples;
    report.regret_worst = std::max(report.regret_worst, bucket.regret);
    logarithms += std::log(std::max(bucket.regret, 1e-9));
    report.buckets.push_back(std::move(bucket));
  }
  if (report.buckets.empty()) {
    return make_error(
        ErrorCode::not_found,
        "the database holds no measurement of this template, problem and target; fill one with: "
        "rtjit tune TEMPLATE --strategy exhaustive --db FILE, on a machine with a GPU");
  }
  report.compiles = static_cast<int64_t>(compiled.size());
  report.regret_geomean = std::exp(logarithms / static_cast<double>(report.buckets.size()));
  return report;
}

}  // namespace rtjit
