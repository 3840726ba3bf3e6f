#include "runtime/frozen_launch.h"

#include <array>
#include <cstring>

#include "runtime/context.h"
#include "runtime/launcher.h"

namespace rtjit {

FrozenLaunch::FrozenLaunch(std::shared_ptr<const Context> context, std::shared_ptr<const Pipeline> pipeline,
                           Device& device, FrozenParts parts, std::vector<Input> inputs)
    : context_(std::move(context)),
      pipeline_(std::move(pipeline)),
      device_(device),
      parts_(std::move(parts)),
      inputs_(std::move(inputs)) {
  const auto input_of = [&](int argument) {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (inputs_[i].argument == argument) return static_cast<int>(i);
    }
    return -1;  // an optional argument that was left out: its address stays null
  };
  for (const FrozenParts::Patch& patch : parts_.patches) input_of_.push_back(input_of(patch.argument));
  for (const FrozenParts::MapPatch& patch : parts_.map_patches) input_of_.push_back(input_of(patch.argument));
  size_t value = 0;
  for (int map : parts_.map_of) {
    arguments_.push_back(map < 0 ? static_cast<void*>(&parts_.values[value++])
                                 : static_cast<void*>(&parts_.maps[static_cast<size_t>(map)]));
  }
}

Status FrozenLaunch::launch(StreamHandle stream) const {
  // The driver takes pointers to non-const but only reads.
  return device_.launch_all(parts_.launches, const_cast<void**>(arguments_.data()), stream);
}

Status FrozenLaunch::check(std::span<const DevicePtr> data) const {
  if (data.size() != inputs_.size()) {
    return make_error(ErrorCode::invalid_argument,
                      "count: {} addresses, this launch was frozen with {} arguments", data.size(),
                      inputs_.size());
  }
  for (size_t i = 0; i < data.size(); ++i) {
    const Input& input = inputs_[i];
    if ((data[i] == 0) != (input.data == 0)) {
      return make_error(ErrorCode::invalid_argument,
                        "{}: {}; freeze again for other shapes or optional arguments", input.name,
                        data[i] == 0 ? "null, but it was given when the launch was frozen"
                                     : "given, but it was null when the launch was frozen");
    }
    if (data[i] % static_cast<DevicePtr>(input.align) != 0) {
      return make_error(ErrorCode::invalid_argument, "{}: pointer {:#x}, must be aligned to {} bytes",
                        input.name, data[i], input.align);
    }
  }
  return {};
}

Status FrozenLaunch::launch(std::span<const DevicePtr> data, StreamHandle stream) const {
  if (Status status = check(data); !status) return status;
  // Not initialised: only what the launches have is written, and read.
  KernelValue values[kMaxValues];
  alignas(TensorMapBytes) unsigned char map_bytes[kMaxMaps * sizeof(TensorMapBytes)];
  auto* maps = reinterpret_cast<TensorMapBytes*>(map_bytes);
  void* arguments[kMaxValues];
  if (!parts_.values.empty())
    std::memcpy(values, parts_.values.data(), parts_.values.size() * sizeof(KernelValue));
  if (!parts_.maps.empty())
    std::memcpy(map_bytes, parts_.maps.data(), parts_.maps.size() * sizeof(TensorMapBytes));
  size_t patch = 0;
  for (const FrozenParts::Patch& where : parts_.patches) {
    const int input = input_of_[patch++];
    if (input >= 0) values[where.value].pointer = data[static_cast<size_t>(input)];
  }
  for (const FrozenParts::MapPatch& where : parts_.map_patches) {
    const int input = input_of_[patch++];
    if (input < 0 || data[static_cast<size_t>(input)] == inputs_[static_cast<size_t>(input)].data) continue;
    TensorMapRequest request = where.request;
    request.base = data[static_cast<size_t>(input)];
    if (Status status = device_.encode_tensor_map(request, &maps[where.map]); !status) return status;
  }
  size_t value = 0, parameter = 0;
  for (int map : parts_.map_of) {
    arguments[parameter++] = map < 0 ? static_cast<void*>(&values[value++]) : static_cast<void*>(&maps[map]);
  }
  return device_.launch_all(parts_.launches, arguments, stream);
}

}  // namespace rtjit
