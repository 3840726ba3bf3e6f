// What the parts of one tuning run share: the request, the candidates, the store, the compiler, the device,
// and the report that comes of it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tuner/binary_source.h"
#include "tuner/candidates.h"
#include "tuner/compile_queue.h"
#include "tuner/incumbents.h"
#include "tuner/judge.h"
#include "tuner/ledger.h"
#include "tuner/publisher.h"
#include "tuner/session.h"
#include "tuner/stop_signal.h"

namespace rtjit {

class TuningRun {
 public:
  // `request`'s flag to cancel must be that of `stop`. Everything given outlives the run.
  TuningRun(const TuneRequest& request, const StopSignal& stop, TuneObserver& observer);

  // Adds the time until it goes out of scope to a phase of the report.
  class PhaseTimer {
   public:
    PhaseTimer(TuningRun& run, TunePhase phase)
        : run_(run), phase_(phase), start_(StopSignal::Clock::now()) {}
    ~PhaseTimer();

   private:
    TuningRun& run_;
    TunePhase phase_;
    StopSignal::Clock::time_point start_;
  };

  Candidate& candidate(size_t stage, int index) {
    return spaces[stage].candidates[static_cast<size_t>(index)];
  }
  // All candidates of all stages.
  std::vector<Candidate*> candidates();
  // Verdicts and failures that the store knows.
  void apply_store() { apply_stored(gate_run(), candidates()); }
  // Waits for compiles that are not done; the time counts as waiting.
  Status compile(const std::vector<Candidate*>& wanted);
  // A candidate that failed when it ran: its row, its quarantine, its gate, the observer, and a loud warning.
  void reject(Candidate* candidate, int64_t bucket, Verdict verdict, const std::string& reason,
              Reached reached);
  void count_rejected(Verdict verdict) { observer.on_rejected(verdict, ++rejected_[verdict]); }
  void warn(const std::string& sentence);
  // Steps of the phase `measure`: one per config of a batch. `more` is negative for work that is left to
  // others.
  void plan_measuring(int64_t more);
  void count_measured(int64_t configs);

  // Whether what is found out may serve others.
  bool publishes() const { return request.verify && request.filter.empty(); }
  // A winner in the store that is as good as this run could make it, or null.
  const WinnerRow* usable_winner(size_t stage, int64_t bucket) const;
  // The candidate that serves so far; -1: none.
  int incumbent(size_t stage, int64_t bucket) const;
  // How many of the stage's configs failed when they ran in this bucket, now or in an earlier run.
  int failed_here(size_t stage, int64_t bucket) const;

  const TuneRequest& request;
  const StopSignal& stop;
  TuneObserver& observer;
  TuneReport report;
  const SearchContext context;
  const std::string sku;
  BinarySource binaries;
  Ledger ledger;
  Incumbents incumbents;  // with a device: predictions are the same in every run
  Publisher publisher;
  std::vector<StageSpace> spaces;  // one per stage of the template
  Judge judge;
  CompileQueue compiles;
  std::chrono::milliseconds longest_check{0};  // of the verifications so far

 private:
  CompileGateRun gate_run();
  std::map<Verdict, int64_t> rejected_;
  int64_t to_measure_ = 0, measured_ = 0;
};

std::string describe(const Candidate& candidate);  // "mma block_m=64,..."

}  // namespace rtjit
