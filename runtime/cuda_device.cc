#include "runtime/cuda_device.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace rtjit {
namespace {

using DriverPtr = std::shared_ptr<const cuda::Driver>;

// The primary context, held until the last module, graph or device that uses it is gone.
class PrimaryContext {
 public:
  static Result<std::shared_ptr<const PrimaryContext>> retain(DriverPtr driver, int ordinal) {
    cuda::Device device = 0;
    cuda::Context context = nullptr;
    cuda::Result code = driver->device_get(&device, ordinal);
    if (code == cuda::kSuccess) code = driver->primary_retain(&context, device);
    if (code != cuda::kSuccess)
      return driver->opening_error(code, fmt::format("opening a context on device {}", ordinal));
    return std::shared_ptr<const PrimaryContext>(new PrimaryContext(std::move(driver), device, context));
  }
  ~PrimaryContext() { driver_->primary_release(device_); }
  PrimaryContext(const PrimaryContext&) = delete;
  PrimaryContext& operator=(const PrimaryContext&) = delete;

  const cuda::Driver& driver() const { return *driver_; }
  cuda::Context handle() const { return context_; }
  cuda::Device device() const { return device_; }

 private:
  PrimaryContext(DriverPtr driver, cuda::Device device, cuda::Context context)
      : driver_(std::move(driver)), device_(device), context_(context) {}
  DriverPtr driver_;
  cuda::Device device_;
  cuda::Context context_;
};
using ContextPtr = std::shared_ptr<const PrimaryContext>;

// Makes the context current for a scope. Costs one cuCtxGetCurrent where it is current already, the usual
// case.
class ContextScope {
 public:
  explicit ContextScope(const PrimaryContext& context) : driver_(context.driver()) {
    cuda::Context current = nullptr;
    if (driver_.context_get_current(&current) == cuda::kSuccess && current == context.handle()) return;
    pushed_ = driver_.context_push(context.handle()) == cuda::kSuccess;
  }
  ~ContextScope() {
    cuda::Context popped = nullptr;
    if (pushed_) driver_.context_pop(&popped);
  }
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;

 private:
  const cuda::Driver& driver_;
  bool pushed_ = false;
};

// For what would break another thread's stream capture, or this one's: loading modules and allocating. The
// program's own captures are not touched by it, which is what the mode "relaxed" states.
class CaptureTolerantScope {
 public:
  explicit CaptureTolerantScope(const cuda::Driver& driver) : driver_(driver) {
    changed_ = driver_.exchange_capture_mode(&mode_) == cuda::kSuccess;
  }
  ~CaptureTolerantScope() {
    if (changed_) driver_.exchange_capture_mode(&mode_);
  }
  CaptureTolerantScope(const CaptureTolerantScope&) = delete;
  CaptureTolerantScope& operator=(const CaptureTolerantScope&) = delete;

 private:
  const cuda::Driver& driver_;
  int mode_ = cuda::kCaptureRelaxed;
  bool changed_ = false;
};

class CudaKernel final : public Kernel {
 public:
  CudaKernel(ContextPtr context, cuda::Function function, std::string symbol)
      : context_(std::move(context)), function_(function), symbol_(std::move(symbol)) {
    registers_ = attribute(cuda::kFunctionRegisters);
    local_bytes_ = attribute(cuda::kFunctionLocalBytes);
    static_smem_ = attribute(cuda::kFunctionStaticSmem);
  }
  int registers() const override { return registers_; }
  int local_bytes() const override { return local_bytes_; }
  int max_blocks_per_sm(int threads, int64_t dynamic_smem) const override {
    ContextScope scope(*context_);
    int blocks = 0;
    cuda::Result code =
        context_->driver().occupancy(&blocks, function_, threads, static_cast<size_t>(dynamic_smem));
    return code == cuda::kSuccess ? blocks : 0;
  }
  int attribute(cuda::FunctionAttribute which) const {
    int value = 0;
    context_->driver().function_get(&value, which, function_);
    return value;
  }
  int static_smem() const { return static_smem_; }
  cuda::Function function() const { return function_; }
  const std::string& symbol() const { return symbol_; }

