// What the library needs of a GPU. Implemented by the CUDA driver (runtime/cuda_device.h) and by the
// emulator.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "compiler/compile.h"
#include "compiler/target.h"

namespace rtjit {

using DevicePtr = uint64_t;  // CUdeviceptr
using StreamHandle = void*;  // CUstream; nullptr = the default stream

struct DeviceInfo {
  Target target;
  TargetLimits limits;  // as the driver reports them (the emulator: the table's)
  std::string name;     // "NVIDIA H200"
  int ordinal = 0;
  int sm_count = 0;
  int64_t l2_bytes = 0, total_memory = 0;
  int memory_bus_bits = 0, memory_clock_khz = 0, sm_clock_khz = 0;
  std::string pci_bus_id;      // "0000:1b:00.0"; "" where there is none
  std::string driver_version;  // "13.0 (580.159.04)" or "emulator"
  bool emulated = false;
  std::vector<std::string>
      disagreements;  // driver attributes that differ from the built-in table, as sentences
  TargetFacts facts() const;
  // Identity for tuning rows: target, SM count, SMEM, L2, memory bus and clock; not only the marketing name.
  std::string sku_fingerprint() const;
};

// A loaded kernel. Owned by its Module.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual int registers() const = 0;
  virtual int local_bytes() const = 0;
  virtual int max_blocks_per_sm(int threads, int64_t dynamic_smem) const = 0;  // occupancy
};

class Module {
 public:
  virtual ~Module() = default;
  virtual Result<const Kernel*> kernel(const std::string& symbol) const = 0;
};

struct TensorMapRequest {
  DevicePtr base = 0;
  DType dtype = DType::bf16;
  int rank = 0;
  std::array<uint64_t, 5> dims{}, strides{};  // strides in bytes, strides[0] is dim 1's
  std::array<uint32_t, 5> box{};
  int swizzle = 0;  // 0 32 64 128 bytes
};
struct alignas(64) TensorMapBytes {
  unsigned char bytes[128];
};

struct LaunchConfig {
  std::array<uint32_t, 3> grid{1, 1, 1}, block{1, 1, 1}, cluster{1, 1, 1};
  uint32_t dynamic_smem = 0;
  bool pdl = false;
};

// One launch of a sequence. Its parameters are those from `first_argument` on in the sequence's array.
struct PreparedLaunch {
  const Kernel* kernel = nullptr;
  LaunchConfig config;
  size_t first_argument = 0;
};

// Launches that are made again and again, in the form in which the device takes them fastest. Keeps neither
// the device nor the kernels alive. Thread-safe.
class LaunchSequence {
 public:
  virtual ~LaunchSequence() = default;
  // HOT. Each launch, in order, until one fails. `arguments`: those of all launches.
  virtual Status launch(void** arguments, StreamHandle stream) const = 0;
};

// A recorded sequence of launches that can be replayed and timed.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual Status replay(StreamHandle stream) = 0;
};

// Thread-safe where the driver is. Methods marked HOT neither allocate nor lock nor wait.
class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceInfo& info() const = 0;

  virtual Result<DevicePtr> allocate(size_t bytes) = 0;  // 256-byte aligned; contents undefined
  virtual void free(DevicePtr pointer) = 0;
  virtual Status copy_to_device(DevicePtr target, const void* source, size_t bytes) = 0;  // waits
  virtual Status copy_to_host(void* target, DevicePtr source,
                              size_t bytes) = 0;  // waits for the device first
  virtual Status fill(DevicePtr target, uint8_t byte, size_t bytes, StreamHandle stream) = 0;
  // The same, but the memory counts as written by nobody: a device that knows who wrote what reports its
  // reading.
  virtual Status poison(DevicePtr target, uint8_t byte, size_t bytes, StreamHandle stream) {
    return fill(target, byte, bytes, stream);
  }
  // Kernels may only read the allocation that begins at `target` from now on, copies may still change it: a
  // device that sees every access reports a write.
  virtual Status protect(DevicePtr) { return {}; }

  virtual Result<std::unique_ptr<Module>> load(const Binary& binary) = 0;
  // Raises the kernel's dynamic shared memory limit; once, when a handle is opened.
  virtual Status prepare(const Kernel& kernel, int64_t dynamic_smem) = 0;
  // HOT. `arguments`: one pointer per kernel parameter to its value, as cuLaunchKernel takes them.
  virtual Status launch(const Kernel& kernel, const LaunchConfig& config, void** arguments,
                        StreamHandle stream) = 0;
  // Without an own form of the device: one that calls launch().
  virtual std::unique_ptr<const LaunchSequence> sequence(std::span<const PreparedLaunch> launches);
  virtual Status encode_tensor_map(const TensorMapRequest& request, TensorMapBytes* out) const = 0;  // HOT

  virtual Result<StreamHandle> create_stream() = 0;
  virtual void destroy_stream(StreamHandle stream) = 0;
  virtual Status synchronize(StreamHandle stream) = 0;  // reports faults of earlier launches

  // Records what `record` launches on the stream it is given. Devices without graphs replay by calling again.
  virtual Result<std::unique_ptr<Graph>> capture(const std::function<Status(StreamHandle)>& record) = 0;
  // Milliseconds that the device needed for work enqueued by `work` on the stream (events around it).
  virtual Result<double> elapsed_ms(StreamHandle stream, const std::function<Status(StreamHandle)>& work) = 0;

  // Whether what is enqueued on the stream is recorded instead of run.
  virtual bool is_capturing(StreamHandle) const { return false; }
  // ErrorCode::invalid_argument, without the argument's name, when the address is known not to be usable from
  // this device: memory of another GPU, or none that the driver knows. Cheap, but not for every launch.
  virtual Status check_address(DevicePtr) const { return {}; }

  // Makes this device current on the calling thread, where the backend has such a notion.
  virtual Status make_current() = 0;
};

}  // namespace rtjit
