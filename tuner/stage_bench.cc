#include "tuner/stage_bench.h"

#include <algorithm>

namespace rtjit {
namespace {

// Candidates of a job are loaded at once and sampled in turns; more of them are measured one job after
// another, so that a stop loses little.
constexpr size_t kJobSize = 48;
constexpr size_t kJobSizeInABudget = 8;
// A candidate this much slower than the fastest is not sampled to the end by the worker.
constexpr double kGivenUp = 1.35;
constexpr double kEnoughSamples = 0.7;  // of those asked: disturbed ones are dropped

}  // namespace

std::vector<Prospect> stage_prospects(const TuningRun& run, size_t stage, int64_t bucket) {
  const StageSpace& space = run.spaces[stage];
  std::vector<Prospect> prospects(space.candidates.size());
  int default_index = space.default_candidate(bucket);
  for (size_t i = 0; i < prospects.size(); ++i) {
    const Candidate& c = space.candidates[i];
    prospects[i].rejected = !may_win(c);
    prospects[i].is_default = static_cast<int>(i) == default_index && c.wanted;
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
  if (run_.request.force) return false;
  const TuningRow* row = run_.ledger.find(run_.spaces[stage_].candidates[index], bucket_);
  if (!row || row->knowledge != Knowledge::measured || row->verdict != Verdict::ok) return false;
  bool given_up = fastest > 0 && row->time_us > kGivenUp * fastest;
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
    const TuningRow* row = run_.ledger.find(candidate(index), bucket_);
    if (row && row->knowledge == Knowledge::measured && row->verdict == Verdict::ok) {
      fastest = fastest == 0 ? row->time_us : std::min(fastest, row->time_us);
    }
  }
  std::vector<size_t> todo;
  for (size_t index : batch.prospects) {
    Prospect& prospect = (*prospects)[index];
    if (prospect.rejected || take_stored(index, batch.samples, fastest, &prospect)) continue;
    todo.push_back(index);
  }
  run_.count_measured(static_cast<int64_t>(batch.prospects.size() - todo.size()));
  // The default first: should time run out, the others can be compared with it.
  std::stable_partition(todo.begin(), todo.end(), [&](size_t i) { return (*prospects)[i].is_default; });
  const size_t size = run_.stop.limited() ? kJobSizeInABudget : kJobSize;
  for (size_t at = 0; at < todo.size(); at += size) {
    if (at > 0 && StopSignal::Clock::now() >= until_) break;
    std::span<const size_t> part(todo.data() + at, std::min(size, todo.size() - at));
    if (Status status = run_job(part, batch.samples, prospects); !status) return status;
    run_.count_measured(static_cast<int64_t>(part.size()));
    if (Status status = run_.compiles.want({}); !status) return status;
  }
  return {};
}

Status StageBench::run_job(std::span<const size_t> indices, int samples, std::vector<Prospect>* prospects) {
  auto worker = run_.judge.measurer();
  if (!worker) return worker.error();
  MeasureJob job;
  job.bucket = bucket_;
  job.stage = static_cast<int>(stage_);
  job.rounds = samples;
  for (size_t index : indices) {
    Chosen with = chosen_;
    with[stage_] = static_cast<int>(index);
    auto spec = run_.judge.pipeline_spec(with);
    if (!spec) return spec.error();
    spec->expected_us = (*prospects)[index].predicted_us;
    job.candidates.push_back(std::move(*spec));
  }
  const Candidate& any = candidate(indices.front());
  auto cost = evaluate_cost(*run_.context.tmpl, *any.stage, *any.variant, any.config, run_.context.problem,
                            bucket_, run_.context.facts);
  if (cost) job.bytes = cost->dram_bytes;
  Result<std::vector<Measurement>> measured = std::vector<Measurement>();
  {
    TuningRun::PhaseTimer timer(run_, TunePhase::measure);
    measured = (*worker)->measure(job);
  }
  if (!measured) return measured.error();
  for (size_t i = 0; i < indices.size(); ++i) {
    const Measurement& result = (*measured)[i];
    Candidate& c = candidate(indices[i]);
    Prospect& prospect = (*prospects)[indices[i]];
    if (result.verdict != Verdict::ok) {
      prospect.rejected = true;
      run_.reject(&c, bucket_, result.verdict, result.reason);
      continue;
    }
    prospect.time_us = result.time_us;
    prospect.low_us = result.low_us;
    prospect.high_us = result.high_us;
    prospect.samples = result.samples;
    TuningRow row = run_.ledger.row(c, bucket_);
    row.knowledge = Knowledge::measured;
    row.time_us = result.time_us;
    row.time_low_us = result.low_us;
    row.time_high_us = result.high_us;
    row.samples = result.samples;
    row.is_default = prospect.is_default;
    run_.ledger.put_soon(std::move(row));
  }
  run_.ledger.flush();
  return {};
}

}  // namespace rtjit
