// The GPU's clocks and power limit as NVML tells them. The library is opened at run time where it is;
// everything works without it.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace rtjit {

struct GpuClocks {
  int sm_mhz = 0;       // 0: not known
  bool slowed = false;  // slowed down by heat or by a power brake, which is no property of the work
};

// One GPU. Thread-safe as NVML is.
class NvmlDevice {
 public:
  // By PCI address, as CUDA's order of devices is not NVML's. ErrorCode::unavailable where there is no NVML
  // (RTJIT_NVML names the file, else libnvidia-ml.so.1), or it does not know the device.
  static Result<std::shared_ptr<const NvmlDevice>> open(const std::string& pci_bus_id);
  ~NvmlDevice();

  GpuClocks clocks() const;
  int power_limit_watts() const;  // what is enforced now; 0: not known

 private:
  struct Functions;
  NvmlDevice() = default;
  std::unique_ptr<Functions> functions_;
  void* handle_ = nullptr;
};

}  // namespace rtjit
