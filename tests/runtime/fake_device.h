// A device without a GPU: host memory for device memory, launches are recorded instead of run.
#pragma once

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "compiler/target.h"
#include "runtime/device.h"

namespace rtjit::testing {

class FakeKernel final : public Kernel {
 public:
  explicit FakeKernel(std::string symbol_name, int register_count)
      : symbol(std::move(symbol_name)), register_count_(register_count) {}
  int registers() const override { return register_count_; }
  int local_bytes() const override { return 0; }
  int max_blocks_per_sm(int, int64_t) const override { return 1; }
  std::string symbol;

 private:
  int register_count_;
};

class FakeModule final : public Module {
 public:
  explicit FakeModule(const Binary& binary, int* live) : live_(live) {
    ++*live_;
    for (const auto& kernel : binary.kernels) {
      kernels_.push_back(std::make_unique<FakeKernel>(kernel.symbol, kernel.resources.registers));
    }
  }
  ~FakeModule() override { --*live_; }
  Result<const Kernel*> kernel(const std::string& symbol) const override {
    for (const auto& kernel : kernels_) {
      if (kernel->symbol == symbol) return static_cast<const Kernel*>(kernel.get());
    }
    return make_error(ErrorCode::not_found, "no kernel {}", symbol);
  }

 private:
  int* live_;
  std::vector<std::unique_ptr<FakeKernel>> kernels_;
};

struct FakeLaunch {
  const FakeKernel* kernel = nullptr;
  LaunchConfig config;
  uint64_t arguments[16] = {};  // as many as the pipeline's argument slots hold; 8 bytes of each
  StreamHandle stream = nullptr;
};

// Never allocates while launching: it has room for `kMaxLaunches`.
class FakeDevice final : public Device {
 public:
  static constexpr size_t kMaxLaunches = 64;
  explicit FakeDevice(const std::string& target = "sm_90a") {
    info_.target = *Target::parse(target);
    info_.limits = info_.target.limits();
    info_.name = "Fake " + target;
    info_.sm_count = 132;
    info_.l2_bytes = 50 << 20;
    info_.memory_bus_bits = 5120;
    info_.memory_clock_khz = 2619000;
    info_.driver_version = "fake";
    launches.reserve(kMaxLaunches);
  }
  ~FakeDevice() override {
    for (void* pointer : memory_) std::free(pointer);
  }

  const DeviceInfo& info() const override { return info_; }
  DeviceInfo& mutable_info() { return info_; }

  Result<DevicePtr> allocate(size_t bytes) override {
    void* pointer = std::aligned_alloc(256, (bytes + 256) / 256 * 256);
    memory_.insert(pointer);
    return reinterpret_cast<DevicePtr>(pointer);
  }
  void free(DevicePtr pointer) override {
    if (memory_.erase(reinterpret_cast<void*>(pointer)) > 0) std::free(reinterpret_cast<void*>(pointer));
  }
  Status copy_to_device(DevicePtr target, const void* source, size_t bytes) override {
    std::memcpy(reinterpret_cast<void*>(target), source, bytes);
    return {};
  }
  Status copy_to_host(void* target, DevicePtr source, size_t bytes) override {
    ++waits;
    std::memcpy(target, reinterpret_cast<void*>(source), bytes);
    return {};
  }
  Status fill(DevicePtr target, uint8_t byte, size_t bytes, StreamHandle) override {
    std::memset(reinterpret_cast<void*>(target), byte, bytes);
    return {};
  }

  Result<std::unique_ptr<Module>> load(const Binary& binary) override {
    ++loads;
    for (const auto& kernel : binary.kernels) {
      if (!refuse_kernel.empty() && kernel.name_expression.find(refuse_kernel) != std::string::npos) {
        return make_error(ErrorCode::unsupported, "the fake refuses {}", kernel.name_expression);
      }
    }
    return std::unique_ptr<Module>(std::make_unique<FakeModule>(binary, &live_modules));
  }
  Status prepare(const Kernel& kernel, int64_t dynamic_smem) override {
    if (dynamic_smem > info_.limits.smem_per_block) {
      return make_error(ErrorCode::unsupported, "shared memory: {} B", dynamic_smem);
    }
    prepared[static_cast<const FakeKernel&>(kernel).symbol] = dynamic_smem;
    return {};
  }
  Status launch(const Kernel& kernel, const LaunchConfig& config, void** arguments,
                StreamHandle stream) override {
    if (fail_launch) return make_error(ErrorCode::device_fault, "the fake faults");
    FakeLaunch record;
    record.kernel = &static_cast<const FakeKernel&>(kernel);
    record.config = config;
    record.stream = stream;
    for (int i = 0; i < arguments_to_record; ++i) std::memcpy(&record.arguments[i], arguments[i], 8);
    if (launches.size() < kMaxLaunches) launches.push_back(record);
    return {};
  }
  // A map of the fake is the address it is over.
  Status encode_tensor_map(const TensorMapRequest& request, TensorMapBytes* map) const override {
    if (request.rank >= 1 && request.base != 0) return std::memcpy(map, &request.base, sizeof request.base), Status();
    return make_error(ErrorCode::invalid_argument, "tensor map: rank {}, base {:#x}", request.rank, request.base);
  }

  Result<StreamHandle> create_stream() override { return StreamHandle(this); }
  void destroy_stream(StreamHandle) override {}
  Status synchronize(StreamHandle) override { return ++waits, Status(); }
  Result<std::unique_ptr<Graph>> capture(const std::function<Status(StreamHandle)>&) override {
    return make_error(ErrorCode::unsupported, "the fake has no graphs");
  }
  Result<double> elapsed_ms(StreamHandle stream, const std::function<Status(StreamHandle)>& work) override {
    if (Status status = work(stream); !status) return status.error();
    return 1.0;
  }
  Status make_current() override { return {}; }
  bool is_capturing(StreamHandle) const override { return capturing; }
  Status check_address(DevicePtr address) const override {
    if (foreign_address == 0 || address != foreign_address) return {};
    return make_error(ErrorCode::invalid_argument, "pointer {:#x} is memory of GPU 1, this kernel runs on GPU 0", address);
  }

  std::vector<FakeLaunch> launches;
  int arguments_to_record = 0;
  int waits = 0, loads = 0, live_modules = 0;
  bool fail_launch = false, capturing = false;
  DevicePtr foreign_address = 0;  // one that check_address() refuses
  std::string refuse_kernel;  // a part of a name expression whose binary does not load
  std::map<std::string, int64_t> prepared;

 private:
  DeviceInfo info_;
  std::set<void*> memory_;
};

}  // namespace rtjit::testing
