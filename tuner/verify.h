// Compares a candidate pipeline with the oracle on the same device, before it may win.
//
// Per case (size, seed, pattern): outputs and workspace are poisoned, guard zones surround every buffer, the
// outputs are compared with the oracle's (tuner/compare.h), and repeated runs, with other workspace contents,
// must give the same bits where the template promises it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cache/records.h"
#include "tuner/workbench.h"

namespace rtjit {

struct VerifyOutcome {
  Verdict verdict = Verdict::ok;  // ok, wrong, fault (wrote outside its buffers) or launch
  std::string reason;
  double rel_l2 = 0, max_err = 0;       // the worst over all cases
  int64_t compared = 0, different = 0;  // elements of all cases, as Comparison has them
  int cases = 0;
  Reached reached = Reached::loaded;
};

// What is going on within one verification, for whoever watches over it.
enum class VerifyStep {
  launching,  // from now on the candidate may hang or break the device
  ran,        // it ran to its end; what follows is our own work
  right,      // the results of a case were right
};

const char* to_string(VerifyStep step);

class Verifier {
 public:
  // `oracle` runs every stage with the oracle variant. Both outlive the verifier.
  Verifier(Workbench& bench, const Pipeline& oracle) : bench_(bench), oracle_(oracle) {}

  // Told of every step as it happens.
  void watch(std::function<void(VerifyStep)> watcher) { watcher_ = std::move(watcher); }

  // An Error is the device's or the oracle's (device_fault, out_of_memory): it says nothing about the
  // candidate unless `candidate_running()` is set.
  Result<VerifyOutcome> verify(const Pipeline& candidate, std::span<const InputCase> cases, int repeats);
  // Packs the weights again with other kernels: they must give the very bytes that the bench packed. An Error
  // as verify() has it.
  Result<VerifyOutcome> verify_packing(std::shared_ptr<const Binary> pack_binary);
  // Runs the oracle for the cases, so that a later Error of verify() is not the oracle's. What it gave is
  // kept for the cases that the next call has too: large sizes take memory, and neighbouring buckets share
  // cases.
  Status prepare(std::span<const InputCase> cases);
  // Whether the last Error came while the candidate's own launches were running.
  bool candidate_running() const { return candidate_running_; }

 private:
  struct Prepared {
    DeviceArguments arguments;
    OutputBytes reference;
  };
  Result<Prepared*> prepare(const InputCase& input);
  void keep_only(std::span<const InputCase> cases);  // of what is prepared
  void forget();                                     // all that is prepared
  // `part`: of the time, see Workbench::times().
  Status run(const Pipeline& pipeline, Prepared& prepared, GuardedMemory& workspace, uint8_t poison,
             const char* part, OutputBytes* outputs);
  Result<GuardedMemory> workspace_for(const Pipeline& pipeline, const InputCase& input);
  Result<std::string> damage_after(const Prepared& prepared, const GuardedMemory& workspace);

  void tell(VerifyStep step) const {
    if (watcher_) watcher_(step);
  }

  Workbench& bench_;
  const Pipeline& oracle_;
  std::function<void(VerifyStep)> watcher_;
  std::map<std::string, Prepared> prepared_;  // by InputCase::text(); the reference is computed once per case
  OutputBytes first_, again_;                 // of the candidate's runs, kept for the memory that they have
  std::vector<OutputBytes> spare_;            // the same, of references that are forgotten
  bool candidate_running_ = false;
};

// The cases for a real device, each with a seed of its own: the bucket's largest size with even choices and
// with invalid ones, its smallest with invalid ones and with all rows choosing the same, and a middle one
// with all the same (all others get nothing) and with skewed ones.
std::vector<InputCase> device_cases(const Template& tmpl, int64_t bucket);
// Cheap cases for the emulator: one per size, patterns in turn.
std::vector<InputCase> emulator_cases(const std::vector<int64_t>& sizes);

// How results of this problem on this target are judged: Template::verify with the limits of the first case
// that holds, and `deterministic` as it is for this problem.
VerifySpec verify_spec(const Template& tmpl, const Problem& problem, const TargetFacts& target);

// The problem scaled down by Template::verify.small, for the emulator; the problem itself without such
// formulas.
Result<Problem> small_problem(const Template& tmpl, const Problem& problem);
// The keys that differ: "hidden=320,intermediate=320"; "" when none do.
std::string problem_difference(const Problem& problem, const Problem& small);

}  // namespace rtjit
