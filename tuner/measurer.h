// What the session asks of whatever runs candidates on a real device.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/records.h"
#include "compiler/compile.h"
#include "templates/manifest.h"
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
  double time_us = 0, low_us = 0, high_us = 0;  // median and interval of the medians of the rounds
  int samples = 0;
};

struct MeasureJob {
  int64_t bucket = 0;
  int stage = 0;     // only this stage is timed
  double bytes = 0;  // that one launch moves, to decide how many buffers are rotated
  int rounds = 9;
  std::vector<PipelineSpec> candidates;
};

class Measurer {
 public:
  virtual ~Measurer() = default;
  // One Measurement per candidate. An Error: the device or the worker cannot be used any more.
  virtual Result<std::vector<Measurement>> measure(const MeasureJob& job) = 0;
  // Time that it took to bring binaries onto the device and load them.
  virtual double load_ms() const { return 0; }
  virtual Result<VerifyOutcome> verify(const PipelineSpec& candidate, int64_t bucket) = 0;
};

}  // namespace rtjit
