// A problem set up on one device: packed weights, drawn arguments in guarded memory, pipelines over given
// binaries. What verification and timing share.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "runtime/launcher.h"
#include "tuner/guarded_memory.h"
#include "tuner/inputs.h"
#include "tuner/part_times.h"

namespace rtjit {

// The bytes of a pipeline's outputs, in the manifest's order.
using OutputBytes = std::vector<std::vector<unsigned char>>;

// Launch arguments on the device. Move-only; the device and the plan's template outlive it.
class DeviceArguments {
 public:
  static Result<DeviceArguments> create(Device& device, const LaunchPlan& plan, const Problem& problem,
                                        ArgumentSpec::Role role, const InputCase& input);

  std::vector<TensorArg> tensors() const;
  Status poison_outputs(uint8_t byte);
  // Memory that `outputs` has is used again: to get hundreds of megabytes from the system takes as long as to
  // copy them.
  Status read_outputs(Device& device, OutputBytes* outputs) const;
  // Nothing, or "wrote 16 B past the end of out".
  Result<std::string> damage() const;
  const std::vector<HostTensor>& host() const { return host_; }  // inputs' data is dropped after the copy

 private:
  std::vector<HostTensor> host_;
  std::vector<GuardedMemory> memory_;
};

// Not thread-safe. Everything it gives out must go before it does.
class Workbench {
 public:
  // `pack_binary` is null when the template packs nothing. Packs weights drawn from seed 1.
  static Result<std::unique_ptr<Workbench>> create(Device& device, std::shared_ptr<const Template> tmpl,
                                                   Problem problem, TargetFacts facts,
                                                   std::shared_ptr<const Binary> pack_binary,
                                                   const std::vector<StageChoice>& any_choices);

  // One choice and one binary per stage, in order.
  Result<std::unique_ptr<Pipeline>> pipeline(const std::vector<StageChoice>& choices,
                                             const std::vector<std::shared_ptr<const Binary>>& binaries);

  Device& device() { return device_; }
  const Template& tmpl() const { return *tmpl_; }
  const Problem& problem() const { return problem_; }
  const TargetFacts& facts() const { return facts_; }
  GuardedMemory& packed() { return packed_; }
  PartTimes& times() { return times_; }  // of whatever is done on this bench
  // The same weights packed once more, by other kernels than packed() was.
  Result<GuardedMemory> pack_again(std::shared_ptr<const Binary> pack_binary);
  // `packed`: a copy of packed() to be read instead of it.
  Status launch(const Pipeline& pipeline, const DeviceArguments& arguments, const GuardedMemory& workspace,
                StreamHandle stream, StageSet stages = StageSet::all(),
                const GuardedMemory* packed = nullptr);

 private:
  Workbench(Device& device, std::shared_ptr<const Template> tmpl, Problem problem, TargetFacts facts)
      : device_(device), tmpl_(std::move(tmpl)), problem_(std::move(problem)), facts_(facts) {}
  Status pack(std::shared_ptr<const Binary> pack_binary, const std::vector<StageChoice>& any_choices);
  Status run_packing(std::shared_ptr<const Binary> pack_binary, const GuardedMemory& packed);

  Device& device_;
  std::shared_ptr<const Template> tmpl_;
  Problem problem_;
  TargetFacts facts_;
  GuardedMemory packed_;
  ModuleCache modules_;
  PartTimes times_;
};

}  // namespace rtjit
