#include "emulator/emulated_device.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>

#include "base/text.h"
#include "compiler/features.h"
#include "emulator/grid.h"
#include "emulator/program_builder.h"
#include "emulator/tensor_map.h"

namespace rtjit {
namespace {

using emu::GlobalMemory;

struct Capture {
  std::vector<std::function<Status()>> steps;
};

class EmulatedKernel : public Kernel {
 public:
  std::unique_ptr<emu::Program> program;
  KernelResources resources;
  TargetLimits limits;

  int registers() const override { return resources.registers; }
  int local_bytes() const override { return static_cast<int>(program->local_bytes); }
  int max_blocks_per_sm(int threads, int64_t dynamic_smem) const override {
    if (threads <= 0) return 0;
    int warps = (threads + 31) / 32;
    int64_t blocks = std::min<int64_t>(limits.blocks_per_sm, limits.threads_per_sm / (warps * 32));
    if (resources.registers > 0 && limits.register_unit_per_warp > 0) {
      int64_t unit = limits.register_unit_per_warp;
      int64_t per_warp = (resources.registers * 32 + unit - 1) / unit * unit;
      blocks = std::min<int64_t>(blocks, limits.registers_per_sm / (per_warp * warps));
    }
    int64_t shared = program->dynamic_shared + dynamic_smem + limits.smem_reserved_per_block;
    return static_cast<int>(std::min<int64_t>(blocks, limits.smem_per_sm / shared));
  }
};

class EmulatedModule : public Module {
 public:
  EmulatedModule(std::shared_ptr<GlobalMemory> memory, emu::LoadedModule loaded, const Binary* binary,
                 const TargetLimits& limits)
      : memory_(std::move(memory)), loaded_(std::move(loaded)), limits_(limits) {
    if (binary) {
      for (const Binary::Kernel& kernel : binary->kernels) resources_[kernel.symbol] = kernel.resources;
    }
  }
  ~EmulatedModule() override { emu::unload_module(loaded_, *memory_); }

  Result<const Kernel*> kernel(const std::string& symbol) const override {
    std::lock_guard lock(mutex_);
    auto found = kernels_.find(symbol);
    if (found != kernels_.end()) return static_cast<const Kernel*>(found->second.get());
    Result<std::unique_ptr<emu::Program>> program = emu::build_program(loaded_, symbol);
    if (!program.ok()) return program.error();
    auto kernel = std::make_unique<EmulatedKernel>();
    kernel->program = std::move(*program);
    auto resources = resources_.find(symbol);
    if (resources != resources_.end()) kernel->resources = resources->second;
    kernel->limits = limits_;
    return static_cast<const Kernel*>((kernels_[symbol] = std::move(kernel)).get());
  }

 private:
  std::shared_ptr<GlobalMemory> memory_;
  emu::LoadedModule loaded_;
  TargetLimits limits_;
  std::map<std::string, KernelResources> resources_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, std::unique_ptr<EmulatedKernel>> kernels_;
};

class EmulatedGraph : public Graph {
 public:
  explicit EmulatedGraph(Capture capture) : capture_(std::move(capture)) {}
  Status replay(StreamHandle) override {
    for (const auto& step : capture_.steps) {
      if (Status status = step(); !status.ok()) return status;
    }
    return {};
  }

 private:
  Capture capture_;
};

class DeviceImplementation : public EmulatedDevice {
 public:
  DeviceImplementation(DeviceInfo info, std::shared_ptr<GlobalMemory> memory, EmulatorOptions options)
      : info_(std::move(info)), memory_(std::move(memory)), options_(options) {}

  const DeviceInfo& info() const override { return info_; }
  Result<DevicePtr> allocate(size_t bytes) override { return memory_->allocate(bytes); }
  void free(DevicePtr pointer) override {
    if (pointer) memory_->free(pointer);
  }

  Status copy_to_device(DevicePtr target, const void* source, size_t bytes) override {
    if (Status status = check_span("copy to the device", target, bytes); !status.ok()) return status;
    if (bytes == 0) return {};  // then either pointer may be null, which memcpy does not allow
    std::memcpy(memory_->data(target), source, bytes);
    std::memset(memory_->shadow(target), emu::kWritten, bytes);
    return {};
  }
  Status copy_to_host(void* target, DevicePtr source, size_t bytes) override {
    if (Status status = check_span("copy to the host", source, bytes); !status.ok()) return status;
    if (bytes == 0) return {};
    std::memcpy(target, memory_->data(source), bytes);
    return {};
  }
  Status fill(DevicePtr target, uint8_t byte, size_t bytes, StreamHandle stream) override {
    return set(target, byte, emu::kWritten, bytes, stream);
  }
  Status poison(DevicePtr target, uint8_t byte, size_t bytes, StreamHandle stream) override {
    return set(target, byte, emu::kUnwritten, bytes, stream);
  }
  Status protect(DevicePtr target) override {
    if (memory_->protect(target)) return {};
    return make_error(ErrorCode::invalid_argument, "protect: no allocation begins at {:#x}", target);
  }

