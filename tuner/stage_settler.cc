#include "tuner/stage_settler.h"

#include <algorithm>

#include "tuner/bucket_report.h"
#include "tuner/settle_record.h"
#include "tuner/stage_bench.h"

namespace rtjit {

StageSettler::StageSettler(TuningRun& run, size_t stage, int64_t bucket, const std::vector<Ranked>& finalists,
                           int winner, Judgement judgement, int looked_at)
    : run_(run),
      stage_(stage),
      bucket_(bucket),
      settle_(run.spaces[stage], finalists, run.request.limits.ties, run.request.search.passes),
      verified_(winner),
      judgement_(std::move(judgement)),
      looked_at_(looked_at) {
  take_stored_passes();
}

// Only whole passes: of contenders that have not been through the same ones, those that all have.
void StageSettler::take_stored_passes() {
  std::vector<std::vector<double>> times;
  size_t passes = SIZE_MAX;
  for (int index : settle_.contenders()) {
    const TuningRow* row = run_.ledger.find(candidate(index), bucket_);
    times.push_back(row ? settle_record(row->policy).times_us : std::vector<double>());
    passes = std::min(passes, times.back().size());
  }
  for (size_t pass = 0; !times.empty() && pass < passes && !settle_.done(); ++pass) {
    std::vector<double> of_pass;
    for (const std::vector<double>& of_contender : times) of_pass.push_back(of_contender[pass]);
    settle_.add(of_pass);
  }
}

// In one transaction: half a pass says nothing.
void StageSettler::store_passes() {
  run_.ledger.flush();
  for (int index : settle_.contenders()) {
    const TuningRow* row = run_.ledger.find(candidate(index), bucket_);
    if (!row) continue;
    TuningRow next = *row;
    next.policy = with_settle_record(next.policy, {true, settle_.times_of(index)});
    run_.ledger.put_soon(std::move(next));
  }
  run_.ledger.flush();
}

Status StageSettler::pass(const Chosen& chosen) {
  if (run_.stop.stopped()) return Error{ErrorCode::cancelled, "stopped on request"};
  const std::vector<int> contenders = settle_.contenders();
  SamplingPolicy sampling;
  sampling.rounds = sampling.max_rounds = kSettleSamples;
  auto job = measure_job(run_, stage_, bucket_, chosen, contenders, sampling);
  if (!job) return job.error();
  job->settles = true;
  job->turn = static_cast<uint64_t>(settle_.passes()) + 1;
  auto worker = run_.judge.measurer();
  if (!worker) return worker.error();
  auto measured = (*worker)->measure(*job);
  if (!measured) return measured.error();
  std::vector<double> times;
  for (size_t i = 0; i < contenders.size(); ++i) {
    const Measurement& result = (*measured)[i];
    if (result.verdict == Verdict::ok) {
      times.push_back(recorded_us(result.time_us));
      continue;
    }
    run_.reject(&candidate(contenders[i]), bucket_, result.verdict, result.reason, result.reached);
    settle_.reject(contenders[i]);
  }
  if (times.empty()) return {};
  settle_.add(times);
  store_passes();
  return {};
}

// Whether the winner is right; if not, it is rejected for good.
Result<bool> StageSettler::judge_winner(const Chosen& chosen) {
  const int winner = settle_.ranked()[static_cast<size_t>(settle_.winner())].candidate;
  if (winner == verified_) return true;
  if (run_.stop.stopped()) return Error{ErrorCode::cancelled, "stopped on request"};
  Chosen with = chosen;
  with[stage_] = winner;
  TuningRun::PhaseTimer timer(run_, TunePhase::verify);
  auto judged = run_.judge.judge(with, bucket_);
  if (!judged) return judged.error();
  if (!judged->rejected) {
    verified_ = winner;
    judgement_ = std::move(*judged);
    return true;
  }
  run_.reject(&candidate(winner), bucket_, judged->outcome.verdict, judged->outcome.reason,
              judged->outcome.reached);
  settle_.reject(winner);
  return false;
}

// The rows of all contenders with what the passes say of their times.
std::vector<TuningRow> StageSettler::settled_rows() {
  std::vector<TuningRow> rows;
  for (const Ranked& entry : settle_.ranked()) {
    const TuningRow* row = entry.settled ? run_.ledger.find(candidate(entry.candidate), bucket_) : nullptr;
    if (!row) continue;
    TuningRow next = *row;
    next.time_us = entry.time_us;
    next.time_low_us = entry.low_us;
    next.time_high_us = entry.high_us;
    next.samples = entry.samples;
    next.policy = with_settle_record(next.policy, {false, settle_.times_of(entry.candidate)});
    rows.push_back(std::move(next));
  }
  return rows;
}

Status StageSettler::publish(Chosen* chosen, BucketReport* report) {
  while (settle_.winner() >= 0) {
    auto stands = judge_winner(*chosen);
    if (!stands) return stands.error();
    if (*stands) break;
  }
  const std::vector<Ranked> ranked = settle_.ranked();
  const int winner = settle_.winner();
  if (winner < 0) {
    *report = make_bucket_report(run_, stage_, bucket_);
    report->why = "what the search found failed when it was measured again; the next call looks for another";
    run_.warn(fmt::format("stage {}, bucket {}: {}", run_.spaces[stage_].stage->name, bucket_, report->why));
    return {};
  }
  const Ranked& entry = ranked[static_cast<size_t>(winner)];
  Candidate& c = candidate(entry.candidate);
  const std::string why =
      explain_choice(ranked, winner, run_.request.limits.ties, run_.failed_here(stage_, bucket_),
                     looked_at_) +
      fmt::format("; settled in {} pass{}", settle_.passes(), settle_.passes() == 1 ? "" : "es");
  std::vector<TuningRow> rows = settled_rows();
  if (run_.publishes()) {
    Status status = run_.publisher.put_winner(&c, bucket_, entry, judgement_, why, std::move(rows));
    if (!status) return status;
  } else {
    for (TuningRow& row : rows) run_.ledger.put_soon(std::move(row));
    run_.ledger.flush();
  }
  report_winner(c, entry, judgement_, why, report);
  report->being_settled = false;
  for (const Ranked& other : ranked) {
    if (other.is_default) report->default_time_us = other.time_us;
    if (!other.settled) continue;
    const Candidate& contender = candidate(other.candidate);
    report->contenders.push_back(
        {contender.variant->name, contender.config_text, other.time_us, settle_.times_of(other.candidate)});
  }
  std::stable_sort(
      report->contenders.begin(), report->contenders.end(),
      [](const SettledContender& a, const SettledContender& b) { return a.time_us < b.time_us; });
  (*chosen)[stage_] = entry.candidate;
  run_.observer.on_best(c.stage->name, bucket_, report->variant, report->config, report->time_us,
                        report->knowledge);
  return {};
}

}  // namespace rtjit
