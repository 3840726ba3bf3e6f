// Times one stage as it will be deployed: replays of a CUDA graph, with cold L2, in the pipeline it belongs
// to.
//
// A sample runs the whole pipeline once per set of arguments (so that the stage finds what the stages before
// it leave), captures the stage alone over all sets, replays the graph once to warm up, and takes the median
// of three replays. The clocks are looked at meanwhile. Sets differ in their drawn inputs and, where the
// packed weights would fit the L2 cache, in their copy of them: together they move at least three times the
// L2 cache between two visits of the same bytes (or, where launches are tiny, as much as 64 sets do).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tuner/clock_watch.h"
#include "tuner/samples.h"
#include "tuner/workbench.h"

namespace rtjit {

// How many sets of arguments and copies of the packed weights it takes until no byte is in the L2 cache when
// it is visited again. `bytes`: what one launch moves, 0 = not known. `l2_bytes` 0: no rotation.
struct Rotation {
  int sets = 1, copies = 1;
};
Rotation rotation_for(double bytes, int64_t packed_bytes, int64_t l2_bytes);

class StageTimer {
 public:
  // `bytes`: what one launch moves, from the cost formulas.
  static Result<std::unique_ptr<StageTimer>> create(Workbench& bench, const LaunchPlan& plan, int64_t bucket,
                                                    int stage, double bytes, int64_t l2_bytes,
                                                    ClockReader clocks = {});
  ~StageTimer();

  // The time of one launch of the stage and of those that are timed with it, and the clocks while it was
  // measured.
  Result<Sample> sample(const Pipeline& pipeline);
  int sets() const { return static_cast<int>(arguments_.size()); }
  int launches() const;            // of the stage that one sample makes, for a limit on its time
  std::string conditions() const;  // what distinguishes this timer from others, for people

 private:
  StageTimer(Workbench& bench, int64_t bucket, StageSet timed, ClockReader clocks)
      : bench_(bench), bucket_(bucket), timed_(timed), clocks_(std::move(clocks)) {}
  Result<double> replay(Graph& graph, std::optional<ClockWatch>* watch);
  int repeats() const;  // of all sets in a graph
  Status make_room(const Pipeline& pipeline);

  Workbench& bench_;
  int64_t bucket_;
  StageSet timed_;
  ClockReader clocks_;
  StreamHandle stream_ = nullptr;
  std::vector<DeviceArguments> arguments_;
  std::vector<GuardedMemory> workspaces_;
  std::vector<GuardedMemory> packed_copies_;  // besides the bench's own
};

}  // namespace rtjit