  Result<std::unique_ptr<Module>> load(const Binary& binary) override {
    if (binary.ptx.empty())
      return make_error(ErrorCode::invalid_argument, "this binary carries no PTX; the emulator runs PTX");
    return load_text(binary.ptx, &binary);
  }
  Result<std::unique_ptr<Module>> load_ptx(const std::string& ptx) override {
    return load_text(ptx, nullptr);
  }

  Status prepare(const Kernel& kernel, int64_t dynamic_smem) override {
    int64_t shared = static_cast<const EmulatedKernel&>(kernel).program->dynamic_shared + dynamic_smem;
    if (shared <= info_.limits.smem_per_block) return {};
    return make_error(ErrorCode::unsupported, "{} B of shared memory: {} allows {} B per block",
                      with_thousands(shared), info_.target.name(),
                      with_thousands(info_.limits.smem_per_block));
  }

  Status launch(const Kernel& kernel, const LaunchConfig& config, void** arguments,
                StreamHandle stream) override {
    const auto& emulated = static_cast<const EmulatedKernel&>(kernel);
    std::vector<uint8_t> parameters(emulated.program->parameter_bytes);
    for (size_t i = 0; i < emulated.program->parameters.size(); ++i) {
      const emu::ParameterLayout& p = emulated.program->parameters[i];
      std::memcpy(parameters.data() + p.offset, arguments[i], p.bytes);
    }
    const EmulatedKernel* to_run = &emulated;
    return record_or_run(stream, [this, to_run, config, parameters = std::move(parameters)] {
      return run(*to_run, config, parameters);
    });
  }

  Status encode_tensor_map(const TensorMapRequest& request, TensorMapBytes* out) const override {
    return emu::encode(request, out);
  }

  Status encode_im2col_map(const Im2colMapRequest& request, TensorMapBytes* out) const override {
    return emu::encode_im2col(request, out);
  }

  Result<StreamHandle> create_stream() override {
    std::lock_guard lock(mutex_);
    return reinterpret_cast<StreamHandle>(++last_stream_);
  }
  void destroy_stream(StreamHandle) override {}
  Status synchronize(StreamHandle) override {
    std::lock_guard lock(mutex_);
    if (!fault_) return {};
    Error error = *fault_;
    fault_.reset();
    return error;
  }

  Result<std::unique_ptr<Graph>> capture(const std::function<Status(StreamHandle)>& record) override {
    Result<StreamHandle> stream = create_stream();
    if (!stream.ok()) return stream.error();
    {
      std::lock_guard lock(mutex_);
      captures_[*stream];
    }
    Status status = record(*stream);
    std::lock_guard lock(mutex_);
    Capture recorded = std::move(captures_[*stream]);
    captures_.erase(*stream);
    if (!status.ok()) return status.error();
    return std::unique_ptr<Graph>(std::make_unique<EmulatedGraph>(std::move(recorded)));
  }
  Result<double> elapsed_ms(StreamHandle stream, const std::function<Status(StreamHandle)>& work) override {
    auto start = std::chrono::steady_clock::now();
    if (Status status = work(stream); !status.ok()) return status.error();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }
  Status make_current() override { return {}; }
  size_t parameter_count(const Kernel& kernel) const override {
    return static_cast<const EmulatedKernel&>(kernel).program->parameters.size();
  }
  EmulatorStatistics statistics() const override {
    std::lock_guard lock(mutex_);
    return statistics_;
  }

 private:
  Status check_span(std::string_view doing, DevicePtr address, size_t bytes) const {
    if (bytes == 0) return {};
    emu::FaultKind kind;
    std::string why;
    if (memory_->check(address, bytes, &kind, &why)) return {};
    return make_error(ErrorCode::invalid_argument, "{}: {}: {}", doing, emu::to_string(kind), why);
  }

  Status set(DevicePtr target, uint8_t byte, uint8_t shadow, size_t bytes, StreamHandle stream) {
    if (Status status = check_span("fill", target, bytes); !status.ok()) return status;
    return record_or_run(stream, [this, target, byte, shadow, bytes]() -> Status {
      if (Status status = check_span("fill", target, bytes); !status.ok()) return status;
      std::memset(memory_->data(target), byte, bytes);
      std::memset(memory_->shadow(target), shadow, bytes);
      return {};
    });
  }

  Status record_or_run(StreamHandle stream, std::function<Status()> step) {
    {
      std::lock_guard lock(mutex_);
      auto capture = captures_.find(stream);
      if (capture != captures_.end()) {
        capture->second.steps.push_back(std::move(step));
        return {};
      }
    }
    return step();
  }

