// Measures what a search asks for in one stage and bucket of a tuning run: on the device, or where there is
// none by the cost model with what the compiler made of the config.
#pragma once

#include <span>

#include "tuner/search.h"
#include "tuner/tuning_run.h"

namespace rtjit {

class StageBench : public Bench {
 public:
  // `chosen`: the pipeline that the stage's candidates are measured in; see Judge. `until`: no batch but the
  // first is begun after it.
  StageBench(TuningRun& run, size_t stage, int64_t bucket, const Chosen& chosen,
             StopSignal::Clock::time_point until)
      : run_(run), stage_(stage), bucket_(bucket), chosen_(chosen), until_(until) {}

  // Prospects are the stage's candidates, index by index. ErrorCode::cancelled also when `until` has passed.
  Status measure(const Batch& batch, std::vector<Prospect>* prospects) override;

 private:
  Status measure_on_device(const Batch& batch, std::vector<Prospect>* prospects);
  bool take_stored(size_t index, int samples, double fastest, Prospect* prospect) const;
  // `fastest`: in this bucket, of those with as many samples; 0: none. It is brought up to date.
  Status run_job(std::span<const size_t> indices, int samples, double* fastest,
                 std::vector<Prospect>* prospects);
  void take_result(size_t index, const Measurement& result, const SamplingPolicy& sampling,
                   Prospect* prospect);
  Candidate& candidate(size_t index) { return run_.candidate(stage_, static_cast<int>(index)); }

  TuningRun& run_;
  size_t stage_;
  int64_t bucket_;
  const Chosen& chosen_;
  StopSignal::Clock::time_point until_;
  bool begun_ = false;
};

// A job that measures candidates of the stage in the pipeline `chosen`, each in its place.
Result<MeasureJob> measure_job(TuningRun& run, size_t stage, int64_t bucket, const Chosen& chosen,
                               std::span<const int> candidates, const SamplingPolicy& sampling);

// How configs are sampled of which a search asks `samples`. Where it asks for fewer than it could, it does so
// to leave most of them alone; only the last look goes on until times are known well, and not even that one
// where those that are near each other are measured again anyway.
SamplingPolicy sampling_policy(const StrategyOptions& search, int samples);
std::string policy_text(const SamplingPolicy& sampling);  // for TuningRow::policy

// Whether a search may look at it: no gate has rejected it so far, and the run is about it.
inline bool may_win(const Candidate& candidate) { return candidate.gate.ok() && candidate.wanted; }

// What is known of a stage's candidates before anything is measured.
std::vector<Prospect> stage_prospects(const TuningRun& run, size_t stage, int64_t bucket);

}  // namespace rtjit
