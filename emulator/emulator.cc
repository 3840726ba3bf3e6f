#include "emulator/emulator.h"

#include "compiler/nvrtc.h"

namespace rtjit {

Emulator::Emulator(std::string_view target, const EmulatorOptions& options) : target_(target) {
  Result<Target> parsed = Target::parse(target);
  if (!parsed.ok()) {
    status_ = parsed.error();
    return;
  }
  Result<std::unique_ptr<EmulatedDevice>> device = make_emulated_device_with(*parsed, options);
  if (device.ok())
    device_ = std::move(*device);
  else
    status_ = device.error();
}

void Emulator::keep(const Status& status) {
  if (status_.ok()) status_ = status;
}

Emulator& Emulator::compile(const std::string& source, std::vector<std::string> options) {
  if (!status_.ok()) return *this;
  Result<std::shared_ptr<const Nvrtc>> nvrtc = Nvrtc::open();
  if (!nvrtc.ok()) return keep(nvrtc.error()), *this;
  NvrtcInput input;
  input.source = source;
  input.name = "emulated.cu";
  input.options = {"-arch=" + target_, "-std=c++17", "-default-device"};
  input.options.insert(input.options.end(), options.begin(), options.end());
  Result<NvrtcOutput> output = (*nvrtc)->compile(input);
  if (!output.ok()) return keep(output.error()), *this;
  if (!output->ok) return keep(Error{ErrorCode::compile_failed, output->log}), *this;
  return load(output->ptx);
}

Emulator& Emulator::load(const std::string& ptx) {
  if (!status_.ok()) return *this;
  ptx_ = ptx;
  Result<std::unique_ptr<Module>> module = device_->load_ptx(ptx);
  if (module.ok())
    modules_.push_back(std::move(*module));
  else
    keep(module.error());
  return *this;
}

DevicePtr Emulator::allocate(size_t bytes) {
  if (!status_.ok()) return 0;
  Result<DevicePtr> address = device_->allocate(bytes);
  if (address.ok()) return *address;
  keep(address.error());
  return 0;
}

void Emulator::write(DevicePtr target, const void* source, size_t bytes) {
  if (status_.ok()) keep(device_->copy_to_device(target, source, bytes));
}

void Emulator::fetch(void* target, DevicePtr source, size_t bytes) {
  if (status_.ok()) keep(device_->copy_to_host(target, source, bytes));
}

Status Emulator::launch(const std::string& kernel, Dim grid, Dim block, uint32_t shared, Argument* arguments,
                        size_t count) {
  if (!status_.ok()) return status_;
  Result<const Kernel*> found = Error{ErrorCode::not_found, "no module is loaded"};
  for (const auto& module : modules_) {
    found = module->kernel(kernel);
    if (found.ok() || found.error().code != ErrorCode::not_found) break;
  }
  if (!found.ok()) return keep(found.error()), status_;
  if (size_t wanted = device_->parameter_count(**found); wanted != count) {
    keep(make_error(ErrorCode::invalid_argument, "kernel '{}' takes {} arguments, {} were given", kernel,
                    wanted, count));
    return status_;
  }
  std::vector<void*> pointers;
  for (size_t i = 0; i < count; ++i) pointers.push_back(arguments[i].bytes);
  LaunchConfig config;
  config.grid = {grid.x, grid.y, grid.z};
  config.block = {block.x, block.y, block.z};
  config.cluster = {cluster_.x, cluster_.y, cluster_.z};
  config.dynamic_smem = shared;
  keep(device_->launch(**found, config, pointers.data(), nullptr));
  return status_;
}

}  // namespace rtjit