 private:
  ContextPtr context_;
  cuda::Function function_;
  std::string symbol_;
  int registers_ = 0, local_bytes_ = 0, static_smem_ = 0;
};

// A launch as the driver takes it, but for the stream. Not to be moved: it points into itself.
struct DriverLaunch {
  cuda::LaunchConfig config;
  cuda::Function function;
  size_t first_argument = 0;
  cuda::LaunchAttribute attributes[2];

  void set(const Kernel& kernel, const LaunchConfig& from) {
    function = static_cast<const CudaKernel&>(kernel).function();
    std::copy(from.grid.begin(), from.grid.end(), config.grid);
    std::copy(from.block.begin(), from.block.end(), config.block);
    config.dynamic_smem = from.dynamic_smem;
    config.attribute_count = 0;
    config.attributes = attributes;
    if (from.cluster[0] * from.cluster[1] * from.cluster[2] > 1) {
      cuda::LaunchAttribute& attribute = attributes[config.attribute_count++];
      attribute.id = cuda::kClusterDimension;
      std::copy(from.cluster.begin(), from.cluster.end(), attribute.value.cluster);
    }
    if (from.pdl) {
      cuda::LaunchAttribute& attribute = attributes[config.attribute_count++];
      attribute.id = cuda::kProgrammaticStreamSerialization;
      attribute.value.programmatic_serialization = 1;
    }
  }
};

Error launch_error(const cuda::Driver& driver, cuda::Result code, const Kernel& kernel,
                   const LaunchConfig& config) {
  return driver.error(
      code,
      fmt::format("launching {} (grid {}x{}x{}, block {}x{}x{}, {} B of dynamic shared memory)",
                  static_cast<const CudaKernel&>(kernel).symbol(), config.grid[0], config.grid[1],
                  config.grid[2], config.block[0], config.block[1], config.block[2], config.dynamic_smem));
}

class CudaSequence final : public LaunchSequence {
 public:
  CudaSequence(ContextPtr context, std::span<const PreparedLaunch> launches)
      : context_(std::move(context)),
        driver_(context_->driver()),
        prepared_(launches.begin(), launches.end()),
        launches_(launches.size()) {
    for (size_t i = 0; i < launches.size(); ++i) {
      launches_[i].set(*launches[i].kernel, launches[i].config);
      launches_[i].first_argument = launches[i].first_argument;
    }
  }
  // Between two launches the driver has used up the near caches: what is read here is little and in one
  // piece.
  Status launch(void** arguments, StreamHandle stream) const override {
    const ContextScope scope(*context_);
    for (const DriverLaunch& launch : launches_) {
      cuda::LaunchConfig config = launch.config;
      config.stream = static_cast<cuda::Stream>(stream);
      const cuda::Result code =
          driver_.launch(&config, launch.function, arguments + launch.first_argument, nullptr);
      if (code != cuda::kSuccess) {
        const PreparedLaunch& failed = prepared_[static_cast<size_t>(&launch - launches_.data())];
        return launch_error(driver_, code, *failed.kernel, failed.config);
      }
    }
    return {};
  }

