#include "tuner/gpu_facts.h"

namespace rtjit {

GpuFacts gpu_facts(const Target& target, const std::optional<DeviceInfo>& device) {
  const Sku& sku = representative_sku(target);
  GpuFacts facts;
  facts.name = sku.name;
  facts.target = target;
  facts.limits = target.limits();
  facts.sm_count = sku.sm_count;
  facts.l2_bytes = static_cast<double>(sku.l2_bytes);
  facts.dram_bytes_per_us = sku.dram_gb_per_s * 1e3;
  facts.clock_ghz = sku.boost_ghz;
  facts.bf16_flops_per_us = sku.bf16_tflops * 1e6;
  if (!device || device->emulated) return facts;

  facts.name = device->name;
  facts.limits = device->limits;
  if (device->sm_count > 0) facts.sm_count = device->sm_count;
  if (device->l2_bytes > 0) facts.l2_bytes = static_cast<double>(device->l2_bytes);
  if (device->memory_bus_bits > 0 && device->memory_clock_khz > 0) {
    // Two transfers a clock; bits to bytes; kHz to per microsecond.
    facts.dram_bytes_per_us = 2.0 * device->memory_clock_khz * device->memory_bus_bits / 8 * 1e-3;
  }
  if (device->sm_clock_khz > 0) facts.clock_ghz = device->sm_clock_khz * 1e-6;
  facts.bf16_flops_per_us *= facts.sm_count * facts.clock_ghz / (sku.sm_count * sku.boost_ghz);
  return facts;
}

}  // namespace rtjit
