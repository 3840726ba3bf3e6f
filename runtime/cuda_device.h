// A GPU through the CUDA driver.
#pragma once

#include <memory>

#include "base/result.h"
#include "runtime/cuda_driver.h"
#include "runtime/device.h"

namespace rtjit {

// How many GPUs the driver offers. The errors are those of cuda::Driver::open.
Result<int> cuda_device_count();

// Device `ordinal` with its primary context, the one that the CUDA runtime and frameworks use. No driver:
// ErrorCode::unavailable; no GPU: no_gpu; one that cannot be used: gpu_bad_state; no such ordinal: invalid_argument; a GPU
// that no known target covers: unsupported. Every
// method makes the context current for its own duration where another one (or none) is, and leaves the
// caller's as it was; only make_current() changes it for good.
Result<std::unique_ptr<Device>> open_cuda_device(int ordinal);
// The same through a given driver.
Result<std::unique_ptr<Device>> open_cuda_device(std::shared_ptr<const cuda::Driver> driver, int ordinal);

// What the driver's attributes say about a device; exposed for the table's check.
Result<DeviceInfo> read_device_info(const cuda::Driver& driver, int ordinal);

// The target whose code a device of this compute capability runs best: sm_90a for 9.0, sm_80 for 8.0. A
// device newer than the table gets the nearest earlier target of its major version, whose code it runs too.
Result<Target> target_for_capability(int major, int minor);

// Where the driver's attributes differ from the built-in table, as sentences.
std::vector<std::string> compare_limits(const TargetLimits& table, const TargetLimits& device,
                                        const std::string& target);

}  // namespace rtjit