 private:
  ContextPtr context_;
  const cuda::Driver& driver_;
  std::vector<PreparedLaunch> prepared_;  // for messages
  std::vector<DriverLaunch> launches_;
};

class CudaModule final : public Module {
 public:
  CudaModule(ContextPtr context, cuda::Module module) : context_(std::move(context)), module_(module) {}
  ~CudaModule() override {
    ContextScope scope(*context_);
    CaptureTolerantScope tolerant(context_->driver());
    context_->driver().module_unload(module_);
  }
  Result<const Kernel*> kernel(const std::string& symbol) const override {
    for (const auto& kernel : kernels_) {
      if (kernel->symbol() == symbol) return static_cast<const Kernel*>(kernel.get());
    }
    return make_error(ErrorCode::not_found, "the module has no kernel {}", symbol);
  }
  Status find(const std::string& symbol) {
    const cuda::Driver& driver = context_->driver();
    cuda::Function function = nullptr;
    cuda::Result code = driver.module_function(&function, module_, symbol.c_str());
    // The driver loads lazily; a first launch must not, since it would wait for the device or break a
    // capture.
    if (code == cuda::kSuccess && driver.function_load != nullptr) code = driver.function_load(function);
    if (code != cuda::kSuccess) return driver.error(code, fmt::format("loading kernel {}", symbol));
    kernels_.push_back(std::make_unique<CudaKernel>(context_, function, symbol));
    return {};
  }

 private:
  ContextPtr context_;
  cuda::Module module_;
  std::vector<std::unique_ptr<CudaKernel>> kernels_;
};

class CudaGraph final : public Graph {
 public:
  CudaGraph(ContextPtr context, cuda::GraphExec graph) : context_(std::move(context)), graph_(graph) {}
  ~CudaGraph() override {
    ContextScope scope(*context_);
    context_->driver().graph_exec_destroy(graph_);
  }
  Status replay(StreamHandle stream) override {
    ContextScope scope(*context_);
    cuda::Result code = context_->driver().graph_launch(graph_, static_cast<cuda::Stream>(stream));
    if (code != cuda::kSuccess) return context_->driver().error(code, "replaying a graph");
    return {};
  }

 private:
  ContextPtr context_;
  cuda::GraphExec graph_;
};

// CUtensorMapDataType: unsigned bytes stand for every 8-bit type, TMA moves them without looking.
int tensor_map_dtype(DType dtype) {
  switch (dtype) {
    case DType::i16:
      return 1;
    case DType::i32:
      return 3;
    case DType::i64:
      return 5;
    case DType::f16:
      return 6;
    case DType::f32:
      return 7;
    case DType::f64:
      return 8;
    case DType::bf16:
      return 9;
    default:
      return 0;
  }
}

class CudaDevice final : public Device {
 public:
  CudaDevice(ContextPtr context, DeviceInfo info)
      : context_(std::move(context)), driver_(context_->driver()), info_(std::move(info)) {
    int value = 0;
    cuda::Result code = driver_.device_attribute(&value, cuda::kPageableMemoryAccess, context_->device());
    reaches_pageable_memory_ = code == cuda::kSuccess && value != 0;
  }

  const DeviceInfo& info() const override { return info_; }

  Result<DevicePtr> allocate(size_t bytes) override {
    ContextScope scope(*context_);
    CaptureTolerantScope tolerant(driver_);
    cuda::DevicePointer pointer = 0;
    cuda::Result code = driver_.memory_allocate(&pointer, std::max<size_t>(bytes, 1));
    if (code != cuda::kSuccess) {
      return driver_.error(code, fmt::format("allocating {} B on {}",
                                             with_thousands(static_cast<int64_t>(bytes)), info_.name));
    }
    return static_cast<DevicePtr>(pointer);
  }

  void free(DevicePtr pointer) override {
    if (pointer == 0) return;
    ContextScope scope(*context_);
    CaptureTolerantScope tolerant(driver_);
    driver_.memory_free(pointer);  // after a fault this fails too, and nothing is left to be done about it
  }

  Status copy_to_device(DevicePtr target, const void* source, size_t bytes) override {
    if (bytes == 0) return {};
    ContextScope scope(*context_);
    cuda::Result code = driver_.copy_to_device(target, source, bytes);
    // From pageable memory the call may return before the last bytes have arrived.
    if (code == cuda::kSuccess) code = driver_.stream_synchronize(nullptr);
    return check(code, "copying to the device");
  }

