#include "tuner/workbench.h"

#include <algorithm>

namespace rtjit {

Result<DeviceArguments> DeviceArguments::create(Device& device, const LaunchPlan& plan,
                                                const Problem& problem, ArgumentSpec::Role role,
                                                const InputCase& input) {
  auto host = draw_inputs(plan, problem, role, input);
  if (!host) return host.error();
  DeviceArguments arguments;
  arguments.host_ = std::move(*host);
  for (HostTensor& tensor : arguments.host_) {
    auto memory = GuardedMemory::allocate(device, tensor.bytes());
    if (!memory) return memory.error().with_context(fmt::format("argument {}", tensor.name));
    const size_t bytes = tensor.data.empty() ? 0 : static_cast<size_t>(memory->bytes());
    for (size_t at = 0; at < bytes; at += tensor.data.size()) {
      Status status = device.copy_to_device(memory->data() + at, tensor.data.data(),
                                            std::min(tensor.data.size(), bytes - at));
      if (!status) return status.error();
    }
    std::vector<unsigned char>().swap(tensor.data);
    if (!tensor.is_output) {
      if (Status status = memory->protect(); !status) return status.error();
    }
    arguments.memory_.push_back(std::move(*memory));
  }
  return arguments;
}

std::vector<TensorArg> DeviceArguments::tensors() const {
  std::vector<TensorArg> tensors;
  for (size_t i = 0; i < host_.size(); ++i) {
    tensors.push_back(
        {host_[i].name, host_[i].dtype, memory_[i].data(), host_[i].rank, host_[i].shape, host_[i].stride});
  }
  return tensors;
}

Status DeviceArguments::poison_outputs(uint8_t byte) {
  for (size_t i = 0; i < host_.size(); ++i) {
    if (!host_[i].is_output) continue;
    if (Status status = memory_[i].poison(byte); !status) return status;
  }
  return {};
}

Status DeviceArguments::read_outputs(Device& device, OutputBytes* outputs) const {
  size_t next = 0;
  for (size_t i = 0; i < host_.size(); ++i) {
    if (!host_[i].is_output) continue;
    if (next == outputs->size()) outputs->emplace_back();
    std::vector<unsigned char>& bytes = (*outputs)[next++];
    bytes.resize(static_cast<size_t>(memory_[i].bytes()));
    if (bytes.empty()) continue;
    Status status = device.copy_to_host(bytes.data(), memory_[i].data(), bytes.size());
    if (!status) return status;
  }
  outputs->resize(next);
  return {};
}

Result<std::string> DeviceArguments::damage() const {
  for (size_t i = 0; i < host_.size(); ++i) {
    auto damage = memory_[i].damage();
    if (!damage) return damage.error();
    if (!damage->empty()) return fmt::format("wrote {} of {}", *damage, host_[i].name);
  }
  return std::string();
}

Result<std::unique_ptr<Workbench>> Workbench::create(Device& device, std::shared_ptr<const Template> tmpl,
                                                     Problem problem, TargetFacts facts,
                                                     std::shared_ptr<const Binary> pack_binary,
                                                     const std::vector<StageChoice>& any_choices) {
  std::unique_ptr<Workbench> bench(new Workbench(device, std::move(tmpl), std::move(problem), facts));
  Status status = bench->pack(std::move(pack_binary), any_choices);
  if (!status) return status.error();
  return bench;
}

Status Workbench::pack(std::shared_ptr<const Binary> pack_binary,
                       const std::vector<StageChoice>& any_choices) {
  auto launch_plan = LaunchPlan::create(tmpl_, problem_, any_choices, facts_);
  if (!launch_plan) return launch_plan.error();
  auto bytes = launch_plan->total_bytes(BufferSpec::Kind::packed, 0);
  if (!bytes) return bytes.error();
  auto packed = GuardedMemory::allocate(device_, *bytes);
  if (!packed) return packed.error().with_context("packed weights");
  packed_ = std::move(*packed);
  if (tmpl_->pack.empty()) return {};
  if (Status status = run_packing(std::move(pack_binary), packed_); !status) return status;
  auto damage = packed_.damage();
  if (!damage) return damage.error();
  if (!damage->empty()) {
    return make_error(ErrorCode::internal, "{}: packing wrote {} of the packed weights", tmpl_->name,
                      *damage);
  }
  return packed_.protect();
}

Result<GuardedMemory> Workbench::pack_again(std::shared_ptr<const Binary> pack_binary) {
  auto packed = GuardedMemory::allocate(device_, packed_.bytes());
  if (!packed) return packed.error().with_context("packed weights");
  Status status = run_packing(std::move(pack_binary), *packed);
  if (!status) return status.error();
  return packed;
}

Status Workbench::run_packing(std::shared_ptr<const Binary> pack_binary, const GuardedMemory& packed) {
  auto plan = LaunchPlan::create(tmpl_, problem_, {}, facts_, /*packing=*/true);
  if (!plan) return plan.error();
  std::vector<std::shared_ptr<const Binary>> binaries(plan->launches().size(), pack_binary);
  auto pipeline = Pipeline::create(device_, std::move(*plan), std::move(binaries), &modules_);
  if (!pipeline) return pipeline.error().with_context("packing weights");
  auto arguments = [&] {
    const PartTimes::Span span = times_.span("weights");
    return DeviceArguments::create(device_, (*pipeline)->plan(), problem_, ArgumentSpec::Role::pack,
                                   InputCase{});
  }();
  if (!arguments) return arguments.error();
  const PartTimes::Span span = times_.span("pack");
  auto bound = std::make_unique<BoundArguments>();
  Status status =
      bind_arguments((*pipeline)->plan(), ArgumentSpec::Role::pack, arguments->tensors(), bound.get());
  if (!status) return status.error().with_context("packing weights");
  status = (*pipeline)->launch(*bound, 0, 0, packed.data(), packed.bytes(), nullptr);
  if (status) status = device_.synchronize(nullptr);
  return status ? status : status.error().with_context("packing weights");
}

Result<std::unique_ptr<Pipeline>> Workbench::pipeline(
    const std::vector<StageChoice>& choices, const std::vector<std::shared_ptr<const Binary>>& binaries) {
  auto plan = LaunchPlan::create(tmpl_, problem_, choices, facts_);
  if (!plan) return plan.error();
  std::vector<std::shared_ptr<const Binary>> by_launch;
  for (const PlanLaunch& launch : plan->launches()) {
    by_launch.push_back(launch.stage >= 0 ? binaries[static_cast<size_t>(launch.stage)] : nullptr);
  }
  return Pipeline::create(device_, std::move(*plan), std::move(by_launch), &modules_);
}

Status Workbench::launch(const Pipeline& pipeline, const DeviceArguments& arguments,
                         const GuardedMemory& workspace, StreamHandle stream, StageSet stages,
                         const GuardedMemory* packed) {
  BoundArguments bound;
  std::vector<TensorArg> tensors = arguments.tensors();
  Status status = bind_arguments(pipeline.plan(), ArgumentSpec::Role::launch, tensors, &bound);
  if (!status) return status;
  const GuardedMemory& weights = packed ? *packed : packed_;
  return pipeline.launch(bound, workspace.data(), workspace.bytes(), weights.data(), weights.bytes(), stream,
                         stages);
}

}  // namespace rtjit
