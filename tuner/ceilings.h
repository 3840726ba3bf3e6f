// What a device delivers at best, measured with small kernels of our own (tuner/ceilings/*.cuh): bytes per
// microsecond of a buffer much larger than the L2 cache, and operations per microsecond of loops that do
// nothing but multiply. The clocks are those that such work can hold, as the loops run long enough.
#pragma once

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "compiler/compile_pool.h"
#include "runtime/device.h"
#include "tuner/gpu_facts.h"

namespace rtjit {

struct MathCeiling {
  std::string type;  // see math_type()
  std::string
      unit;  // the instruction that was fastest: "wgmma", "mma.sync", "fma"; or where the figure is from
  double flops_per_us = 0;
  bool measured = false;  // false: from the data sheet, or another type's times what the data sheet says
};

struct Ceilings {
  double read_bytes_per_us = 0, copy_bytes_per_us = 0;  // copy: what is read and what is written
  bool measured = false;                                // false: the data sheet's
  std::vector<MathCeiling> math;

  double bytes_per_us() const { return std::max(read_bytes_per_us, copy_bytes_per_us); }
  const MathCeiling* find(std::string_view type) const;  // null: not asked for
};

// What counts as one ceiling: "fma" (fp32), "tf32", "bf16", "fp8" or "fp4", for a unit of CostSpec::rate such
// as "wgmma.bf16".
std::string math_type(std::string_view rate);

struct CeilingOptions {
  int64_t buffer_bytes =
      0;           // 0: 1 GiB, or at least 8 times the L2 cache, and at most a quarter of the memory
  int sms = 0;     // 0: the device's
  int rounds = 9;  // of which the median counts
  int first_iterations = 512;  // of a loop that multiplies; its time says how many fill launch_us
  double launch_us = 4000;     // of a loop that multiplies; the first ones only warm up
};

// `types` beside "bf16", which is always measured. The device must be idle.
Result<Ceilings> measure_ceilings(Device& device, CompilePool& compiler, const std::set<std::string>& types,
                                  const CeilingOptions& options = {});

// The data sheet's.
Ceilings nominal_ceilings(const GpuFacts& gpu, const std::set<std::string>& types);

}  // namespace rtjit
