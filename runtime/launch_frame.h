// The memory of one launch: what a pipeline fills before it calls the device. Private to launcher.cc and
// freeze.cc.
#pragma once

#include <array>
#include <span>

#include "runtime/launcher.h"

namespace rtjit {

// Everything a launch needs besides the plan: about 7 KB of stack.
struct Pipeline::Frame {
  std::span<const int64_t> values;
  std::array<DevicePtr, kMaxPlanPointers> pointers;
  std::array<KernelValue, kMaxKernelArguments> arguments;
  std::array<void*, kMaxKernelArguments> argument_pointers;
  std::array<TensorMapBytes, kMaxTensorMaps> maps;
  std::array<bool, kMaxTensorMaps> encoded{};
};

}  // namespace rtjit
