#include "tuner/cost_model.h"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace rtjit {
namespace {

double math_flops_per_us(std::string_view rate, const GpuFacts& gpu, const CostCoefficients& k) {
  if (rate == "fma") return gpu.sm_count * k.fma_lanes_per_clock_sm * 2 * gpu.clock_ghz * 1e3;
  bool async = rate.starts_with("wgmma") || rate.starts_with("tcgen05");
  return gpu.bf16_flops_per_us * relative_rate(rate) * (async ? k.async_mma_efficiency : k.mma_efficiency);
}

}  // namespace

double relative_rate(std::string_view rate) {
  std::string_view type = rate.substr(std::min(rate.size(), rate.find('.') + 1));
  if (type == "fp4" || type == "mxf4" || type == "nvf4" || type == "mxf4nvf4") return 4;
  if (type == "fp8" || type == "e4m3" || type == "f8f6f4" || type == "mxf8f6f4" || type == "int8") return 2;
  if (type == "tf32") return 0.5;
  return 1;
}

Prediction predict(const CostInputs& inputs, const GpuFacts& gpu, int blocks_per_sm, int64_t threads) {
  return predict(inputs, gpu, blocks_per_sm, threads, coefficients_for(gpu.target));
}

Prediction predict(const CostInputs& inputs, const GpuFacts& gpu, int blocks_per_sm, int64_t threads,
                   const CostCoefficients& k) {
  Prediction result;
  double dram = std::max(inputs.dram_bytes, 0.0), l2 = std::max(inputs.l2_bytes, 0.0);
  double flops = std::max(inputs.flops, 0.0), alu = std::max(inputs.alu_ops, 0.0);
  if (dram + l2 + flops + alu <= 0) return result;

  double blocks = std::max(inputs.blocks, 1.0), steps = std::max(inputs.steps, 1.0);
  double stages = std::max(inputs.stages, 1.0);
  double sms = std::max(gpu.sm_count, 1), resident_limit = std::max(blocks_per_sm, 1);
  double used_sms = std::min(sms, blocks);
  double resident = std::min(resident_limit, std::ceil(blocks / sms));  // blocks on a busy SM
  double waves = std::ceil(blocks / (sms * resident_limit));
  double tail = std::ceil(blocks / sms) / (blocks / sms);  // 1 when the work divides evenly
  if (blocks < sms) tail = 1;                              // idle SMs are counted by used_sms

  // Little's law. At least half a step of plain loads is in flight even without a pipeline.
  auto limited = [&](double bytes, double peak, double latency_us) {
    if (bytes <= 0) return 0.0;
    double step_bytes = bytes / (blocks * steps);
    double in_flight = used_sms * resident * std::max(stages - 1, 0.5) * step_bytes;
    return bytes / std::min(peak, in_flight / latency_us);
  };
  double l2_peak = used_sms * k.l2_bytes_per_clock_sm * gpu.clock_ghz * 1e3;
  result.memory_us = limited(dram, gpu.dram_bytes_per_us * k.dram_efficiency, k.dram_latency_us);
  result.l2_us = limited(l2, l2_peak, k.l2_latency_us);

  double warps = resident * std::max<double>(static_cast<double>(threads) / 32, 1);
  double fill = std::min(1.0, warps / k.warps_for_peak) * used_sms / sms;
  double alu_peak = sms * k.alu_lanes_per_clock_sm * gpu.clock_ghz * 1e3;
  result.math_us = (flops / math_flops_per_us(inputs.rate, gpu, k) + alu / alu_peak) * tail / fill;

  double latency = dram > 0 ? k.dram_latency_us : k.l2_latency_us;
  result.waves = waves;
  result.latency_us = waves * steps * (latency / (stages * resident) + k.step_overhead_us / resident);

  double parts[] = {result.memory_us, result.l2_us, result.math_us, result.latency_us};
  const char* names[] = {"memory", "l2", "math", "latency"};
  int longest = static_cast<int>(std::max_element(std::begin(parts), std::end(parts)) - parts);
  double others = parts[0] + parts[1] + parts[2] + parts[3] - parts[longest];
  result.bound = names[longest];
  result.total_us = k.launch_us + waves * latency + parts[longest] + (1 - k.overlap) * others;
  return result;
}

}  // namespace rtjit
