// Times whole operations as an engine runs them: handles of the library, weights packed by them, frozen
// launches in a CUDA graph, L2 cold.
//
// A graph launches every set of arguments in turn, often enough that its own start does not count. Sets
// differ in their drawn inputs and, where the packed weights would fit the L2 cache, in their copy of them
// (rotation_for()). The workspace is one for all, as in an engine. A sample is the median of three replays.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/handle.h"
#include "tuner/guarded_memory.h"
#include "tuner/samples.h"
#include "tuner/timing.h"
#include "tuner/workbench.h"

namespace rtjit {

// Not thread-safe. The handles that it is given outlive it.
class OperationTimer {
 public:
  // Draws the weights and packs them with `handle`; all other handles must have its layout. `l2_bytes` 0: no
  // rotation.
  static Result<std::unique_ptr<OperationTimer>> create(const KernelHandle& handle, int64_t l2_bytes,
                                                        ClockReader clocks = {});
  ~OperationTimer();

  // From now on launches have the bucket scalar at `value`; one moves `bytes`. Graphs recorded before are
  // void.
  Status prepare(const KernelHandle& handle, int64_t value, double bytes);

  // A graph of operations, warmed up.
  class Recording {
   public:
    int operations() const { return operations_; }
    int launches() const { return launches_; }  // of one operation

   private:
    friend class OperationTimer;
    std::vector<std::unique_ptr<FrozenLaunch>> frozen_;  // by set
    std::unique_ptr<Graph> graph_;
    int operations_ = 0, launches_ = 0;
    GuardedMemory workspace_;
  };
  // `most_operations`: in the graph; 0: as many as are good. With fewer than sets() of them the cache is not
  // as cold as otherwise.
  Result<std::unique_ptr<Recording>> record(KernelHandle& handle, int most_operations = 0);

  // The time of one operation, and the clocks while it was measured.
  Result<Sample> sample(Recording& recording);
  // How often a recording of n operations runs all of them until the first sample is there.
  static constexpr int kRunsOfFirstSample = 6;

  int sets() const { return static_cast<int>(arguments_.size()); }
  std::string conditions() const;  // for people

 private:
  OperationTimer(Device& device, int64_t l2_bytes, ClockReader clocks)
      : device_(device), l2_bytes_(l2_bytes), clocks_(std::move(clocks)) {}
  Status pack(const KernelHandle& handle);
  const GuardedMemory& packed(size_t set) const { return packed_[set % packed_.size()]; }

  Device& device_;
  int64_t l2_bytes_;
  ClockReader clocks_;
  StreamHandle stream_ = nullptr;
  std::vector<GuardedMemory>
      packed_;  // copies of the weights, one at least; empty ones where none are packed
  std::vector<DeviceArguments> arguments_;
  int64_t value_ = 0;
};

}  // namespace rtjit
