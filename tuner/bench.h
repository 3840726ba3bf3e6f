// What a template's operation costs for a list of launch sizes: the whole of it, as deployed, beside the
// default configs, the reference kernels and what the device's memory and tensor cores deliver. Or, without a
// device, what the cost model and the data sheet say of all that.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/lookup.h"
#include "runtime/context.h"
#include "tuner/ceilings.h"
#include "tuner/operation_work.h"
#include "tuner/problem_scope.h"
#include "tuner/samples.h"
#include "tuner/timing.h"

namespace rtjit {

struct BenchRequest {
  ProblemScope
      scope;  // `tokens` are the sizes; a filter must single out one config in each stage that it names
  std::shared_ptr<Context> context;  // on the device to measure on; null: predict
  const Store* store = nullptr;      // where winners are looked up to predict; unused with a context
  SamplingPolicy sampling;
  // The reference is left out where one look at it would take longer by the cost model.
  double most_reference_us = 2e6;
  CeilingOptions ceilings;
  ClockReader clocks;
  const std::atomic<bool>* cancel = nullptr;  // set: stop after the size that is being measured
  std::function<void(const std::string& phase, int64_t done, int64_t total)> progress;  // may be empty
};

struct BenchTime {
  double us = 0, low_us = 0, high_us = 0;  // median and its interval; predicted: all the same
  int samples = 0;
  std::string why_not;  // why there is none; "" where there is
  bool known() const { return us > 0; }
};

struct BenchStage {
  std::string stage, variant, config;
  std::string origin;  // "measured on this device model, 12.3 us", "default", "as given"
  Provenance provenance = Provenance::fallback_default;
  bool tuned = false, given = false;  // given: by the filter
  double predicted_us = 0;            // 0 = not known
};

struct BenchRow {
  int64_t tokens = 0, bucket = 0;
  OperationWork work;
  double memory_us = 0, math_us = 0;  // at the ceilings; the longer one is the floor
  BenchTime time, by_default, reference;
  bool is_default = false;  // what serves is the default configs, which are not measured twice
  std::vector<BenchStage> stages;
  std::string conditions;
  int sm_clock_mhz = 0;  // usual clock; 0 = not known

  double floor_us() const { return std::max(memory_us, math_us); }
  // bytes or operations per microsecond
  double bytes_rate() const { return time.known() ? work.bytes / time.us : 0; }
  double flops_rate() const { return time.known() ? work.flops / time.us : 0; }
};

struct BenchReport {
  std::string template_name, problem, target, device, sku, driver, bucket_scalar;
  Knowledge knowledge = Knowledge::none;  // measured or predicted: holds for every figure
  Ceilings ceilings;
  std::string policy;  // how times were sampled
  std::vector<BenchRow> rows;
  bool cancelled = false;  // some sizes are missing
};

// The sizes where none were named: every second bucket, and the last.
std::vector<int64_t> bench_tokens(const Template& tmpl);

// Sizes that the device's memory does not hold get a row that says so. Errors are those of the request, the
// environment and the device.
Result<BenchReport> bench(const BenchRequest& request);

}  // namespace rtjit
