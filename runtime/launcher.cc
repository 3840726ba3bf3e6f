#include "runtime/launcher.h"

#include <algorithm>

#include "base/text.h"
#include "runtime/launch_frame.h"

namespace rtjit {
namespace {

constexpr int64_t kBlockAlignment = 256;

const char* name_of(BufferSpec::Kind kind) {
  return kind == BufferSpec::Kind::workspace ? "workspace" : "packed weights";
}

Error failed_formula(const std::string& where, const char* what, const Formula& formula) {
  return make_error(ErrorCode::internal, "launching {}: the formula of its {}, {}, has no value", where, what,
                    formula.text());
}

int swizzle_bytes(const std::string& text) {
  return static_cast<int>(parse_int(text).value_or(0));  // "none" is 0
}

}  // namespace

Result<std::shared_ptr<Module>> ModuleCache::load(Device& device,
                                                  const std::shared_ptr<const Binary>& binary) {
  std::weak_ptr<Module>& entry = modules_[binary->key];
  if (auto module = entry.lock()) return module;
  auto loaded = device.load(*binary);
  if (!loaded) return loaded.error();
  std::shared_ptr<Module> module = std::move(*loaded);
  entry = module;
  return module;
}

Result<std::unique_ptr<Pipeline>> Pipeline::create(Device& device, LaunchPlan plan,
                                                   std::vector<std::shared_ptr<const Binary>> binaries,
                                                   ModuleCache* modules) {
  std::unique_ptr<Pipeline> pipeline(new Pipeline(device, std::move(plan)));
  const LaunchPlan& p = pipeline->plan_;
  if (p.launches().size() != binaries.size()) {
    return make_error(ErrorCode::internal, "{}: {} launches but {} binaries", p.source().name,
                      p.launches().size(), binaries.size());
  }
  if (p.symbols().size() > kMaxPlanSymbols || p.pointer_count() > kMaxPlanPointers ||
      p.tensor_maps().size() > kMaxTensorMaps) {
    return make_error(ErrorCode::unsupported,
                      "{}: {} names, {} arguments and buffers, {} tensor maps; a plan may have {}, {} and {}",
                      p.source().name, p.symbols().size(), p.pointer_count(), p.tensor_maps().size(),
                      kMaxPlanSymbols, kMaxPlanPointers, kMaxTensorMaps);
  }
  pipeline->bucket_slot_ = p.scalar_slot(p.source().bucket_scalar);
  pipeline->packing_ = !p.launches().empty() && p.launches()[0].stage < 0;
  for (const PlanTensorMap& map : p.tensor_maps()) pipeline->swizzles_.push_back(swizzle_bytes(map.swizzle));

  ModuleCache own;
  if (modules == nullptr) modules = &own;
  for (size_t i = 0; i < binaries.size(); ++i) {
    const PlanLaunch& launch = p.launches()[i];
    if (launch.arguments.size() > kMaxKernelArguments) {
      return make_error(ErrorCode::unsupported, "{}: {} kernel arguments, a launch may have {}",
                        launch.kernel, launch.arguments.size(), kMaxKernelArguments);
    }
    if (binaries[i] == nullptr)
      return make_error(ErrorCode::internal, "{}: no binary was given", launch.kernel);
    const auto& kernels = binaries[i]->kernels;
    auto found = std::find_if(kernels.begin(), kernels.end(), [&](const Binary::Kernel& kernel) {
      return kernel.name_expression == launch.kernel;
    });
    if (found == kernels.end()) {
      return make_error(ErrorCode::corrupt, "the binary {} has no kernel {}", binaries[i]->key,
                        launch.kernel);
    }
    auto module = modules->load(device, binaries[i]);
    if (!module) return module.error().with_context(launch.kernel);
    auto kernel = (*module)->kernel(found->symbol);
    if (!kernel) return kernel.error().with_context(launch.kernel);
    auto smem = launch.smem.evaluate_or_error(p.base_values(), p.symbols());
    if (!smem) return smem.error().with_context(launch.kernel);
    if (Status status = device.prepare(**kernel, *smem); !status)
      return status.error().with_context(launch.kernel);
    pipeline->modules_.push_back(std::move(*module));
    pipeline->kernels_.push_back(*kernel);
    pipeline->smem_limits_.push_back(*smem);
  }
  return pipeline;
}

Pipeline::~Pipeline() = default;

const Kernel& Pipeline::kernel(int launch) const { return *kernels_[static_cast<size_t>(launch)]; }

Result<bool> Pipeline::begin(const BoundArguments& bound, DevicePtr workspace, int64_t workspace_bytes,
                             DevicePtr packed, int64_t packed_bytes, Frame* frame) const {
  if (!packing_ && bucket_slot_ >= 0 && bound.values[bucket_slot_] == 0) return false;
  frame->values = {bound.values.data(), static_cast<size_t>(plan_.symbols().size())};
  std::copy_n(bound.pointers.begin(), plan_.pointer_count(), frame->pointers.begin());
  if (!packing_) {
    Status status = check_block(BufferSpec::Kind::workspace, bound, workspace, workspace_bytes, frame);
    if (!status) return status.error();
  }
  Status status = check_block(BufferSpec::Kind::packed, bound, packed, packed_bytes, frame);
  if (!status) return status.error();
  return true;
}

Status Pipeline::launch(const BoundArguments& bound, DevicePtr workspace, int64_t workspace_bytes,
                        DevicePtr packed, int64_t packed_bytes, StreamHandle stream, StageSet stages) const {
  Frame frame;
  Result<bool> anything = begin(bound, workspace, workspace_bytes, packed, packed_bytes, &frame);
  if (!anything) return anything.error();
  for (size_t i = 0; *anything && i < kernels_.size(); ++i) {
    if (!stages.has(plan_.launches()[i].stage)) continue;
    LaunchConfig config;
    Result<bool> launches = evaluate(static_cast<int>(i), &frame, &config);
    if (!launches) return launches.error();
    if (!*launches) continue;
    Status status = device_.launch(*kernels_[i], config, frame.argument_pointers.data(), stream);
    if (!status) return status;
  }
  return {};
}

// Checks one block of memory and points the buffers that live in it.
Status Pipeline::check_block(BufferSpec::Kind kind, const BoundArguments& bound, DevicePtr block,
                             int64_t bytes, Frame* frame) const {
  std::array<int64_t, kMaxPlanPointers> offsets;
  size_t count = plan_.buffers().size();
  int64_t total = 0;
  if (!plan_.offsets(kind, frame->values, {offsets.data(), count}, &total)) {
    return make_error(ErrorCode::internal, "{}: the formula of a buffer of the {} has no value",
                      plan_.source().name, name_of(kind));
  }
  if (total == 0) return {};
  if (block == 0 || bytes < total) {
    std::string where =
        bucket_slot_ >= 0 && !packing_
            ? fmt::format(" for {} = {}", plan_.source().bucket_scalar, bound.values[bucket_slot_])
            : "";
    return make_error(ErrorCode::invalid_argument, "{}: {} B{} given, {} B are needed{}", name_of(kind),
                      with_thousands(bytes), block == 0 ? " (null)" : "", with_thousands(total), where);
  }
  if (block % kBlockAlignment != 0) {
    return make_error(ErrorCode::invalid_argument, "{}: pointer {:#x}, must be aligned to {} bytes",
                      name_of(kind), block, kBlockAlignment);
  }
  size_t first = plan_.source().arguments.size();
  for (size_t i = 0; i < count; ++i) {
    if (offsets[i] >= 0) frame->pointers[first + i] = block + static_cast<DevicePtr>(offsets[i]);
  }
  return {};
}

Result<bool> Pipeline::evaluate(int index, Frame* frame, LaunchConfig* out) const {
  const PlanLaunch& launch = plan_.launches()[static_cast<size_t>(index)];
  auto when = launch.when.evaluate(frame->values);
  if (!when) return failed_formula(launch.kernel, "condition", launch.when);
  if (*when == 0) return false;

  LaunchConfig& config = *out;
  config.pdl = launch.pdl;
  constexpr std::array<int64_t, 3> kMaxGrid = {2147483647, 65535, 65535};
  for (size_t d = 0; d < 3; ++d) {
    auto grid = launch.grid[d].evaluate(frame->values);
    auto block = launch.block[d].evaluate(frame->values);
    auto cluster = launch.cluster[d].evaluate(frame->values);
    if (!grid) return failed_formula(launch.kernel, "grid", launch.grid[d]);
    if (!block) return failed_formula(launch.kernel, "block", launch.block[d]);
    if (!cluster) return failed_formula(launch.kernel, "cluster", launch.cluster[d]);
    if (*grid == 0) return false;
    if (*grid < 0 || *grid > kMaxGrid[d] || *block < 1 || *block > 1024 || *cluster < 1 || *cluster > 1024) {
      return make_error(ErrorCode::unsupported,
                        "launching {}: dimension {} has grid {} (1 to {}), block {} (1 to 1024), cluster {}",
                        launch.kernel, d, *grid, kMaxGrid[d], *block, *cluster);
    }
    config.grid[d] = static_cast<uint32_t>(*grid);
    config.block[d] = static_cast<uint32_t>(*block);
    config.cluster[d] = static_cast<uint32_t>(*cluster);
  }
  auto smem = launch.smem.evaluate(frame->values);
  if (!smem) return failed_formula(launch.kernel, "shared memory", launch.smem);
  int64_t smem_limit = smem_limits_[static_cast<size_t>(index)];
  if (*smem < 0 || *smem > smem_limit) {
    return make_error(ErrorCode::internal, "launching {}: {} B of shared memory, it was prepared for {} B",
                      launch.kernel, with_thousands(*smem), with_thousands(smem_limit));
  }
  config.dynamic_smem = static_cast<uint32_t>(*smem);

  for (size_t i = 0; i < launch.arguments.size(); ++i) {
    const PlanArgument& argument = launch.arguments[i];
    KernelValue& value = frame->arguments[i];
    frame->argument_pointers[i] = &value;
    switch (argument.kind) {
      case PlanArgument::Kind::pointer:
        value.pointer = frame->pointers[static_cast<size_t>(argument.source)];
        break;
      case PlanArgument::Kind::f32:
        value.f32 = argument.real;
        break;
      case PlanArgument::Kind::i32:
      case PlanArgument::Kind::i64: {
        auto number = argument.formula.evaluate(frame->values);
        if (!number) return failed_formula(launch.kernel, "argument", argument.formula);
        if (argument.kind == PlanArgument::Kind::i64) {
          value.i64 = *number;
        } else if (*number < INT32_MIN || *number > INT32_MAX) {
          return make_error(ErrorCode::unsupported, "launching {}: {} = {} does not fit 32 bits",
                            launch.kernel, argument.formula.text(), *number);
        } else {
          value.i32 = static_cast<int32_t>(*number);
        }
        break;
      }
      case PlanArgument::Kind::tensor_map:
        if (Status status = encode_map(argument.source, frame); !status)
          return status.error().with_context(launch.kernel);
        frame->argument_pointers[i] = &frame->maps[static_cast<size_t>(argument.source)];
        break;
    }
  }
  return true;
}

Status Pipeline::encode_map(int index, Frame* frame) const {
  auto slot = static_cast<size_t>(index);
  if (frame->encoded[slot]) return {};
  const PlanTensorMap& map = plan_.tensor_maps()[slot];
  auto when = map.when.evaluate(frame->values);
  if (!when) return failed_formula("a kernel", "tensor map's condition", map.when);
  if (*when == 0) {  // the kernel takes the parameter but does not use it under this config
    frame->maps[slot] = {};
    frame->encoded[slot] = true;
    return {};
  }
  Result<TensorMapRequest> request = map_request(index, *frame);
  if (!request) return request.error();
  if (Status status = device_.encode_tensor_map(*request, &frame->maps[slot]); !status) return status;
  frame->encoded[slot] = true;
  return {};
}

Result<TensorMapRequest> Pipeline::map_request(int index, const Frame& frame) const {
  auto slot = static_cast<size_t>(index);
  const PlanTensorMap& map = plan_.tensor_maps()[slot];
  TensorMapRequest request;
  request.base = frame.pointers[static_cast<size_t>(map.base)];
  request.dtype = map.dtype;
  request.rank = static_cast<int>(map.dims.size());
  request.swizzle = swizzles_[slot];
  auto fill = [&](const std::vector<Formula>& formulas, auto& numbers) -> const Formula* {
    for (size_t i = 0; i < formulas.size(); ++i) {
      auto value = formulas[i].evaluate(frame.values);
      if (!value || *value < 0) return &formulas[i];
      numbers[i] = static_cast<typename std::decay_t<decltype(numbers)>::value_type>(*value);
    }
    return nullptr;
  };
  if (auto* formula = fill(map.dims, request.dims))
    return failed_formula("a kernel", "tensor map's dims", *formula);
  if (auto* formula = fill(map.strides, request.strides)) {
    return failed_formula("a kernel", "tensor map's strides", *formula);
  }
  if (auto* formula = fill(map.box, request.box))
    return failed_formula("a kernel", "tensor map's box", *formula);
  return request;
}

}  // namespace rtjit
