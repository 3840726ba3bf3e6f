#include "tuner/timing.h"

#include <algorithm>
#include <cmath>

namespace rtjit {
namespace {

constexpr int kMaxSets = 64;            // each has inputs of its own to be drawn
constexpr int kMaxCopies = 16;          // of the packed weights
constexpr double kColdFactor = 3;       // of the L2 cache, between two visits
constexpr double kOverlapFactor = 1.5;  // sets may share some of their weights
constexpr int kReplays = 3;
constexpr int kLaunches = 4;  // in a graph at least

Result<GuardedMemory> copy_of(Device& device, const GuardedMemory& source) {
  auto copy = GuardedMemory::allocate(device, source.bytes());
  if (!copy) return copy.error();
  std::vector<unsigned char> bytes(static_cast<size_t>(source.bytes()));
  if (Status s = device.copy_to_host(bytes.data(), source.data(), bytes.size()); !s) return s.error();
  if (Status s = device.copy_to_device(copy->data(), bytes.data(), bytes.size()); !s) return s.error();
  return copy;
}

}  // namespace

Rotation rotation_for(double bytes, int64_t packed_bytes, int64_t l2_bytes) {
  Rotation rotation;
  if (l2_bytes <= 0) return rotation;
  const double cold = kColdFactor * static_cast<double>(l2_bytes);
  if (bytes > 0)
    rotation.sets =
        static_cast<int>(std::clamp(std::ceil(kOverlapFactor * cold / bytes), 1.0, double{kMaxSets}));
  if (packed_bytes > 0) {
    rotation.copies = static_cast<int>(
        std::clamp(std::ceil(cold / static_cast<double>(packed_bytes)), 1.0, double{kMaxCopies}));
  }
  rotation.sets = std::min(kMaxSets, std::max(rotation.sets, rotation.copies));
  return rotation;
}

Result<std::unique_ptr<StageTimer>> StageTimer::create(Workbench& bench, const LaunchPlan& plan,
                                                       int64_t bucket, int stage, double bytes,
                                                       int64_t l2_bytes, ClockReader clocks) {
  std::unique_ptr<StageTimer> timer(new StageTimer(bench, bucket, stage, std::move(clocks)));
  const Rotation rotation = rotation_for(bytes, bench.packed().bytes(), l2_bytes);
  auto stream = bench.device().create_stream();
  if (!stream) return stream.error();
  timer->stream_ = *stream;
  for (int copy = 1; copy < rotation.copies; ++copy) {
    auto memory = copy_of(bench.device(), bench.packed());
    if (!memory) return memory.error();
    timer->packed_copies_.push_back(std::move(*memory));
  }
  const PartTimes::Span span = bench.times().span("inputs");
  for (int set = 0; set < rotation.sets; ++set) {
    InputCase input;
    input.value = bucket;
    input.seed = 1000 + static_cast<uint64_t>(set);
    auto arguments =
        DeviceArguments::create(bench.device(), plan, bench.problem(), ArgumentSpec::Role::launch, input);
    if (!arguments) return arguments.error();
    timer->arguments_.push_back(std::move(*arguments));
  }
  timer->workspaces_.resize(static_cast<size_t>(rotation.sets));
  return timer;
}

StageTimer::~StageTimer() {
  if (stream_) bench_.device().destroy_stream(stream_);
}

int StageTimer::repeats() const { return std::max(1, kLaunches / sets()); }

int StageTimer::launches() const { return sets() + (1 + kReplays) * sets() * repeats(); }

std::string StageTimer::conditions() const {
  return fmt::format("{} sets of arguments, {} copies of the packed weights", sets(),
                     packed_copies_.size() + 1);
}

Status StageTimer::make_room(const Pipeline& pipeline) {
  auto bytes = pipeline.plan().total_bytes(BufferSpec::Kind::workspace, bucket_);
  if (!bytes) return bytes.error();
  for (GuardedMemory& workspace : workspaces_) {
    if (workspace.data() != 0 && workspace.bytes() >= *bytes) continue;
    workspace = GuardedMemory();
    auto memory = GuardedMemory::allocate(bench_.device(), *bytes);
    if (!memory) return memory.error();
    workspace = std::move(*memory);
    if (Status s = workspace.fill(0); !s) return s;
  }
  // Memory is filled on the default stream, for which launches on another do not wait.
  return bench_.device().synchronize(nullptr);
}

// The lowest clock seen counts: it is what may have disturbed the sample.
void StageTimer::look_at_clocks(Sample* sample) const {
  if (!clocks_) return;
  const GpuClocks clocks = clocks_();
  sample->slowed = sample->slowed || clocks.slowed;
  if (clocks.sm_mhz > 0 && (sample->sm_clock_mhz == 0 || clocks.sm_mhz < sample->sm_clock_mhz))
    sample->sm_clock_mhz = clocks.sm_mhz;
}

Result<Sample> StageTimer::sample(const Pipeline& pipeline) {
  if (Status s = make_room(pipeline); !s) return s.error();
  Device& device = bench_.device();
  auto launch = [&](size_t set, StreamHandle stream, int only_stage) {
    size_t copy = set % (packed_copies_.size() + 1);
    const GuardedMemory* packed = copy == 0 ? nullptr : &packed_copies_[copy - 1];
    return bench_.launch(pipeline, arguments_[set], workspaces_[set], stream, only_stage, packed);
  };
  {
    const PartTimes::Span span = bench_.times().span("whole pipeline");
    for (size_t set = 0; set < arguments_.size(); ++set) {
      if (Status s = launch(set, stream_, -1); !s) return s.error();
    }
    if (Status s = device.synchronize(stream_); !s) return s.error();
  }
  const PartTimes::Span span = bench_.times().span("stage");
  auto graph = device.capture([&](StreamHandle stream) -> Status {
    for (int repeat = 0; repeat < repeats(); ++repeat) {
      for (size_t set = 0; set < arguments_.size(); ++set) {
        if (Status s = launch(set, stream, stage_); !s) return s;
      }
    }
    return {};
  });
  if (!graph) return graph.error();
  if (Status s = (*graph)->replay(stream_); !s) return s.error();
  if (Status s = device.synchronize(stream_); !s) return s.error();
  Sample sample;
  look_at_clocks(&sample);
  std::vector<double> times;
  for (int replay = 0; replay < kReplays; ++replay) {
    auto ms = device.elapsed_ms(stream_, [&](StreamHandle stream) { return (*graph)->replay(stream); });
    if (!ms) return ms.error();
    times.push_back(*ms);
  }
  std::sort(times.begin(), times.end());
  look_at_clocks(&sample);
  sample.us = times[kReplays / 2] * 1000.0 / (sets() * repeats());
  return sample;
}

}  // namespace rtjit
