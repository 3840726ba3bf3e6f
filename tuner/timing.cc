#include "tuner/timing.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace rtjit {
namespace {

constexpr int kMaxSets = 64;            // each has inputs of its own to be drawn
constexpr int kMaxCopies = 16;          // of the packed weights
constexpr double kColdFactor = 3;       // of the L2 cache, between two visits
constexpr double kOverlapFactor = 1.5;  // sets may share some of their weights
constexpr int kReplays = 3;
constexpr int kLaunches = 4;     // in a graph at least
constexpr double kSteadyMs = 2;  // clocks are looked at once within this time

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
  const StageSet timed = timed_stages(bench.tmpl(), stage, bench.problem());
  std::unique_ptr<StageTimer> timer(new StageTimer(bench, bucket, timed, std::move(clocks)));
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

Result<Sample> StageTimer::sample(const Pipeline& pipeline) {
  if (Status s = make_room(pipeline); !s) return s.error();
  Device& device = bench_.device();
  auto launch = [&](size_t set, StreamHandle stream, StageSet stages) {
    size_t copy = set % (packed_copies_.size() + 1);
    const GuardedMemory* packed = copy == 0 ? nullptr : &packed_copies_[copy - 1];
    return bench_.launch(pipeline, arguments_[set], workspaces_[set], stream, stages, packed);
  };
  {
    const PartTimes::Span span = bench_.times().span("whole pipeline");
    for (size_t set = 0; set < arguments_.size(); ++set) {
      if (Status s = launch(set, stream_, StageSet::all()); !s) return s.error();
    }
    if (Status s = device.synchronize(stream_); !s) return s.error();
  }
  auto graph = [&] {
    const PartTimes::Span span = bench_.times().span("graph");
    return device.capture([&](StreamHandle stream) -> Status {
      for (int repeat = 0; repeat < repeats(); ++repeat) {
        for (size_t set = 0; set < arguments_.size(); ++set) {
          if (Status s = launch(set, stream, timed_); !s) return s;
        }
      }
      return {};
    });
  }();
  if (!graph) return graph.error();
  auto watch = std::optional<ClockWatch>();
  auto us = replay(**graph, &watch);
  if (!us) return us.error();
  Sample sample;
  sample.us = *us / (sets() * repeats());
  const PartTimes::Span span = bench_.times().span("clocks");
  watch->finish(&sample);
  return sample;
}

// The median time of a replay, in microseconds.
Result<double> StageTimer::replay(Graph& graph, std::optional<ClockWatch>* watch) {
  const PartTimes::Span span = bench_.times().span("stage");
  Device& device = bench_.device();
  if (Status s = graph.replay(stream_); !s) return s.error();
  if (Status s = device.synchronize(stream_); !s) return s.error();
  watch->emplace(clocks_);
  double all_ms = 0;
  std::array<double, kReplays> times;
  for (int replay = 0; replay < kReplays; ++replay) {
    if (replay == kReplays - 1 && all_ms > kSteadyMs) (*watch)->again();
    auto ms = device.elapsed_ms(stream_, [&](StreamHandle stream) { return graph.replay(stream); });
    if (!ms) return ms.error();
    times[static_cast<size_t>(replay)] = *ms;
    all_ms += *ms;
  }
  std::sort(times.begin(), times.end());
  return times[kReplays / 2] * 1000;
}

}  // namespace rtjit
