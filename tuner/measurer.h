// What the session asks of whatever runs candidates on a real device.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/records.h"
#include "compiler/compile.h"
#include "templates/manifest.h"
#include "tuner/part_times.h"
#include "tuner/samples.h"
#include "tuner/verify.h"

namespace rtjit {

// A whole pipeline: one choice and its binary per stage, in order.
struct PipelineSpec {
  std::vector<StageChoice> choices;
  std::vector<std::shared_ptr<const Binary>> binaries;
  double expected_us = 0;  // predicted; the watchdog allows this and more
};

struct Measurement {
  Verdict verdict = Verdict::ok;  // ok, launch, fault or hang
  std::string reason;
  Reached reached = Reached::compiled;
  double time_us = 0, low_us = 0, high_us = 0;  // median and interval of the medians of the rounds
  int samples = 0;
  std::string
      conditions;  // how it was measured, besides the policy: "5 sets of arguments; SM clock 1,980 MHz"
};

struct MeasureJob {
  int64_t bucket = 0;
  int stage = 0;     // only this stage is timed
  double bytes = 0;  // that one launch moves, to decide how many buffers are rotated
  SamplingPolicy sampling;
  double fastest_us = 0;  // of what was measured before in this bucket; 0: nothing
  uint64_t turn = 0;      // jobs of the same candidates that differ in it take them in other orders
  bool settles = false;   // its time is that of the phase `settle`, not `measure`
  std::vector<PipelineSpec> candidates;
  // Called once for each candidate as soon as nothing more is asked of it, so that it can be stored before
  // the next one breaks something. May be empty.
  std::function<void(size_t candidate, const Measurement&)> finished;
};

class Measurer {
 public:
  virtual ~Measurer() = default;
  // One Measurement per candidate. An Error: the device or the worker cannot be used any more.
  virtual Result<std::vector<Measurement>> measure(const MeasureJob& job) = 0;
  // Time that it took to bring binaries onto the device and load them.
  virtual double load_ms() const { return 0; }
  // What its time went to, by phase of the run and part of the work.
  virtual PhaseParts parts_ms() const { return {}; }
  virtual Result<VerifyOutcome> verify(const PipelineSpec& candidate, int64_t bucket) = 0;
};

}  // namespace rtjit
