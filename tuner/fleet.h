// One tuning run on several devices of a host at once.
#pragma once

#include <vector>

#include "base/result.h"
#include "runtime/device.h"
#include "tuner/session.h"

namespace rtjit {

// Tunes on each of the devices in a thread and a worker process of its own; `request.device` is ignored.
// Devices of one model (equal SKU fingerprints) share the work: each takes the next stage and bucket that
// none has taken. Every model gets a complete table, so the report of a stage may hold a bucket once per
// model. Compilers and binaries are shared. The first Error stops the others; what was finished is stored.
//
// `observer` is called from one thread at a time, not always the same; progress is the sum over the devices.
Result<TuneReport> tune_on_devices(const TuneRequest& request, const std::vector<DeviceInfo>& devices,
                                   TuneObserver* observer = nullptr);

}  // namespace rtjit
