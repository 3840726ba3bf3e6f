// The coefficients of the cost model, per family of targets. They are data: tuner/coefficients/FAMILY.json,
// embedded in the program, written by `rtjit fit`. docs/cost-model.md says what each means and how to fit
// them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "compiler/target.h"

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

// One of them by name, and the range in which a fit looks for it.
struct CoefficientField {
  const char* name;
  double CostCoefficients::*member;
  double low, high;
};
std::span<const CoefficientField> coefficient_fields();

// "ampere", "ada", "hopper", "blackwell_datacenter" or "blackwell_consumer".
const char* family_of(const Target& target);
std::vector<std::string> families();
const CostCoefficients& coefficients_for(const Target& target);

// A family's file and back. Reading demands every coefficient, each within its range, and no other.
struct CoefficientFile {
  std::string family;
  std::string origin;  // where the figures come from, one sentence
  CostCoefficients coefficients;
};
std::string coefficients_text(const CoefficientFile& file);
Result<CoefficientFile> parse_coefficients(std::string_view text);

}  // namespace rtjit
