// Looks at a device's clocks while something is timed on it, so that asking for them, which takes a
// millisecond and more, takes no time of its own.
#pragma once

#include <functional>
#include <future>

#include "runtime/nvml.h"
#include "tuner/samples.h"

namespace rtjit {

// The device's clocks now; an empty function where nobody can tell. Called by other threads, one at a time.
using ClockReader = std::function<GpuClocks()>;

// Of one sample.
class ClockWatch {
 public:
  // Begins to look. `read` outlives the watch.
  explicit ClockWatch(const ClockReader& read) : read_(read) { again(); }

  // One look more: the sample takes long enough for the clocks to change.
  void again();
  // Waits for the looks. The lowest clock seen counts: it is what may have disturbed the sample.
  void finish(Sample* sample);

 private:
  const ClockReader& read_;
  std::future<GpuClocks> looks_;  // all of them so far
};

}  // namespace rtjit
