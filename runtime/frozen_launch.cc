#include "runtime/frozen_launch.h"

#include <cstring>

#include "runtime/context.h"
#include "runtime/launcher.h"

namespace rtjit {

FrozenLaunch::FrozenLaunch(std::shared_ptr<const Context> context, std::shared_ptr<const Pipeline> pipeline,
                           Device& device, FrozenParts parts, std::vector<Input> inputs)
    : context_(std::move(context)),
      pipeline_(std::move(pipeline)),
      device_(device),
      sequence_(device.sequence(parts.launches)),
      parts_(std::move(parts)),
      inputs_(std::move(inputs)) {
  for (const Input& input : inputs_) {
    rules_.push_back(
        {static_cast<DevicePtr>(input.align) - 1, input.data != 0});  // alignments are powers of two
  }
  size_t value = 0;
  for (int map : parts_.map_of) {
    arguments_.push_back(map < 0 ? static_cast<void*>(&parts_.values[value++])
                                 : static_cast<void*>(&parts_.maps[static_cast<size_t>(map)]));
  }
  // An optional argument that was left out is no input: its address stays null.
  const auto for_input_of = [&](int argument, auto&& patch) {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (inputs_[i].argument == argument) return patch(i);
    }
  };
  for (const FrozenParts::Patch& from : parts_.patches) {
    for_input_of(from.argument, [&](size_t input) {
      patches_.push_back({static_cast<uint32_t>(from.parameter), static_cast<uint32_t>(input)});
    });
  }
  for (const FrozenParts::MapPatch& from : parts_.map_patches) {
    for_input_of(from.argument, [&](size_t input) {
      TensorMapPatch& patch = map_patches_.emplace_back(TensorMapPatch{input, from.request, {}});
      for (size_t p = 0; p < parts_.map_of.size(); ++p) {
        if (parts_.map_of[p] == static_cast<int>(from.map)) patch.parameters.push_back(p);
      }
    });
  }
}

Status FrozenLaunch::launch(StreamHandle stream) const {
  // The driver takes pointers to non-const but only reads.
  return sequence_->launch(const_cast<void**>(arguments_.data()), stream);
}

bool FrozenLaunch::fits(std::span<const DevicePtr> data) const {
  if (data.size() != rules_.size()) return false;
  for (size_t i = 0; i < data.size(); ++i) {
    if ((data[i] & rules_[i].misaligned) != 0 || (data[i] != 0) != rules_[i].given) return false;
  }
  return true;
}

Error FrozenLaunch::refusal(std::span<const DevicePtr> data) const {
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
  return make_error(ErrorCode::internal, "addresses were refused for no reason");
}

Status FrozenLaunch::launch(std::span<const DevicePtr> data, StreamHandle stream) const {
  if (!fits(data)) return refusal(data);
  // Not initialised: only what the launches have is written, and read.
  void* arguments[kMaxValues];
  alignas(TensorMapBytes) unsigned char map_bytes[kMaxMaps * sizeof(TensorMapBytes)];
  auto* map = reinterpret_cast<TensorMapBytes*>(map_bytes);
  if (!arguments_.empty()) std::memcpy(arguments, arguments_.data(), arguments_.size() * sizeof(void*));
  // A parameter's value is read where the caller has the address. The driver only reads.
  for (const AddressPatch& patch : patches_) {
    arguments[patch.parameter] = const_cast<DevicePtr*>(&data[patch.input]);
  }
  for (const TensorMapPatch& patch : map_patches_) {
    if (data[patch.input] == inputs_[patch.input].data) continue;
    TensorMapRequest request = patch.request;
    request.base = data[patch.input];
    if (Status status = device_.encode_tensor_map(request, map); !status) return status;
    for (size_t parameter : patch.parameters) arguments[parameter] = map;
    ++map;
  }
  return sequence_->launch(arguments, stream);
}

}  // namespace rtjit