  Result<std::unique_ptr<Module>> load_text(const std::string& ptx, const Binary* binary) {
    for (const FeatureUse& use : scan_ptx(ptx)) {
      if (!supports(info_.target, use.feature))
        return make_error(ErrorCode::unsupported, "PTX line {}: {}: {} does not have {}", use.line,
                          use.instruction, info_.target.name(), use.feature);
    }
    Result<emu::LoadedModule> loaded = emu::load_module(ptx, *memory_);
    if (!loaded.ok()) return loaded.error();
    // Code for sm_90a runs on sm_90a alone, code for a family ('f') on its family, other code on every later
    // target.
    if (Result<Target> made_for = Target::parse(loaded->module->target); made_for.ok()) {
      bool fits = made_for->suffix() == 'a' ? *made_for == info_.target
                  : made_for->suffix() == 'f'
                      ? made_for->cc() / 10 == info_.target.cc() / 10 && info_.target.cc() >= made_for->cc()
                      : made_for->cc() <= info_.target.cc();
      if (!fits) {
        emu::unload_module(*loaded, *memory_);
        return make_error(ErrorCode::unsupported, "this PTX is for {}; the device is {}", made_for->name(),
                          info_.target.name());
      }
    }
    return std::unique_ptr<Module>(
        std::make_unique<EmulatedModule>(memory_, std::move(*loaded), binary, info_.limits));
  }

  Status run(const EmulatedKernel& kernel, const LaunchConfig& config,
             const std::vector<uint8_t>& parameters) {
    emu::Launch launch;
    launch.program = kernel.program.get();
    launch.registers = kernel.resources.registers;
    launch.memory = memory_.get();
    launch.grid = config.grid;
    launch.block = config.block;
    launch.cluster = config.cluster;
    // A kernel that requires a cluster is launched with it, whether or not the launch names it.
    if (const auto& required = launch.program->required_cluster;
        required[0] && config.cluster == decltype(config.cluster){1, 1, 1})
      std::copy(required, required + 3, launch.cluster.begin());
    launch.dynamic_smem = config.dynamic_smem;
    launch.sm_count = static_cast<uint32_t>(std::max(1, info_.sm_count));
    launch.parameters = parameters;
    launch.strictness = options_.strictness;
    if (options_.strictness.races) launch.record = memory_->begin_record();
    auto start = std::chrono::steady_clock::now();
    Status status = emu::run_grid(launch, info_.limits, options_.host_threads);
    if (launch.record) memory_->end_record();
    std::lock_guard lock(mutex_);
    statistics_.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    statistics_.warp_steps += launch.steps;
    statistics_.lane_instructions += launch.lane_instructions;
    const bool refused = !status.ok() && status.error().code == ErrorCode::unsupported;
    if (!status.ok() && !refused && !fault_) fault_ = status.error();
    return status;
  }

  DeviceInfo info_;
  std::shared_ptr<GlobalMemory> memory_;
  EmulatorOptions options_;
  mutable std::mutex mutex_;
  uintptr_t last_stream_ = 0;
  std::map<StreamHandle, Capture> captures_;
  std::optional<Error> fault_;
  EmulatorStatistics statistics_;
};

// The interpreter is compiled for a baseline with AVX2 and FMA.
Status check_host() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    return make_error(ErrorCode::unsupported, "the emulator needs a CPU with AVX2 and FMA");
#endif
  return {};
}

}  // namespace

Result<std::unique_ptr<EmulatedDevice>> make_emulated_device_with(const Target& target,
                                                                  const EmulatorOptions& options) {
  if (Status status = check_host(); !status.ok()) return status.error();
  Result<std::unique_ptr<GlobalMemory>> memory = GlobalMemory::create(options.memory_bytes);
  if (!memory.ok()) return memory.error();
  const Sku& sku = representative_sku(target);
  DeviceInfo info;
  info.target = target;
  info.limits = target.limits();
  info.name = fmt::format("emulator ({})", target.name());
  info.sm_count = sku.sm_count;
  info.l2_bytes = sku.l2_bytes;
  info.total_memory = static_cast<int64_t>(options.memory_bytes);
  info.driver_version = "emulator";
  info.emulated = true;
  return std::unique_ptr<EmulatedDevice>(std::make_unique<DeviceImplementation>(
      std::move(info), std::shared_ptr<GlobalMemory>(std::move(*memory)), options));
}

Result<std::unique_ptr<Device>> make_emulated_device(const Target& target) {
  Result<std::unique_ptr<EmulatedDevice>> device = make_emulated_device_with(target, {});
  if (!device.ok()) return device.error();
  return std::unique_ptr<Device>(std::move(*device));
}

}  // namespace rtjit
