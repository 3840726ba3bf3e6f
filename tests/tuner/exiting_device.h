// A device whose process ends when a certain kernel is launched; everything else is another device's doing.
#pragma once

#include <unistd.h>

#include <map>
#include <memory>
#include <string>

#include "runtime/device.h"

namespace rtjit::test {

class ExitingDevice : public Device {
 public:
  // `kernel`: part of the name of the kernel that ends the process with status 7.
  ExitingDevice(std::unique_ptr<Device> device, std::string kernel)
      : device_(std::move(device)), kernel_(std::move(kernel)) {}

  const DeviceInfo& info() const override { return device_->info(); }
  Result<DevicePtr> allocate(size_t bytes) override { return device_->allocate(bytes); }
  void free(DevicePtr pointer) override { device_->free(pointer); }
  Status copy_to_device(DevicePtr target, const void* source, size_t bytes) override {
    return device_->copy_to_device(target, source, bytes);
  }
  Status copy_to_host(void* target, DevicePtr source, size_t bytes) override {
    return device_->copy_to_host(target, source, bytes);
  }
  Status fill(DevicePtr target, uint8_t byte, size_t bytes, StreamHandle stream) override {
    return device_->fill(target, byte, bytes, stream);
  }
  Result<std::unique_ptr<Module>> load(const Binary& binary) override {
    auto module = device_->load(binary);
    if (!module) return module;
    for (const Binary::Kernel& entry : binary.kernels) {
      if (entry.name_expression.find(kernel_) == std::string::npos) continue;
      if (auto found = (*module)->kernel(entry.symbol)) deadly_[*found] = true;
    }
    return module;
  }
  Status prepare(const Kernel& kernel, int64_t dynamic_smem) override {
    return device_->prepare(kernel, dynamic_smem);
  }
  Status launch(const Kernel& kernel, const LaunchConfig& config, void** arguments,
                StreamHandle stream) override {
    if (deadly_.contains(&kernel)) ::_exit(7);
    return device_->launch(kernel, config, arguments, stream);
  }
  Status encode_tensor_map(const TensorMapRequest& request, TensorMapBytes* out) const override {
    return device_->encode_tensor_map(request, out);
  }
  Result<StreamHandle> create_stream() override { return device_->create_stream(); }
  void destroy_stream(StreamHandle stream) override { device_->destroy_stream(stream); }
  Status synchronize(StreamHandle stream) override { return device_->synchronize(stream); }
  Result<std::unique_ptr<Graph>> capture(const std::function<Status(StreamHandle)>& record) override {
    return device_->capture(record);
  }
  Result<double> elapsed_ms(StreamHandle stream, const std::function<Status(StreamHandle)>& work) override {
    return device_->elapsed_ms(stream, work);
  }
  Status make_current() override { return device_->make_current(); }

 private:
  std::unique_ptr<Device> device_;
  std::string kernel_;
  std::map<const Kernel*, bool> deadly_;
};

}  // namespace rtjit::test