  Status copy_to_host(void* target, DevicePtr source, size_t bytes) override {
    ContextScope scope(*context_);
    cuda::Result code = driver_.context_synchronize();
    if (code == cuda::kSuccess && bytes > 0) code = driver_.copy_to_host(target, source, bytes);
    return check(code, "copying from the device");
  }

  Status fill(DevicePtr target, uint8_t byte, size_t bytes, StreamHandle stream) override {
    if (bytes == 0) return {};
    ContextScope scope(*context_);
    return check(driver_.fill(target, byte, bytes, static_cast<cuda::Stream>(stream)),
                 "filling device memory");
  }

  Result<std::unique_ptr<Module>> load(const Binary& binary) override {
    ContextScope scope(*context_);
    CaptureTolerantScope tolerant(driver_);
    std::array<char, 4096> log{};
    int options[] = {cuda::kJitErrorLogBuffer, cuda::kJitErrorLogBufferBytes};
    void* values[] = {log.data(), reinterpret_cast<void*>(log.size() - 1)};
    cuda::Module module = nullptr;
    cuda::Result code = driver_.module_load(&module, binary.cubin.data(), 2, options, values);
    if (code != cuda::kSuccess) {
      std::string doing =
          fmt::format("loading a binary for {} made by {}", info_.target.name(), binary.compiler);
      Error error = driver_.error(code, doing);
      // Code of a later toolkit: the binary is right, and so is every other config's that this compiler
      // makes.
      if (error.code == ErrorCode::unsupported && driver_.is_older_than(binary.compiler)) {
        error = make_error(ErrorCode::driver_too_old,
                           "{}; the driver is one for CUDA {}, older than the compiler: update it, or "
                           "compile with an NVRTC that is not newer (RTJIT_NVRTC names one)",
                           error.message, info_.driver_version);
      }
      if (log[0] != 0) error.message += fmt::format("\n{}", log.data());
      return error;
    }
    auto result = std::make_unique<CudaModule>(context_, module);
    for (const Binary::Kernel& kernel : binary.kernels) {
      if (Status found = result->find(kernel.symbol); !found) return found.error();
    }
    return std::unique_ptr<Module>(std::move(result));
  }

  Status prepare(const Kernel& kernel, int64_t dynamic_smem) override {
    const auto& cuda_kernel = static_cast<const CudaKernel&>(kernel);
    int64_t total = dynamic_smem + cuda_kernel.static_smem();
    if (dynamic_smem < 0 || total > info_.limits.smem_per_block) {
      return make_error(ErrorCode::unsupported, "shared memory: {} needs {} B, {} allows {} B per block",
                        cuda_kernel.symbol(), with_thousands(total), info_.name,
                        with_thousands(info_.limits.smem_per_block));
    }
    ContextScope scope(*context_);
    CaptureTolerantScope tolerant(driver_);
    // Only ever raised: another handle may share the module and need more.
    if (cuda_kernel.attribute(cuda::kFunctionMaxDynamicSmem) >= dynamic_smem) return {};
    cuda::Result code = driver_.function_set(cuda_kernel.function(), cuda::kFunctionMaxDynamicSmem,
                                             static_cast<int>(dynamic_smem));
    return check(code, "raising a kernel's shared memory limit");
  }

  Status launch(const Kernel& kernel, const LaunchConfig& config, void** arguments,
                StreamHandle stream) override {
    ContextScope scope(*context_);
    DriverLaunch launch;
    launch.set(kernel, config);
    launch.config.stream = static_cast<cuda::Stream>(stream);
    const cuda::Result code = driver_.launch(&launch.config, launch.function, arguments, nullptr);
    if (code == cuda::kSuccess) return {};
    return launch_error(driver_, code, kernel, config);
  }

  std::unique_ptr<const LaunchSequence> sequence(std::span<const PreparedLaunch> launches) override {
    return std::make_unique<CudaSequence>(context_, launches);
  }

