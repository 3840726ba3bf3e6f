// Times one stage as it will be deployed: replays of a CUDA graph, with cold L2, in the pipeline it belongs
// to.
//
// A sample runs the whole pipeline once per set of arguments (so that the stage finds what the stages before
// it leave), captures the stage alone over all sets, replays the graph once to warm up, and takes the median
// of three replays. Sets differ in their drawn inputs and, where the packed weights would fit the L2 cache,
// in their copy of them: together they move at least three times the L2 cache between two visits of the same
// bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "tuner/workbench.h"

namespace rtjit {

class StageTimer {
 public:
  // `bytes`: what one launch moves, from the cost formulas; 0 = not known. `l2_bytes` 0: no rotation.
  static Result<std::unique_ptr<StageTimer>> create(Workbench& bench, const LaunchPlan& plan, int64_t bucket,
                                                    int stage, double bytes, int64_t l2_bytes);
  ~StageTimer();

  // Microseconds of one launch of the stage.
  Result<double> sample(const Pipeline& pipeline);
  int sets() const { return static_cast<int>(arguments_.size()); }

 private:
  StageTimer(Workbench& bench, int64_t bucket, int stage) : bench_(bench), bucket_(bucket), stage_(stage) {}
  Status make_room(const Pipeline& pipeline);

  Workbench& bench_;
  int64_t bucket_;
  int stage_;
  StreamHandle stream_ = nullptr;
  std::vector<DeviceArguments> arguments_;
  std::vector<GuardedMemory> workspaces_;
  std::vector<GuardedMemory> packed_copies_;  // besides the bench's own
};

}  // namespace rtjit
