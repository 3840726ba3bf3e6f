// What prediction knows of a GPU: the device present, or the representative one of an absent target.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "compiler/target.h"
#include "runtime/device.h"

namespace rtjit {

struct GpuFacts {
  std::string name;  // "NVIDIA H200", or "H200" when it is not here
  Target target;
  TargetLimits limits;
  int sm_count = 0;
  double l2_bytes = 0;
  double dram_bytes_per_us = 0;
  double clock_ghz = 0;
  double bf16_flops_per_us = 0;  // dense tensor-core peak, fp32 accumulation
};

// Of the representative SKU; with a device, its own limits, SM count, L2, memory and clock, and the SKU's
// tensor rate per SM and clock.
GpuFacts gpu_facts(const Target& target, const std::optional<DeviceInfo>& device);

}  // namespace rtjit