  Status encode_tensor_map(const TensorMapRequest& request, TensorMapBytes* out) const override {
    if (driver_.tensor_map_tiled == nullptr) {
      return make_error(ErrorCode::unsupported,
                        "tensor maps need a driver for CUDA 12.0 or later (525 and up)");
    }
    ContextScope scope(*context_);
    constexpr uint32_t kElementStrides[5] = {1, 1, 1, 1, 1};
    constexpr int kNoInterleave = 0, kL2Promotion128 = 2, kZeroFill = 0;
    int swizzle = request.swizzle == 128 ? 3 : request.swizzle == 64 ? 2 : request.swizzle == 32 ? 1 : 0;
    cuda::Result code = driver_.tensor_map_tiled(
        out, tensor_map_dtype(request.dtype), static_cast<uint32_t>(request.rank),
        reinterpret_cast<void*>(request.base), request.dims.data(), request.strides.data(),
        request.box.data(), kElementStrides, kNoInterleave, swizzle, kL2Promotion128, kZeroFill);
    if (code == cuda::kSuccess) return {};
    return driver_.error(
        code, fmt::format("encoding a tensor map (rank {}, dims {}, strides {} B, box {}, base {:#x})",
                          request.rank, fmt::join(request.dims, " "), fmt::join(request.strides, " "),
                          fmt::join(request.box, " "), request.base));
  }

  Result<StreamHandle> create_stream() override {
    ContextScope scope(*context_);
    cuda::Stream stream = nullptr;
    cuda::Result code = driver_.stream_create(&stream, cuda::kStreamNonBlocking);
    if (code != cuda::kSuccess) return driver_.error(code, "creating a stream");
    return static_cast<StreamHandle>(stream);
  }

  void destroy_stream(StreamHandle stream) override {
    ContextScope scope(*context_);
    driver_.stream_destroy(static_cast<cuda::Stream>(stream));
  }

  Status synchronize(StreamHandle stream) override {
    ContextScope scope(*context_);
    return check(driver_.stream_synchronize(static_cast<cuda::Stream>(stream)), "waiting for a stream");
  }

  Result<std::unique_ptr<Graph>> capture(const std::function<Status(StreamHandle)>& record) override {
    ContextScope scope(*context_);
    auto stream = create_stream();
    if (!stream) return stream.error();
    auto result = capture_on(static_cast<cuda::Stream>(*stream), record);
    destroy_stream(*stream);
    return result;
  }

  Result<double> elapsed_ms(StreamHandle stream, const std::function<Status(StreamHandle)>& work) override {
    ContextScope scope(*context_);
    cuda::Event events[2] = {nullptr, nullptr};
    cuda::Result code = driver_.event_create(&events[0], 0);
    if (code == cuda::kSuccess) code = driver_.event_create(&events[1], 0);
    auto cuda_stream = static_cast<cuda::Stream>(stream);
    if (code == cuda::kSuccess) code = driver_.event_record(events[0], cuda_stream);
    Status done;
    if (code == cuda::kSuccess) done = work(stream);
    float milliseconds = 0;
    if (code == cuda::kSuccess && done) {
      code = driver_.event_record(events[1], cuda_stream);
      if (code == cuda::kSuccess) code = driver_.event_synchronize(events[1]);
      if (code == cuda::kSuccess) code = driver_.event_elapsed(&milliseconds, events[0], events[1]);
    }
    for (cuda::Event event : events) {
      if (event != nullptr) driver_.event_destroy(event);
    }
    if (!done) return done.error();
    if (code != cuda::kSuccess) return driver_.error(code, "timing work on a stream");
    return static_cast<double>(milliseconds);
  }

  Status make_current() override {
    return check(driver_.context_set_current(context_->handle()), "making the device current");
  }

