#include "tuner/stage_bench.h"

#include <algorithm>

#include "rtjit.h"

namespace rtjit {
namespace {

// Candidates of a job are loaded at once and sampled in turns; more of them are measured one job after
// another, so that a stop loses little.
constexpr size_t kJobSize = 48;
constexpr size_t kJobSizeInABudget = 8;
constexpr double kEnoughSamples = 0.7;  // of those asked: disturbed ones are dropped
constexpr int kMostRounds = 3;          // times those asked for, where times do not become known well

bool is_measured(const Prospect& prospect) { return prospect.measured() && prospect.time_us > 0; }

// 0: not known.
double faster(double a, double b) { return a > 0 && b > 0 ? std::min(a, b) : std::max(a, b); }

}  // namespace

SamplingPolicy sampling_policy(const StrategyOptions& search, int samples) {
  SamplingPolicy sampling;
  sampling.rounds = samples;
  sampling.max_rounds = samples < search.samples || search.passes > 0 ? samples : kMostRounds * samples;
  return sampling;
}

std::string policy_text(const SamplingPolicy& sampling) {
  return fmt::format("{}; rtjit {}", sampling.text(), rtjit_version());
}

Result<MeasureJob> measure_job(TuningRun& run, size_t stage, int64_t bucket, const Chosen& chosen,
                               std::span<const int> candidates, const SamplingPolicy& sampling) {
  MeasureJob job;
  job.bucket = bucket;
  job.stage = static_cast<int>(stage);
  job.sampling = sampling;
  for (int index : candidates) {
    Chosen with = chosen;
    with[stage] = index;
    auto spec = run.judge.pipeline_spec(with);
    if (!spec) return spec.error();
    spec->expected_us = predict_candidate(run.context, run.candidate(stage, index), bucket).total_us;
    job.candidates.push_back(std::move(*spec));
  }
  const Candidate& any = run.candidate(stage, candidates.front());
  auto cost = evaluate_cost(*run.context.tmpl, *any.stage, *any.variant, any.config, run.context.problem,
                            bucket, run.context.facts);
  if (cost) job.bytes = cost->dram_bytes;
  return job;
}

std::vector<Prospect> stage_prospects(const TuningRun& run, size_t stage, int64_t bucket) {
  const StageSpace& space = run.spaces[stage];
  std::vector<Prospect> prospects(space.candidates.size());
  int default_index = space.default_candidate(bucket);
  int incumbent_index = run.incumbent(stage, bucket);
  for (size_t i = 0; i < prospects.size(); ++i) {
    const Candidate& c = space.candidates[i];
    prospects[i].rejected = !may_win(c);
    prospects[i].is_default = static_cast<int>(i) == default_index && c.wanted;
    prospects[i].is_incumbent = static_cast<int>(i) == incumbent_index && c.wanted;
    if (c.gate.ok()) prospects[i].predicted_us = predict_candidate(run.context, c, bucket).total_us;
  }
  return prospects;
}

Status StageBench::measure(const Batch& batch, std::vector<Prospect>* prospects) {
  const Error stopped{ErrorCode::cancelled, "stopped on request"};
  if (run_.stop.stopped() || (begun_ && StopSignal::Clock::now() >= until_)) return stopped;
  // What the first batch holds is planned together with all others'.
  if (begun_ && run_.request.device) run_.plan_measuring(static_cast<int64_t>(batch.prospects.size()));
  begun_ = true;
  std::vector<Candidate*> wanted;
  for (size_t index : batch.prospects) wanted.push_back(&candidate(index));
  if (Status status = run_.compile(wanted); !status) return status;
  for (size_t index : batch.prospects) (*prospects)[index].rejected = !candidate(index).feasible();
  if (run_.request.device) return measure_on_device(batch, prospects);
  TuningRun::PhaseTimer timer(run_, TunePhase::predict);
  for (size_t index : batch.prospects) {
    Prospect& prospect = (*prospects)[index];
    prospect.time_us = predict_candidate(run_.context, candidate(index), bucket_).total_us;
    prospect.samples = 1;
  }
  return {};
}

bool StageBench::take_stored(size_t index, int samples, double fastest, Prospect* prospect) const {
  // What this run has measured is not measured again, whatever it was told of earlier ones.
  if (run_.request.force && !is_measured(*prospect)) return false;
  const TuningRow* row = run_.ledger.find(run_.spaces[stage_].candidates[index], bucket_);
  if (!row || row->knowledge != Knowledge::measured || row->verdict != Verdict::ok) return false;
  bool given_up = fastest > 0 && row->time_us > SamplingPolicy().eliminate_factor * fastest;
  if (!given_up && row->samples < kEnoughSamples * samples) return false;
  prospect->time_us = row->time_us;
  prospect->low_us = row->time_low_us;
  prospect->high_us = row->time_high_us;
  prospect->samples = row->samples;
  return true;
}

Status StageBench::measure_on_device(const Batch& batch, std::vector<Prospect>* prospects) {
  double fastest = 0;
  for (size_t index : batch.prospects) {
    if (run_.request.force && !is_measured((*prospects)[index])) continue;
    const TuningRow* row = run_.ledger.find(candidate(index), bucket_);
    if (row && row->knowledge == Knowledge::measured && row->verdict == Verdict::ok) {
      fastest = faster(fastest, row->time_us);
    }
  }
  std::vector<size_t> todo;
  double known_fastest = 0;
  for (size_t index : batch.prospects) {
    Prospect& prospect = (*prospects)[index];
    if (prospect.rejected) continue;
    if (take_stored(index, batch.samples, fastest, &prospect)) {
      known_fastest = faster(known_fastest, prospect.time_us);
    } else {
      todo.push_back(index);
    }
  }
  for (const Prospect& prospect : *prospects) {
    if (is_measured(prospect) && prospect.asked >= batch.samples) {
      known_fastest = faster(known_fastest, prospect.time_us);
    }
  }
  run_.count_measured(static_cast<int64_t>(batch.prospects.size() - todo.size()));
  // The default first: should time run out, the others can be compared with it.
  std::stable_partition(todo.begin(), todo.end(), [&](size_t i) { return (*prospects)[i].is_default; });
  const size_t size = run_.stop.limited() ? kJobSizeInABudget : kJobSize;
  for (size_t at = 0; at < todo.size(); at += size) {
    if (at > 0 && StopSignal::Clock::now() >= until_) break;
    std::span<const size_t> part(todo.data() + at, std::min(size, todo.size() - at));
    if (Status status = run_job(part, batch.samples, &known_fastest, prospects); !status) return status;
    if (Status status = run_.compiles.want({}); !status) return status;
  }
  return {};
}

Status StageBench::run_job(std::span<const size_t> indices, int samples, double* fastest,
                           std::vector<Prospect>* prospects) {
  auto worker = [&] {
    TuningRun::PhaseTimer timer(run_, TunePhase::setup);
    return run_.judge.measurer();
  }();
  if (!worker) return worker.error();
  const std::vector<int> candidates(indices.begin(), indices.end());
  auto made =
      measure_job(run_, stage_, bucket_, chosen_, candidates, sampling_policy(run_.request.search, samples));
  if (!made) return made.error();
  MeasureJob& job = *made;
  job.fastest_us = *fastest;
  // Stored at once: whatever the next candidate breaks, what is finished is not done again.
  job.finished = [&](size_t i, const Measurement& result) {
    take_result(indices[i], result, job.sampling, &(*prospects)[indices[i]]);
    if (result.verdict == Verdict::ok) *fastest = faster(*fastest, result.time_us);
    run_.count_measured(1);
  };
  TuningRun::PhaseTimer timer(run_, TunePhase::measure);
  auto measured = (*worker)->measure(job);
  return measured ? Status() : measured.error();
}

void StageBench::take_result(size_t index, const Measurement& result, const SamplingPolicy& sampling,
                             Prospect* prospect) {
  Candidate& c = candidate(index);
  if (result.verdict != Verdict::ok) {
    prospect->rejected = true;
    run_.reject(&c, bucket_, result.verdict, result.reason, result.reached);
    return;
  }
  prospect->time_us = result.time_us;
  prospect->low_us = result.low_us;
  prospect->high_us = result.high_us;
  prospect->samples = result.samples;
  TuningRow row = run_.ledger.row(c, bucket_);
  row.knowledge = Knowledge::measured;
  row.time_us = result.time_us;
  row.time_low_us = result.low_us;
  row.time_high_us = result.high_us;
  row.samples = result.samples;
  row.is_default = prospect->is_default;
  row.policy = policy_text(sampling);
  if (!result.conditions.empty()) row.policy += "; " + result.conditions;
  run_.ledger.put_now(std::move(row));
}

}  // namespace rtjit
