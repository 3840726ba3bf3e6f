// For tests and small programs: run a CUDA source or a PTX text on the CPU in a few lines.
//
//   Emulator emulator("sm_90a");
//   emulator.compile("extern \"C\" __global__ void twice(int* x) { x[threadIdx.x] *= 2; }");
//   auto x = emulator.buffer<int>({1, 2, 3});
//   emulator.run("twice", 1, 3, 0, x);
//   emulator.read(x);  // {2, 4, 6}
//
// The first failure is kept: later calls do nothing, and `status()` tells what happened.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "emulator/emulated_device.h"

namespace rtjit {

template <class T>
struct EmulatorBuffer {
  DevicePtr address = 0;
  size_t count = 0;
};

class Emulator {
 public:
  struct Dim {
    uint32_t x = 1, y = 1, z = 1;
    Dim(int width, int height = 1, int depth = 1)  // NOLINT: implicit on purpose
        : x(static_cast<uint32_t>(width)),
          y(static_cast<uint32_t>(height)),
          z(static_cast<uint32_t>(depth)) {}
  };

  explicit Emulator(std::string_view target, const EmulatorOptions& options = {});

  // NVRTC for this emulator's target; `options` are added to it. Kernels must be extern "C" to be named
  // plainly.
  Emulator& compile(const std::string& source, std::vector<std::string> options = {});
  Emulator& load(const std::string& ptx);

  template <class T>
  EmulatorBuffer<T> buffer(const std::vector<T>& values) {
    EmulatorBuffer<T> b{allocate(values.size() * sizeof(T)), values.size()};
    write(b.address, values.data(), values.size() * sizeof(T));
    return b;
  }
  // Not initialised: reading it in a kernel before writing is an error.
  template <class T>
  EmulatorBuffer<T> empty(size_t count) {
    return {allocate(count * sizeof(T)), count};
  }
  template <class T>
  std::vector<T> read(const EmulatorBuffer<T>& buffer_to_read) {
    std::vector<T> values(buffer_to_read.count);
    fetch(values.data(), buffer_to_read.address, values.size() * sizeof(T));
    return values;
  }

  // Arguments: buffers, and plain values of the parameter's type.
  template <class... Args>
  Status run(const std::string& kernel, Dim grid, Dim block, uint32_t shared, const Args&... arguments) {
    std::array<Argument, sizeof...(Args) + 1> values{argument(arguments)...};
    return launch(kernel, grid, block, shared, values.data(), sizeof...(Args));
  }

  // Clusters of that many blocks for the launches that follow.
  Emulator& cluster(Dim blocks) {
    cluster_ = blocks;
    return *this;
  }

  const Status& status() const { return status_; }
  EmulatedDevice& device() { return *device_; }
  const std::string& ptx() const { return ptx_; }

 private:
  struct Argument {
    alignas(64) unsigned char bytes[256];
  };
  template <class T>
  static Argument argument(const T& value) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(Argument));
    Argument a{};
    __builtin_memcpy(a.bytes, &value, sizeof(T));
    return a;
  }
  template <class T>
  static Argument argument(const EmulatorBuffer<T>& b) {
    return argument(b.address);
  }
  DevicePtr allocate(size_t bytes);
  void write(DevicePtr target, const void* source, size_t bytes);
  void fetch(void* target, DevicePtr source, size_t bytes);
  Status launch(const std::string& kernel, Dim grid, Dim block, uint32_t shared, Argument* arguments,
                size_t count);
  void keep(const Status& status);

  Dim cluster_ = 1;
  std::string target_, ptx_;
  Status status_;
  std::unique_ptr<EmulatedDevice> device_;
  std::vector<std::unique_ptr<Module>> modules_;
};

}  // namespace rtjit
