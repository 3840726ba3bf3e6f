// Settles who wins in one stage and bucket of a tuning run: measures the passes on the device, and publishes
// the winner where it is not the one that the search has published.
#pragma once

#include "tuner/settle.h"
#include "tuner/tuning_run.h"

namespace rtjit {

class StageSettler {
 public:
  // `finalists`, `winner`: of the search, and what it chose, which is verified as `judgement` says and stored
  // as a winner that does not stand yet. `looked_at`: how many configs' times are known. Passes that the
  // store knows of a run before this one count.
  StageSettler(TuningRun& run, size_t stage, int64_t bucket, const std::vector<Ranked>& finalists, int winner,
               Judgement judgement, int looked_at);

  // Whether a run settles winners at all.
  static bool wanted(const TuningRun& run) {
    return run.request.device.has_value() && run.request.search.passes > 0;
  }

  size_t stage() const { return stage_; }
  int64_t bucket() const { return bucket_; }
  bool done() const { return settle_.done(); }
  // The search's winner has no contender.
  bool has_nothing_to_do() const { return settle_.contenders().size() < 2; }
  // One more pass, of all contenders; each is measured in the pipeline `chosen`. It is stored as a whole.
  Status pass(const Chosen& chosen);
  // Verifies the winner, unless the search has, and publishes it. `chosen` and `report` are brought up to
  // date.
  Status publish(Chosen* chosen, BucketReport* report);

 private:
  Candidate& candidate(int index) { return run_.candidate(stage_, index); }
  void take_stored_passes();
  void store_passes();
  Result<bool> judge_winner(const Chosen& chosen);
  std::vector<TuningRow> settled_rows();

  TuningRun& run_;
  size_t stage_;
  int64_t bucket_;
  Settle settle_;
  int verified_;  // the candidate that judgement_ is about
  Judgement judgement_;
  int looked_at_;
};

}  // namespace rtjit
