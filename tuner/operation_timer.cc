#include "tuner/operation_timer.h"

#include <algorithm>
#include <cmath>

namespace rtjit {
namespace {

constexpr int kGraphReplays = 3;
constexpr double kGraphUs = 2000;  // the start of a graph, some microseconds, is then no part of the time
constexpr int kMostOperations = 256, kFewestOperations = 4;

}  // namespace

Result<std::unique_ptr<OperationTimer>> OperationTimer::create(const KernelHandle& handle, int64_t l2_bytes,
                                                               ClockReader clocks) {
  std::unique_ptr<OperationTimer> timer(
      new OperationTimer(handle.context().device(), l2_bytes, std::move(clocks)));
  if (Status s = timer->device_.make_current(); !s) return s.error();
  auto stream = timer->device_.create_stream();
  if (!stream) return stream.error();
  timer->stream_ = *stream;
  if (Status s = timer->pack(handle); !s) return s.error();
  return timer;
}

OperationTimer::~OperationTimer() {
  if (stream_ != nullptr) device_.destroy_stream(stream_);
}

Status OperationTimer::pack(const KernelHandle& handle) {
  const Template& tmpl = handle.source();
  packed_.emplace_back();
  if (tmpl.pack.empty()) return {};
  auto shared = handle.context().registry().find(tmpl.name);
  if (!shared) return shared.error();
  auto plan = LaunchPlan::create(*shared, handle.problem(), {}, device_.info().facts(), /*packing=*/true);
  if (!plan) return plan.error();
  auto weights =
      DeviceArguments::create(device_, *plan, handle.problem(), ArgumentSpec::Role::pack, InputCase{});
  if (!weights) return weights.error().with_context("weights");
  const int copies = rotation_for(0, handle.packed_bytes(), l2_bytes_).copies;
  packed_.resize(static_cast<size_t>(copies));
  for (GuardedMemory& copy : packed_) {
    auto memory = GuardedMemory::allocate(device_, handle.packed_bytes());
    if (!memory) return memory.error().with_context("packed weights");
    copy = std::move(*memory);
    // Memory is filled on the default stream, for which launches on another do not wait.
    if (Status s = device_.synchronize(nullptr); !s) return s;
    Status packed = handle.pack(weights->tensors(), copy.data(), copy.bytes(), stream_);
    if (packed) packed = device_.synchronize(stream_);
    if (!packed) return packed.error().with_context("packing weights");
  }
  return {};
}

Status OperationTimer::prepare(const KernelHandle& handle, int64_t value, double bytes) {
  arguments_.clear();
  value_ = value;
  const int64_t packed_bytes = packed_.front().bytes();
  const Rotation rotation = rotation_for(bytes, packed_bytes, l2_bytes_);
  for (int set = 0; set < rotation.sets; ++set) {
    InputCase input;
    input.value = value;
    input.seed = 1000 + static_cast<uint64_t>(set);
    auto arguments = DeviceArguments::create(device_, handle.pipeline(value).plan(), handle.problem(),
                                             ArgumentSpec::Role::launch, input);
    if (!arguments) return arguments.error();
    arguments_.push_back(std::move(*arguments));
  }
  return {};
}

Result<std::unique_ptr<OperationTimer::Recording>> OperationTimer::record(KernelHandle& handle,
                                                                          int most_operations) {
  auto recording = std::make_unique<Recording>();
  auto bytes = handle.workspace_bytes(value_);
  if (!bytes) return bytes.error();
  auto workspace = GuardedMemory::allocate(device_, *bytes);
  if (!workspace) return workspace.error().with_context("workspace");
  recording->workspace_ = std::move(*workspace);
  if (Status s = recording->workspace_.fill(0); !s) return s.error();
  if (Status s = device_.synchronize(nullptr); !s) return s.error();

  size_t used = arguments_.size();
  if (most_operations > 0) used = std::min(used, static_cast<size_t>(most_operations));
  for (size_t set = 0; set < used; ++set) {
    const std::vector<TensorArg> tensors = arguments_[set].tensors();
    const GuardedMemory& weights = packed(set);
    auto frozen = handle.freeze(tensors, weights.data(), weights.bytes(), recording->workspace_.data(),
                                recording->workspace_.bytes(), stream_);
    if (!frozen) return frozen.error();
    recording->frozen_.push_back(std::move(*frozen));
  }
  recording->launches_ = static_cast<int>(recording->frozen_.front()->launch_count());
  // A device without graphs replays by calling again: what is captured must outlive this call.
  auto launch_all = [frozen = &recording->frozen_](StreamHandle stream) -> Status {
    for (const auto& launch : *frozen) {
      if (Status s = launch->launch(stream); !s) return s;
    }
    return {};
  };
  // What is wrong with a launch is found before it is captured; and the time says how many are worth
  // capturing.
  const int sets_in_use = static_cast<int>(used);
  auto ms = device_.elapsed_ms(stream_, launch_all);
  if (!ms) return ms.error();
  if (Status s = device_.synchronize(stream_); !s) return s.error();
  int operations = sets_in_use;
  if (most_operations == 0) {
    const double us = std::max(*ms * 1000 / sets_in_use, 1.0);
    const double wanted = std::clamp(kGraphUs / us, double{kFewestOperations}, double{kMostOperations});
    operations = sets_in_use * std::max(1, static_cast<int>(std::ceil(wanted / sets_in_use)));
  }
  recording->operations_ = operations;
  auto graph =
      device_.capture([launch_all, rounds = operations / sets_in_use](StreamHandle stream) -> Status {
        for (int round = 0; round < rounds; ++round) {
          if (Status s = launch_all(stream); !s) return s;
        }
        return {};
      });
  if (!graph) return graph.error();
  recording->graph_ = std::move(*graph);
  if (Status s = recording->graph_->replay(stream_); !s) return s.error();
  if (Status s = device_.synchronize(stream_); !s) return s.error();
  return recording;
}

Result<Sample> OperationTimer::sample(Recording& recording) {
  // Another recording's replays may have taken this one's bytes out of the cache, or heated it up with its
  // own.
  if (Status s = recording.graph_->replay(stream_); !s) return s.error();
  ClockWatch watch(clocks_);
  std::vector<double> times;
  for (int replay = 0; replay < kGraphReplays; ++replay) {
    if (replay == kGraphReplays - 1) watch.again();
    auto ms =
        device_.elapsed_ms(stream_, [&](StreamHandle stream) { return recording.graph_->replay(stream); });
    if (!ms) return ms.error();
    times.push_back(*ms);
  }
  std::sort(times.begin(), times.end());
  Sample sample;
  sample.us = times[kGraphReplays / 2] * 1000.0 / recording.operations_;
  watch.finish(&sample);
  return sample;
}

std::string OperationTimer::conditions() const {
  return fmt::format("{} sets of arguments, {} copies of the packed weights", sets(), packed_.size());
}

}  // namespace rtjit
