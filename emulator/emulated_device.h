// The runtime's Device without a GPU: kernels run as PTX on the CPU, and every wrong access is an error.
#pragma once

#include <memory>
#include <string>

#include "emulator/block.h"
#include "emulator/tensor_map.h"
#include "runtime/device.h"

namespace rtjit {

struct EmulatorOptions {
  uint64_t memory_bytes = uint64_t(16)
                          << 30;  // what allocate() hands out at most; pages are taken when touched
  int host_threads = 0;           // 0: one per core
  emu::Strictness strictness;
};

struct EmulatorStatistics {
  uint64_t warp_steps = 0, lane_instructions = 0;
  double seconds = 0;
};

// Launches run to their end before launch() returns. A fault is returned by launch(), and once more by the
// next synchronize(); after that the device works again (a real GPU's context would be lost). Thread-safe.
class EmulatedDevice : public Device {
 public:
  // Loads PTX that did not come from the compiler: any text that nvcc, NVRTC or another compiler emitted.
  virtual Result<std::unique_ptr<Module>> load_ptx(const std::string& ptx) = 0;
  // How many arguments a kernel of this device takes; launch() reads that many.
  virtual size_t parameter_count(const Kernel& kernel) const = 0;
  virtual EmulatorStatistics statistics() const = 0;
  // A tensor map for im2col copies, for this device alone; tile maps are the Device's encode_tensor_map.
  virtual Status encode_im2col_map(const Im2colMapRequest& request, TensorMapBytes* out) const = 0;
};

Result<std::unique_ptr<EmulatedDevice>> make_emulated_device_with(const Target& target,
                                                                  const EmulatorOptions& options);
Result<std::unique_ptr<Device>> make_emulated_device(const Target& target);

}  // namespace rtjit
