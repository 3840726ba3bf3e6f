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
// and `fill` is one memory latency per wave, before a block's pipeline is full. The coefficients per family
// of targets are in one struct, to be fitted from stored measurements.
#pragma once

#include "templates/launch_plan.h"
#include "tuner/gpu_facts.h"

namespace rtjit {

struct CostCoefficients {
  double dram_efficiency = 0.90;      // of the data sheet's bandwidth, when streaming
  double l2_bytes_per_clock_sm = 48;  // sustained, per SM
  double dram_latency_us = 0.70, l2_latency_us = 0.28;
  double mma_efficiency = 0.70;        // mma.sync, of the dense peak
  double async_mma_efficiency = 0.85;  // wgmma, tcgen05
  double alu_lanes_per_clock_sm = 64;  // integer and conversion work
  double fma_lanes_per_clock_sm = 128;
  double warps_for_peak = 8;       // resident warps per SM that saturate the math units
  double step_overhead_us = 0.05;  // barrier and address work of a main-loop step
  double launch_us = 2.0;
  double overlap = 0.85;  // how much of the shorter resource times hides behind the longest
};
const CostCoefficients& coefficients_for(const Target& target);

struct Prediction {
  double total_us = 0;  // 0 only when the manifest states no cost at all
  double memory_us = 0, l2_us = 0, math_us = 0, latency_us = 0, waves = 0;
  const char* bound = "";  // "memory", "l2", "math", "latency": the longest
  bool known() const { return total_us > 0; }
};

// `blocks_per_sm` >= 1 and `threads` as the load gate knows them.
Prediction predict(const CostInputs& inputs, const GpuFacts& gpu, int blocks_per_sm, int64_t threads,
                   const CostCoefficients& coefficients);
Prediction predict(const CostInputs& inputs, const GpuFacts& gpu, int blocks_per_sm, int64_t threads);

}  // namespace rtjit
