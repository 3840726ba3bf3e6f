// A launch with everything decided but the stream and, if the caller likes, the addresses: shapes were
// checked, formulas evaluated, tensor maps encoded. What remains is to call the driver.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/device.h"

namespace rtjit {

class Context;
class Pipeline;

// The value of a kernel's parameter, whatever its type.
union KernelValue {
  DevicePtr pointer;
  int32_t i32;
  int64_t i64;
  float f32;
};

// Launches whose parameters lie in `values` and `maps`. Made by Pipeline::freeze.
struct FrozenParts {
  // A parameter that is the address of the caller's argument `argument` (an index into Template::arguments).
  struct Patch {
    size_t parameter = 0;  // of all launches
    int argument = -1;
  };
  // A tensor map over the caller's argument.
  struct MapPatch {
    size_t map = 0;
    int argument = -1;
    TensorMapRequest request;
  };
  std::vector<PreparedLaunch> launches;
  std::vector<KernelValue> values;
  std::vector<TensorMapBytes> maps;
  std::vector<int>
      map_of;  // per parameter of all launches: an index into `maps`, or -1 for the next of `values`
  std::vector<Patch> patches;
  std::vector<MapPatch> map_patches;
};

// Thread-safe; launches neither allocate, lock, wait nor look at anything but their own memory.
class FrozenLaunch {
 public:
  // Parameters and maps that launch() with addresses has on the stack; freeze() refuses more.
  static constexpr size_t kMaxValues = 512, kMaxMaps = 16;

  // One argument as the caller passed it, in the caller's order.
  struct Input {
    std::string name;
    int argument = -1;
    int64_t align = 1;
    DevicePtr data = 0;
  };
  FrozenLaunch(std::shared_ptr<const Context> context, std::shared_ptr<const Pipeline> pipeline,
               Device& device, FrozenParts parts, std::vector<Input> inputs);
  FrozenLaunch(const FrozenLaunch&) = delete;
  FrozenLaunch& operator=(const FrozenLaunch&) = delete;

  // HOT. With the addresses it was frozen with.
  Status launch(StreamHandle stream) const;
  // HOT. With other addresses, one per argument in the order in which freeze() got them; shapes, types,
  // strides, workspace and weights stay. An argument that was null must stay null, and the other way round.
  Status launch(std::span<const DevicePtr> data, StreamHandle stream) const;

  size_t launch_count() const { return parts_.launches.size(); }

 private:
  // What other addresses must be like, per input.
  struct Rule {
    DevicePtr misaligned = 0;  // bits that must be zero
    bool given = false;
  };
  // The parameter is the address of the input.
  struct AddressPatch {
    uint32_t parameter = 0, input = 0;
  };
  struct TensorMapPatch {
    size_t input = 0;
    TensorMapRequest request;
    std::vector<size_t> parameters;
  };
  bool fits(std::span<const DevicePtr> data) const;
  // Why it does not.
  Error refusal(std::span<const DevicePtr> data) const;

  std::shared_ptr<const Context> context_;    // keeps the device
  std::shared_ptr<const Pipeline> pipeline_;  // keeps the kernels loaded
  Device& device_;
  std::unique_ptr<const LaunchSequence> sequence_;
  std::vector<void*> arguments_;  // one pointer per parameter, into parts_
  std::vector<Rule> rules_;
  std::vector<AddressPatch> patches_;
  std::vector<TensorMapPatch> map_patches_;
  FrozenParts parts_;
  std::vector<Input> inputs_;
};

}  // namespace rtjit
