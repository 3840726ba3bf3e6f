// Runs whole pipelines for the session: on the device through the worker, or on the emulator.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "tuner/binary_source.h"
#include "tuner/candidates.h"
#include "tuner/emulator_check.h"
#include "tuner/session.h"
#include "tuner/worker_setup.h"

namespace rtjit {

// What verification says of a candidate. Neither rejected nor verified: it could not be looked at.
struct Judgement {
  bool rejected = false;
  bool verified = false;
  std::string verified_on;
  VerifyOutcome outcome;
};

// A pipeline as indices: candidate per stage.
using Chosen = std::vector<int>;

// Starts the worker or the emulator when it is first needed. Everything given outlives it.
class Judge {
 public:
  Judge(const TuneRequest& request, const SearchContext& context, BinarySource& binaries,
        const std::vector<StageSpace>& spaces, std::function<void(const std::string&)> warn)
      : request_(request), context_(context), binaries_(binaries), spaces_(spaces), warn_(std::move(warn)) {}

  bool can_verify() const {
    return request_.verify && (request_.device || (request_.emulator && !emulator_broken_));
  }

  // An Error: nothing can be judged any more.
  Result<Judgement> judge(const Chosen& chosen, int64_t bucket);

  // Only with a device. The configs that results are compared with, per stage; -1: there is none.
  Result<Chosen> oracle() const;
  std::string compiler() const;  // see BinarySource::get()
  // Lets the compiler begin with what the worker needs besides the oracle.
  Status begin_compiles();
  // Only with a device. Starts the worker, which sets the problem up while the oracle is compiled.
  Status start_worker();
  // Only with a device. The oracle must be decided.
  Result<Measurer*> measurer();
  double load_ms() const { return worker_ ? worker_->load_ms() : 0; }  // see Measurer
  PhaseParts parts_ms() const { return worker_ ? worker_->parts_ms() : PhaseParts(); }
  Result<PipelineSpec> pipeline_spec(const Chosen& chosen);

 private:
  const Candidate& candidate(size_t stage, int index) const {
    return spaces_[stage].candidates[static_cast<size_t>(index)];
  }
  Result<std::shared_ptr<const Binary>> binary_of(const Candidate& candidate);
  Result<Judgement> judge_on_device(const Chosen& chosen, int64_t bucket);
  Result<Judgement> judge_on_emulator(const Chosen& chosen);

  const TuneRequest& request_;
  const SearchContext& context_;
  BinarySource& binaries_;
  const std::vector<StageSpace>& spaces_;
  std::function<void(const std::string&)> warn_;
  std::unique_ptr<EmulatorCheck> emulator_;
  bool emulator_broken_ = false;
  std::unique_ptr<WorkerClient> worker_;
  bool has_oracle_ = false;  // the worker
};

}  // namespace rtjit
