// Predicts how long one launch of a config takes, from the manifest's cost formulas and a GPU's figures.
//
// A launch of B blocks on S SMs, R of them resident per SM at once (occupancy), takes
//
//   launch_us + waves * fill + longest + (1 - overlap) * (sum of the three others)
//
// where `longest` is the longest of these four times:
//
// - memory: dram_bytes over the device's bandwidth, or over what the bytes in flight can sustain (Little's
//   law: resident blocks x pipeline stages x bytes of a step, over the latency), whichever is slower
// - l2: l2_bytes over the SMs' L2 bandwidth, limited in the same way
// - math: flops over the unit's rate plus ALU lane operations over theirs, times a tail: the SM with most
//   work has ceil(B / S) blocks where the average one has B / S; too few warps per SM also lower the rate
// - latency: waves x steps of a block x (memory latency / stages in flight + overhead of a step)
//
// and `fill` is one memory latency per wave, before a block's pipeline is full. tuner/coefficients.h has the
// coefficients per family of targets; tuner/fit.h fits them to stored measurements.
#pragma once

#include <string_view>

#include "templates/launch_plan.h"
#include "tuner/coefficients.h"
#include "tuner/gpu_facts.h"

namespace rtjit {

struct Prediction {
  double total_us = 0;  // 0 only when the manifest states no cost at all
  double memory_us = 0, l2_us = 0, math_us = 0, latency_us = 0, waves = 0;
  const char* bound = "";  // "memory", "l2", "math", "latency": the longest
  bool known() const { return total_us > 0; }
};

// Peak of a unit of CostSpec::rate ("wgmma.bf16") relative to dense 16-bit tensor math. One that is not known
// counts as that.
double relative_rate(std::string_view rate);

// `blocks_per_sm` >= 1 and `threads` as the load gate knows them.
Prediction predict(const CostInputs& inputs, const GpuFacts& gpu, int blocks_per_sm, int64_t threads,
                   const CostCoefficients& coefficients);
Prediction predict(const CostInputs& inputs, const GpuFacts& gpu, int blocks_per_sm, int64_t threads);

}  // namespace rtjit
