#include "tuner/stage_tuner.h"

#include <algorithm>

#include "tuner/bucket_report.h"
#include "tuner/ranking.h"
#include "tuner/settle_record.h"

namespace rtjit {
namespace {

class StageTuner {
 public:
  StageTuner(TuningRun& run, StageWork work, StopSignal::Clock::time_point until, Chosen* chosen)
      : run_(run),
        work_(std::move(work)),
        chosen_(chosen),
        bench_(run, work_.stage, work_.bucket, *chosen, until) {}

  Result<BucketReport> tune();
  std::unique_ptr<StageSettler> unsettled() { return std::move(unsettled_); }

 private:
  void refresh();
  Result<bool> look(Batch batch);
  Result<Batch> more();
  Result<bool> judge_best();
  Status publish(BucketReport* report);

  TuningRun& run_;
  StageWork work_;
  Chosen* chosen_;
  StageBench bench_;
  std::vector<Ranked> ranked_;  // those that may win, in the last round of judging
  int winner_ = -1;             // index into ranked_
  Judgement judgement_;
  std::unique_ptr<StageSettler> unsettled_;
};

// False where the budget cut it short, which is no failure: the best so far is taken.
Result<bool> StageTuner::look(Batch batch) {
  Status status = search(*work_.strategy, std::move(batch), bench_, &work_.prospects);
  if (status.ok()) return true;
  if (status.error().code != ErrorCode::cancelled || run_.stop.stopped()) return status.error();
  return false;
}

// What was rejected is replaced by the next ones. Asked anew, so that a run that was stopped in between and
// goes on looks at the same configs as one that was not; what is measured is not measured again.
Result<Batch> StageTuner::more() {
  auto strategy = make_strategy(run_.request.search);
  if (!strategy) return strategy.error();
  work_.strategy = std::move(*strategy);
  return work_.strategy->next(work_.prospects);
}

// Whether the best of those that were measured stands; if not, it is rejected for good. False also where none
// was measured.
Result<bool> StageTuner::judge_best() {
  const StageSpace& space = run_.spaces[work_.stage];
  const Knowledge knowledge = run_.request.device ? Knowledge::measured : Knowledge::predicted;
  ranked_ = rank_finalists(work_.prospects, knowledge);
  winner_ = choose_winner(space, ranked_, run_.request.limits.ties);
  if (winner_ < 0) return false;
  if (run_.stop.stopped()) return Error{ErrorCode::cancelled, "stopped on request"};
  int index = ranked_[static_cast<size_t>(winner_)].candidate;
  Chosen with = *chosen_;
  with[work_.stage] = index;
  // The emulator cannot be interrupted: what would probably end too late is not begun.
  if (!run_.request.device && run_.stop.limited() && run_.stop.left() < run_.longest_check) {
    return Error{ErrorCode::cancelled, "the budget does not suffice for another verification"};
  }
  TuningRun::PhaseTimer timer(run_, TunePhase::verify);
  const auto begun = StopSignal::Clock::now();
  auto judged = run_.judge.judge(with, work_.bucket);
  run_.longest_check =
      std::max(run_.longest_check,
               std::chrono::duration_cast<std::chrono::milliseconds>(StopSignal::Clock::now() - begun));
  if (!judged) return judged.error();
  judgement_ = std::move(*judged);
  if (!judgement_.rejected) return true;
  run_.reject(&run_.candidate(work_.stage, index), work_.bucket, judgement_.outcome.verdict,
              judgement_.outcome.reason, judgement_.outcome.reached);
  work_.prospects[static_cast<size_t>(index)].rejected = true;
  return false;
}

Status StageTuner::publish(BucketReport* report) {
  const Ranked& entry = ranked_[static_cast<size_t>(winner_)];
  Candidate& c = run_.candidate(work_.stage, entry.candidate);
  int looked_at = 0;
  for (const Prospect& prospect : work_.prospects) looked_at += prospect.measured() && prospect.time_us > 0;
  std::string why = explain_choice(ranked_, winner_, run_.request.limits.ties,
                                   run_.failed_here(work_.stage, work_.bucket), looked_at);
  if (StageSettler::wanted(run_)) {
    unsettled_ = std::make_unique<StageSettler>(run_, work_.stage, work_.bucket, ranked_, entry.candidate,
                                                judgement_, looked_at);
    if (unsettled_->has_nothing_to_do()) unsettled_.reset();
  }
  if (run_.publishes()) {
    std::vector<TuningRow> rows;
    const TuningRow* known = run_.ledger.find(c, work_.bucket);
    if (StageSettler::wanted(run_) && known) {
      // Together with the winner, so that a run that ends before it is settled leaves it to the next one.
      SettleRecord record = settle_record(known->policy);
      record.open = unsettled_ != nullptr;
      rows.push_back(*known);
      rows.back().policy = with_settle_record(known->policy, record);
    }
    Status status = run_.publisher.put_winner(&c, work_.bucket, entry, judgement_, why, std::move(rows));
    if (!status) return status;
  }
  report_winner(c, entry, judgement_, why, report);
  report->being_settled = unsettled_ != nullptr;
  if (!judgement_.verified && !judgement_.outcome.reason.empty()) {
    run_.warn(fmt::format("{} {} is compiled, not verified: {}", c.stage->name, describe(c),
                          judgement_.outcome.reason));
  }
  (*chosen_)[work_.stage] = entry.candidate;
  run_.observer.on_best(c.stage->name, work_.bucket, report->variant, report->config, report->time_us,
                        report->knowledge);
  return {};
}

// Since the work was planned, candidates may have failed in other buckets; the default may be another one.
void StageTuner::refresh() {
  const StageSpace& space = run_.spaces[work_.stage];
  const int index = space.default_candidate(work_.bucket);
  for (size_t i = 0; i < work_.prospects.size(); ++i) {
    work_.prospects[i].rejected = !may_win(space.candidates[i]);
    work_.prospects[i].is_default = static_cast<int>(i) == index && space.candidates[i].wanted;
  }
  std::vector<size_t>& first = work_.first.prospects;
  std::erase_if(first, [&](size_t i) { return work_.prospects[i].rejected; });
  if (first.empty() || index < 0 || work_.prospects[static_cast<size_t>(index)].rejected) return;
  if (std::find(first.begin(), first.end(), static_cast<size_t>(index)) == first.end()) {
    first.push_back(static_cast<size_t>(index));
  }
}

Result<BucketReport> StageTuner::tune() {
  refresh();
  Batch batch = std::move(work_.first);
  bool found = false, cut_short = false;
  while (!found && !batch.empty()) {
    auto whole = look(std::move(batch));
    if (!whole) return whole.error();
    auto stands = judge_best();
    if (!stands) return stands.error();
    found = *stands;
    if (found) break;
    // All that was measured is rejected, and nothing more will be measured: asking again would not end.
    cut_short = !*whole && winner_ < 0;
    if (cut_short) break;
    auto next = more();
    if (!next) return next.error();
    batch = std::move(*next);
  }
  BucketReport report = make_bucket_report(run_, work_.stage, work_.bucket);
  for (const Prospect& prospect : work_.prospects) {
    report.measured += run_.request.device && prospect.samples > 0 && prospect.time_us > 0;
    if (prospect.is_default && prospect.measured()) report.default_time_us = prospect.time_us;
  }
  if (found) {
    if (Status status = publish(&report); !status) return status.error();
    return report;
  }
  if (cut_short) {
    report.out_of_time = run_.report.out_of_time = true;
    report.why = "its share of the budget was used up before a config was found that works";
    return report;
  }
  run_.warn(
      fmt::format("stage {}, bucket {}: none of its {} configs is usable; the library falls back to what its "
                  "defaults allow",
                  run_.spaces[work_.stage].stage->name, work_.bucket, report.candidates));
  return report;
}

}  // namespace

Result<StageWork> plan_stage(const TuningRun& run, size_t stage, int64_t bucket) {
  auto strategy = make_strategy(run.request.search);
  if (!strategy) return strategy.error();
  StageWork work;
  work.stage = stage;
  work.bucket = bucket;
  work.strategy = std::move(*strategy);
  work.prospects = stage_prospects(run, stage, bucket);
  work.first = work.strategy->next(work.prospects);
  return work;
}

Result<BucketReport> tune_stage(TuningRun& run, StageWork work, StopSignal::Clock::time_point until,
                                Chosen* chosen, std::unique_ptr<StageSettler>* unsettled) {
  StageTuner tuner(run, std::move(work), until, chosen);
  auto report = tuner.tune();
  *unsettled = tuner.unsettled();
  return report;
}

}  // namespace rtjit
