#include "runtime/device.h"

#include "cache/sku.h"

namespace rtjit {

namespace {

class PlainSequence final : public LaunchSequence {
 public:
  PlainSequence(Device& device, std::span<const PreparedLaunch> launches)
      : device_(device), launches_(launches.begin(), launches.end()) {}
  Status launch(void** arguments, StreamHandle stream) const override {
    for (const PreparedLaunch& prepared : launches_) {
      void** own = arguments + prepared.first_argument;
      if (Status status = device_.launch(*prepared.kernel, prepared.config, own, stream); !status)
        return status;
    }
    return {};
  }

 private:
  Device& device_;
  std::vector<PreparedLaunch> launches_;
};

}  // namespace

std::unique_ptr<const LaunchSequence> Device::sequence(std::span<const PreparedLaunch> launches) {
  return std::make_unique<PlainSequence>(*this, launches);
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
