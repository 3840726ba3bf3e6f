#include "runtime/device.h"

#include "cache/sku.h"

namespace rtjit {

Status Device::launch_all(std::span<const PreparedLaunch> launches, void** arguments, StreamHandle stream) {
  for (const PreparedLaunch& prepared : launches) {
    Status status = launch(*prepared.kernel, prepared.config, arguments + prepared.first_argument, stream);
    if (!status) return status;
  }
  return {};
}

TargetFacts DeviceInfo::facts() const {
  TargetFacts facts = target.facts();
  facts.smem_per_block = limits.smem_per_block;
  facts.smem_per_sm = limits.smem_per_sm;
  facts.threads_per_sm = limits.threads_per_sm;
  facts.registers_per_sm = limits.registers_per_sm;
  if (sm_count > 0) facts.sm_count = sm_count;
  return facts;
}

std::string DeviceInfo::sku_fingerprint() const {
  return format_sku(
      {target.name(), sm_count, limits.smem_per_block, l2_bytes, memory_bus_bits, memory_clock_khz / 1000});
}

}  // namespace rtjit
