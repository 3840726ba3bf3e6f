// Compiles candidates in the background while others are measured, and only those that a search wants.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <future>
#include <set>
#include <vector>

#include "base/result.h"
#include "compiler/compile_pool.h"
#include "tuner/binary_source.h"
#include "tuner/candidates.h"
#include "tuner/ledger.h"
#include "tuner/session.h"

namespace rtjit {

struct CompileGateRun {
  const SearchContext& context;
  BinarySource& binaries;
  Ledger& ledger;
  const TuneLimits& limits;
  bool force = false;  // do not trust stored verdicts, except those that put a config into quarantine
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(int64_t done, int64_t total)> progress;  // may be empty; done = 0: the total has grown
  std::function<void(const Candidate&)> rejected;             // may be empty
  bool retry_quarantined = false;  // forget what faulted or hung before, and try it again
};

// Applies what the store knows: verdicts and resources of earlier compiles, and failures when run. Needs no
// compiler.
void apply_stored(const CompileGateRun& run, const std::vector<Candidate*>& candidates);

// Not thread-safe; the pool behind it is. A candidate is decided once, whichever bucket asked for it first.
class CompileQueue {
 public:
  explicit CompileQueue(CompileGateRun run) : run_(std::move(run)) {}

  // What another version of the compiler refused is undecided again, and so is what it made and what then
  // faulted or hung. Opens the compiler only where there is such a candidate.
  Status reopen(const std::vector<Candidate*>& candidates);
  // Starts compiling the undecided ones, in this order, as threads become free; returns at once. Also without
  // new ones to be called now and then, so that threads are kept busy.
  Status want(const std::vector<Candidate*>& candidates);
  // Waits until all of them are decided. ErrorCode::cancelled when asked to stop (everything finished is
  // stored), any other Error is the environment's.
  Status finish(const std::vector<Candidate*>& candidates);

  double compile_ms() const { return compile_ms_; }  // processor time, over all threads
  double waited_ms() const { return waited_ms_; }    // that finish() stood still

 private:
  struct InFlight {
    Candidate* candidate;
    std::shared_future<Result<CompileOutcome>> future;
  };
  Status open();
  void submit(Candidate* candidate);
  Status pump();     // fills the window
  Status collect();  // takes what is finished
  void decide(const CompileOutcome& outcome, Candidate* candidate);

  CompileGateRun run_;
  CompilePool* pool_ = nullptr;
  std::string compiler_;
  std::deque<Candidate*> waiting_;
  std::deque<InFlight> window_;
  std::set<const Candidate*> wanted_;
  int64_t done_ = 0;
  double compile_ms_ = 0, waited_ms_ = 0;
};

}  // namespace rtjit
