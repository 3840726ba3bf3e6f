#include "runtime/nvml.h"

#include <dlfcn.h>

#include "base/environment.h"

namespace rtjit {
namespace {

constexpr int kSuccess = 0;
constexpr int kClockSm = 1;  // NVML_CLOCK_SM
// nvmlClocksEventReason*: hardware slowdown, software and hardware thermal slowdown, power brake. Not the
// power cap, which a kernel reaches by what it does.
constexpr unsigned long long kSlowed = 0x08 | 0x20 | 0x40 | 0x80;

}  // namespace

struct NvmlDevice::Functions {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*by_pci)(const char*, void**) = nullptr;
  int (*clock)(void*, int, unsigned*) = nullptr;
  int (*power_limit)(void*, unsigned*) = nullptr;        // milliwatts; may be missing
  int (*reasons)(void*, unsigned long long*) = nullptr;  // may be missing
};

Result<std::shared_ptr<const NvmlDevice>> NvmlDevice::open(const std::string& pci_bus_id) {
  if (pci_bus_id.empty()) return make_error(ErrorCode::unavailable, "the device has no PCI address");
  const std::string file = environment("RTJIT_NVML");
  // Never unloaded: it is shared with whatever else of the process asks it.
  void* library =
      ::dlopen(file.empty() ? "libnvidia-ml.so.1" : file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr)
    return make_error(ErrorCode::unavailable, "NVML could not be opened: {}", ::dlerror());
  auto functions = std::make_unique<Functions>();
  auto find = [&](const char* name, auto* function) {
    *function = reinterpret_cast<std::remove_pointer_t<decltype(function)>>(::dlsym(library, name));
    return *function != nullptr;
  };
  if (!find("nvmlInit_v2", &functions->init) || !find("nvmlShutdown", &functions->shutdown) ||
      !find("nvmlDeviceGetHandleByPciBusId_v2", &functions->by_pci) ||
      !find("nvmlDeviceGetClockInfo", &functions->clock)) {
    return make_error(ErrorCode::unavailable, "NVML is too old: it lacks a function");
  }
  find("nvmlDeviceGetEnforcedPowerLimit", &functions->power_limit);
  if (!find("nvmlDeviceGetCurrentClocksEventReasons", &functions->reasons))
    find("nvmlDeviceGetCurrentClocksThrottleReasons", &functions->reasons);  // its name before CUDA 12.2
  if (int code = functions->init(); code != kSuccess)
    return make_error(ErrorCode::unavailable, "NVML does not start: error {}", code);
  std::shared_ptr<NvmlDevice> device(new NvmlDevice);
  device->functions_ = std::move(functions);
  if (int code = device->functions_->by_pci(pci_bus_id.c_str(), &device->handle_); code != kSuccess)
    return make_error(ErrorCode::unavailable, "NVML does not know the device {}: error {}", pci_bus_id, code);
  return std::shared_ptr<const NvmlDevice>(std::move(device));
}

NvmlDevice::~NvmlDevice() { functions_->shutdown(); }

GpuClocks NvmlDevice::clocks() const {
  GpuClocks clocks;
  unsigned mhz = 0;
  if (functions_->clock(handle_, kClockSm, &mhz) == kSuccess) clocks.sm_mhz = static_cast<int>(mhz);
  unsigned long long reasons = 0;
  if (functions_->reasons != nullptr && functions_->reasons(handle_, &reasons) == kSuccess)
    clocks.slowed = (reasons & kSlowed) != 0;
  return clocks;
}

int NvmlDevice::power_limit_watts() const {
  unsigned milliwatts = 0;
  if (functions_->power_limit == nullptr || functions_->power_limit(handle_, &milliwatts) != kSuccess)
    return 0;
  return static_cast<int>((milliwatts + 500) / 1000);
}

}  // namespace rtjit
