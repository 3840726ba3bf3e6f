#include "tuner/clock_watch.h"

#include <utility>

namespace rtjit {
namespace {

GpuClocks worse(const GpuClocks& a, const GpuClocks& b) {
  GpuClocks result = a.sm_mhz == 0 || (b.sm_mhz > 0 && b.sm_mhz < a.sm_mhz) ? b : a;
  result.slowed = a.slowed || b.slowed;
  return result;
}

}  // namespace

void ClockWatch::again() {
  if (!read_) return;
  looks_ = std::async(std::launch::async, [this, before = std::move(looks_)]() mutable {
    const GpuClocks first = before.valid() ? before.get() : GpuClocks();
    return worse(first, read_());
  });
}

void ClockWatch::finish(Sample* sample) {
  if (!looks_.valid()) return;
  const GpuClocks clocks = looks_.get();
  sample->sm_clock_mhz = clocks.sm_mhz;
  sample->slowed = clocks.slowed;
}

}  // namespace rtjit
