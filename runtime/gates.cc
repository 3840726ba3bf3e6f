#include "runtime/gates.h"

#include <algorithm>
#include <vector>

#include "base/text.h"
#include "compiler/features.h"

namespace rtjit {
namespace {

constexpr int64_t kWarp = 32;

int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// Registers that the hardware sets aside for a block: whole warps, each in allocation units.
int64_t allocated_registers(int64_t threads, int64_t registers, const TargetLimits& limits) {
  return round_up(threads, kWarp) / kWarp * round_up(registers * kWarp, limits.register_unit_per_warp);
}

class Reasons {
 public:
  void add(Verdict verdict, std::string reason) {
    if (verdict_ == Verdict::ok) verdict_ = verdict;
    parts_.push_back(std::move(reason));
  }
  GateResult result() const { return {verdict_, join(parts_, "; ")}; }

 private:
  Verdict verdict_ = Verdict::ok;
  std::vector<std::string> parts_;
};

void check_registers(int64_t threads, int64_t registers, const TargetLimits& limits, Reasons* reasons) {
  if (registers > limits.registers_per_thread) {
    reasons->add(Verdict::registers, fmt::format("registers: about {} per thread, the limit is {}", registers,
                                                 limits.registers_per_thread));
    return;
  }
  int64_t allocated = allocated_registers(threads, registers, limits);
  if (allocated <= limits.registers_per_block) return;
  int64_t plain = threads * registers;
  std::string product =
      plain > limits.registers_per_block
          ? fmt::format("{} threads x {} = {}", threads, registers, with_thousands(plain))
          : fmt::format("{} threads x {}, allocated as {}", threads, registers, with_thousands(allocated));
  reasons->add(Verdict::registers,
               fmt::format("registers: {} > {}", product, with_thousands(limits.registers_per_block)));
}

void check_smem(int64_t smem, const Target& target, const TargetLimits& limits, Reasons* reasons) {
  if (smem <= limits.smem_per_block) return;
  reasons->add(Verdict::smem, fmt::format("smem: needs {} B, {} allows {} B per block", with_thousands(smem),
                                          target.name(), with_thousands(limits.smem_per_block)));
}

}  // namespace

Result<GateResult> static_gate(const Variant& variant, const VariantFacts& facts, const Target& target,
                               const TargetLimits& limits) {
  Reasons reasons;
  auto covered = target.matches(variant.targets);
  if (!covered) return covered.error().with_context(fmt::format("variant '{}'", variant.name));
  if (!*covered) {
    reasons.add(Verdict::feature, fmt::format("feature: variant {} needs {}, this is {}", variant.name,
                                              variant.targets, target.name()));
  }
  for (const std::string& feature : facts.features) {
    if (supports(target, feature)) continue;
    reasons.add(Verdict::feature, fmt::format("feature: {} is not supported by {}", feature, target.name()));
  }
  for (const std::string& message : facts.violated) {
    reasons.add(Verdict::constraint, fmt::format("constraint: {}", message));
  }
  if (facts.threads > limits.threads_per_block) {
    reasons.add(Verdict::constraint,
                fmt::format("constraint: {} threads, {} allows {} per block", with_thousands(facts.threads),
                            target.name(), with_thousands(limits.threads_per_block)));
  }
  check_smem(facts.smem, target, limits, &reasons);
  if (facts.predicted_registers > 0) {
    check_registers(facts.threads, facts.predicted_registers, limits, &reasons);
  }
  return reasons.result();
}

GateResult compile_gate(const CompileReject& reject) {
  Verdict verdict = parse_verdict(reject.kind).value_or(Verdict::compile);
  if (verdict == Verdict::ok) verdict = Verdict::compile;
  // Compiler messages run over many lines; a verdict is one sentence, the log is kept beside it.
  std::string reason(trim(std::string_view(reject.reason).substr(0, reject.reason.find('\n'))));
  std::string prefix = fmt::format("{}: ", to_string(verdict));
  if (!reason.starts_with(prefix)) reason = prefix + (reason.empty() ? "refused without a message" : reason);
  return {verdict, reason};
}

CompiledFacts compiled_facts(const Binary& binary) {
  CompiledFacts facts;
  for (const Binary::Kernel& kernel : binary.kernels) {
    const KernelResources& resources = kernel.resources;
    facts.registers = std::max(facts.registers, resources.registers);
    facts.stack = std::max(facts.stack, resources.stack);
    facts.spills = std::max(facts.spills, resources.spill_stores + resources.spill_loads);
    facts.static_smem = std::max<int64_t>(facts.static_smem, resources.static_smem);
  }
  return facts;
}

GateResult load_gate(const VariantFacts& facts, const CompiledFacts& compiled, const TargetLimits& limits,
                     int64_t max_spill_bytes) {
  Reasons reasons;
  check_registers(facts.threads, compiled.registers, limits, &reasons);
  if (compiled.spills > max_spill_bytes) {
    reasons.add(Verdict::spill, fmt::format("spill: {} B", with_thousands(compiled.spills)));
  }
  GateResult result = reasons.result();
  if (!result.ok()) return result;
  int64_t smem = facts.smem + compiled.static_smem;
  if (blocks_per_sm(facts.threads, compiled.registers, smem, limits) >= 1) return result;
  int64_t reserved = smem + limits.smem_reserved_per_block;
  return {Verdict::smem,
          fmt::format("smem: needs {} B with the {} B that the system reserves, an SM has {} B",
                      with_thousands(reserved), with_thousands(limits.smem_reserved_per_block),
                      with_thousands(limits.smem_per_sm))};
}

int registers_limit(int64_t threads, const TargetLimits& limits) {
  const int64_t warps = std::max<int64_t>(round_up(threads, kWarp) / kWarp, 1);
  const int64_t units = limits.registers_per_block / warps / limits.register_unit_per_warp;
  return static_cast<int>(
      std::min<int64_t>(units * limits.register_unit_per_warp / kWarp, limits.registers_per_thread));
}

int blocks_per_sm(int64_t threads, int registers, int64_t smem, const TargetLimits& limits) {
  if (threads <= 0) return 0;
  int64_t blocks = limits.blocks_per_sm;
  blocks = std::min(blocks, limits.threads_per_sm / round_up(threads, kWarp));
  blocks = std::min(blocks, limits.smem_per_sm / std::max<int64_t>(1, smem + limits.smem_reserved_per_block));
  int64_t needed = allocated_registers(threads, std::max(registers, 1), limits);
  blocks = std::min(blocks, limits.registers_per_sm / needed);
  return static_cast<int>(std::max<int64_t>(blocks, 0));
}

}  // namespace rtjit