  bool is_capturing(StreamHandle stream) const override {
    ContextScope scope(*context_);
    int status = cuda::kCaptureStatusNone;
    // The legacy stream answers with an error while any other stream is capturing.
    cuda::Result code = driver_.stream_is_capturing(static_cast<cuda::Stream>(stream), &status);
    return code != cuda::kSuccess || status != cuda::kCaptureStatusNone;
  }

  Status check_address(DevicePtr address) const override {
    ContextScope scope(*context_);
    unsigned type = 0;
    cuda::Result code = driver_.pointer_attribute(&type, cuda::kPointerMemoryType, address);
    if (code == cuda::kInvalidValue) {
      if (reaches_pageable_memory_) return {};
      return make_error(ErrorCode::invalid_argument,
                        "pointer {:#x} is no memory that the CUDA driver knows; allocate it on GPU {}",
                        address, info_.ordinal);
    }
    if (code != cuda::kSuccess || type != cuda::kMemoryTypeDevice)
      return {};  // page-locked host memory is reached
    int managed = 0, ordinal = info_.ordinal;
    driver_.pointer_attribute(&managed, cuda::kPointerIsManaged, address);
    if (managed != 0) return {};
    code = driver_.pointer_attribute(&ordinal, cuda::kPointerDeviceOrdinal, address);
    if (code != cuda::kSuccess || ordinal == info_.ordinal) return {};
    return make_error(ErrorCode::invalid_argument,
                      "pointer {:#x} is memory of GPU {}, this kernel runs on GPU {}", address, ordinal,
                      info_.ordinal);
  }

 private:
  Status check(cuda::Result code, const char* doing) const {
    if (code == cuda::kSuccess) return {};
    return driver_.error(code, doing);
  }

  Result<std::unique_ptr<Graph>> capture_on(cuda::Stream stream,
                                            const std::function<Status(StreamHandle)>& record) {
    // Thread-local: other threads of the program may allocate while this one records.
    cuda::Result code = driver_.capture_begin(stream, cuda::kCaptureThreadLocal);
    if (code != cuda::kSuccess) return driver_.error(code, "beginning a capture");
    Status recorded = record(stream);
    cuda::Graph graph = nullptr;
    code = driver_.capture_end(stream, &graph);
    cuda::GraphExec exec = nullptr;
    if (code == cuda::kSuccess && recorded) code = driver_.graph_instantiate(&exec, graph, 0);
    if (graph != nullptr) driver_.graph_destroy(graph);
    if (!recorded) return recorded.error();
    if (code != cuda::kSuccess) return driver_.error(code, "capturing a graph");
    return std::unique_ptr<Graph>(std::make_unique<CudaGraph>(context_, exec));
  }

  ContextPtr context_;
  const cuda::Driver& driver_;
  DeviceInfo info_;
  bool reaches_pageable_memory_ = false;  // kernels read and write what malloc() gave
};

}  // namespace

Result<int> cuda_device_count() {
  auto driver = cuda::Driver::open();
  if (!driver) return driver.error();
  int count = 0;
  cuda::Result code = (*driver)->device_count(&count);
  if (code != cuda::kSuccess && code != cuda::kNoDevice)
    return (*driver)->opening_error(code, "counting GPUs");
  return count;
}

Result<std::unique_ptr<Device>> open_cuda_device(std::shared_ptr<const cuda::Driver> driver, int ordinal) {
  auto info = read_device_info(*driver, ordinal);
  if (!info) return info.error();
  auto context = PrimaryContext::retain(driver, ordinal);
  if (!context) return context.error();
  return std::unique_ptr<Device>(std::make_unique<CudaDevice>(std::move(*context), std::move(*info)));
}

Result<std::unique_ptr<Device>> open_cuda_device(int ordinal) {
  auto driver = cuda::Driver::open();
  if (!driver) return driver.error();
  return open_cuda_device(std::move(*driver), ordinal);
}

}  // namespace rtjit
