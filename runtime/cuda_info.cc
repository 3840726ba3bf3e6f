// Who a device is: the driver's attributes, and the target whose code it runs.
#include <algorithm>
#include <fstream>

#include "base/text.h"
#include "runtime/cuda_device.h"

namespace rtjit {
namespace {

// The kernel module's version, "580.95.05"; "" where /proc does not show it (containers, WSL).
std::string kernel_module_version() {
  std::ifstream file("/proc/driver/nvidia/version");
  std::string word;
  while (file >> word) {
    bool digits = word.find_first_not_of("0123456789.") == std::string::npos;
    if (digits && std::count(word.begin(), word.end(), '.') >= 1) return word;
  }
  return {};
}

// "" where the driver does not tell: only the clocks cannot be watched then.
std::string pci_bus_id(const cuda::Driver& driver, cuda::Device device) {
  int domain = 0, bus = 0, slot = 0;
  if (driver.device_attribute(&domain, cuda::kPciDomainId, device) != cuda::kSuccess ||
      driver.device_attribute(&bus, cuda::kPciBusId, device) != cuda::kSuccess ||
      driver.device_attribute(&slot, cuda::kPciDeviceId, device) != cuda::kSuccess) {
    return "";
  }
  return fmt::format("{:04x}:{:02x}:{:02x}.0", domain, bus, slot);
}

}  // namespace

Result<Target> target_for_capability(int major, int minor) {
  int cc = major * 10 + minor;
  auto suffixed = Target::parse(fmt::format("sm_{}a", cc));
  if (suffixed) return suffixed;
  auto plain = Target::parse(fmt::format("sm_{}", cc));
  if (plain) return plain;
  // Code without a suffix runs on every later device of its major version.
  const Target* best = nullptr;
  for (const Target& target : Target::all()) {
    if (target.suffix() == 0 && target.cc() / 10 == major && target.cc() < cc) best = &target;
  }
  if (best != nullptr) return *best;
  return make_error(ErrorCode::unsupported, "compute capability {}.{} is not supported: {}", major, minor,
                    plain.error().message);
}

std::vector<std::string> compare_limits(const TargetLimits& table, const TargetLimits& device,
                                        const std::string& target) {
  std::vector<std::string> result;
  auto compare = [&](const char* what, int64_t expected, int64_t actual) {
    if (expected == actual) return;
    result.push_back(fmt::format("{}: the device reports {}, the table says {} for {}; the device's is used",
                                 what, with_thousands(actual), with_thousands(expected), target));
  };
  compare("shared memory per block (opt-in)", table.smem_per_block, device.smem_per_block);
  compare("shared memory per SM", table.smem_per_sm, device.smem_per_sm);
  compare("threads per SM", table.threads_per_sm, device.threads_per_sm);
  compare("blocks per SM", table.blocks_per_sm, device.blocks_per_sm);
  compare("threads per block", table.threads_per_block, device.threads_per_block);
  compare("registers per SM", table.registers_per_sm, device.registers_per_sm);
  compare("registers per block", table.registers_per_block, device.registers_per_block);
  return result;
}

Result<DeviceInfo> read_device_info(const cuda::Driver& driver, int ordinal) {
  int count = 0;
  if (cuda::Result code = driver.device_count(&count); code != cuda::kSuccess && code != cuda::kNoDevice) {
    return driver.opening_error(code, "counting GPUs");
  }
  if (count == 0) {
    return make_error(
        ErrorCode::no_gpu,
        "the CUDA driver sees no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES (in a container: --gpus "
        "all)");
  }
  if (ordinal < 0 || ordinal >= count) {
    return make_error(ErrorCode::invalid_argument, "device {}: there are {} GPUs, ordinals 0 to {}", ordinal,
                      count, count - 1);
  }
  cuda::Device device = 0;
  if (cuda::Result code = driver.device_get(&device, ordinal); code != cuda::kSuccess) {
    return driver.error(code, fmt::format("device {}", ordinal));
  }
  cuda::Result failed = cuda::kSuccess;
  auto attribute = [&](cuda::Attribute which) {
    int value = 0;
    cuda::Result code = driver.device_attribute(&value, which, device);
    if (code != cuda::kSuccess) failed = code;
    return value;
  };
  DeviceInfo info;
  info.ordinal = ordinal;
  char name[256] = {};
  failed = driver.device_name(name, sizeof name, device);
  info.name = name;
  size_t memory = 0;
  if (cuda::Result code = driver.device_total_memory(&memory, device); code != cuda::kSuccess) failed = code;
  info.total_memory = static_cast<int64_t>(memory);
  int major = attribute(cuda::kMajor), minor = attribute(cuda::kMinor);
  info.sm_count = attribute(cuda::kSmCount);
  info.l2_bytes = attribute(cuda::kL2Bytes);
  info.memory_bus_bits = attribute(cuda::kMemoryBusBits);
  info.memory_clock_khz = attribute(cuda::kMemoryClockKhz);
  info.sm_clock_khz = attribute(cuda::kClockKhz);
  TargetLimits limits;
  limits.smem_per_block = attribute(cuda::kSmemPerBlockOptin);
  limits.smem_per_sm = attribute(cuda::kSmemPerSm);
  limits.smem_reserved_per_block = attribute(cuda::kReservedSmemPerBlock);
  limits.threads_per_sm = attribute(cuda::kMaxThreadsPerSm);
  limits.blocks_per_sm = attribute(cuda::kBlocksPerSm);
  limits.threads_per_block = attribute(cuda::kMaxThreadsPerBlock);
  limits.registers_per_sm = attribute(cuda::kRegistersPerSm);
  limits.registers_per_block = attribute(cuda::kMaxRegistersPerBlock);
  bool clusters = attribute(cuda::kClusterLaunch) != 0;
  info.pci_bus_id = pci_bus_id(driver, device);
  if (failed != cuda::kSuccess)
    return driver.error(failed, fmt::format("reading the attributes of device {}", ordinal));

  auto target = target_for_capability(major, minor);
  if (!target) return target.error().with_context(fmt::format("device {} ({})", ordinal, info.name));
  info.target = *target;
  const TargetLimits& table = info.target.limits();
  limits.registers_per_thread = table.registers_per_thread;  // the driver has no attribute for these
  limits.register_unit_per_warp = table.register_unit_per_warp;
  limits.max_cluster = clusters ? table.max_cluster : 0;
  info.limits = limits;
  info.disagreements = compare_limits(table, limits, info.target.name());
  if (info.target.cc() != major * 10 + minor) {
    info.disagreements.push_back(
        fmt::format("compute capability {}.{} is not in the table; code for {} is used", major, minor,
                    info.target.name()));
  }

  int version = 0;
  driver.driver_version(&version);
  std::string module = kernel_module_version();
  info.driver_version = fmt::format("{}.{}", version / 1000, version % 1000 / 10);
  if (!module.empty()) info.driver_version += fmt::format(" ({})", module);
  return info;
}

}  // namespace rtjit
