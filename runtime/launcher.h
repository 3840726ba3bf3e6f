// A pipeline: one launch plan with its kernels loaded on one device. What a frozen handle holds per bucket,
// and what the tuner launches candidates through.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/device.h"
#include "runtime/frozen_launch.h"
#include "templates/launch_plan.h"

namespace rtjit {

// What a plan may have at most, so that a launch needs no memory but the stack. Pipeline::create refuses
// more.
constexpr int kMaxPlanSymbols = 256;
constexpr int kMaxPlanPointers = 96;
constexpr int kMaxKernelArguments = 64;
constexpr int kMaxTensorMaps = 16;

// A tensor as a caller passes it. Null data: absent, or no elements.
struct TensorArg {
  std::string_view name;
  DType dtype = DType::u8;
  DevicePtr data = 0;
  int rank = 0;
  std::array<int64_t, 4> shape{}, stride{};  // stride in elements; all 0 = dense row-major
};

// Arguments checked against a plan: the values of the launch scalars and the pointers. Owns no memory;
// reusable.
struct BoundArguments {
  std::array<int64_t, kMaxPlanSymbols> values;       // over LaunchPlan::symbols()
  std::array<DevicePtr, kMaxPlanPointers> pointers;  // arguments, then buffers (those are null here)
};

// HOT. Checks names, dtypes, shapes, strides, alignment, nulls and scalar ranges; binds launch scalars.
// Errors name the argument, what came and what is allowed, and leave `out` unspecified. A stride of a
// dimension with fewer than two elements is not looked at. A tensor without elements may be null.
Status bind_arguments(const LaunchPlan& plan, ArgumentSpec::Role role, std::span<const TensorArg> arguments,
                      BoundArguments* out);

// Modules that several pipelines of one device share. Used while handles are opened; not thread-safe.
class ModuleCache {
 public:
  Result<std::shared_ptr<Module>> load(Device& device, const std::shared_ptr<const Binary>& binary);

 private:
  std::map<std::string, std::weak_ptr<Module>> modules_;  // by Binary::key
};

class Pipeline {
 public:
  // `binaries[i]` holds the kernel of plan.launches()[i] (shared ones may repeat). Loads modules, finds
  // kernels, raises dynamic shared memory limits. Errors name the launch and the numbers.
  static Result<std::unique_ptr<Pipeline>> create(Device& device, LaunchPlan plan,
                                                  std::vector<std::shared_ptr<const Binary>> binaries,
                                                  ModuleCache* modules = nullptr);
  ~Pipeline();

  const LaunchPlan& plan() const { return plan_; }

  // HOT. Launches the given stages, in order, on the stream. `workspace` and `packed` must have at least the
  // bytes the plan asks for at these scalars; checked. Thread-safe: all state is on the stack.
  Status launch(const BoundArguments& bound, DevicePtr workspace, int64_t workspace_bytes, DevicePtr packed,
                int64_t packed_bytes, StreamHandle stream, StageSet stages = StageSet::all()) const;

  // What launch() would do with these arguments, decided now. The pipeline must outlive the parts.
  Result<FrozenParts> freeze(const BoundArguments& bound, DevicePtr workspace, int64_t workspace_bytes,
                             DevicePtr packed, int64_t packed_bytes) const;

  // The loaded kernel of a launch, for occupancy and register facts.
  const Kernel& kernel(int launch) const;

 private:
  Pipeline(Device& device, LaunchPlan plan) : device_(device), plan_(std::move(plan)) {}
  struct Frame;  // one launch's stack memory (launch_frame.h)
  // Points the frame at its buffers. False: there is nothing to launch.
  Result<bool> begin(const BoundArguments& bound, DevicePtr workspace, int64_t workspace_bytes,
                     DevicePtr packed, int64_t packed_bytes, Frame* frame) const;
  Status check_block(BufferSpec::Kind kind, const BoundArguments& bound, DevicePtr block, int64_t bytes,
                     Frame* frame) const;
  // Fills `config` and the frame's arguments. False: its condition does not hold, or its grid is empty.
  Result<bool> evaluate(int index, Frame* frame, LaunchConfig* config) const;
  Result<TensorMapRequest> map_request(int index, const Frame& frame) const;
  Status encode_map(int index, Frame* frame) const;

  Device& device_;
  LaunchPlan plan_;
  std::vector<std::shared_ptr<Module>> modules_;
  std::vector<const Kernel*> kernels_;
  std::vector<int64_t> smem_limits_;  // what each launch's kernel was prepared for
  std::vector<int> swizzles_;         // per tensor map, bytes
  int bucket_slot_ = -1;
  bool packing_ = false;
};

}  // namespace rtjit
