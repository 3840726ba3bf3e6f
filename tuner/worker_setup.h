// What a worker process is started with, for whoever measures or verifies in one: tuning, and checks of
// packs.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/device.h"
#include "tuner/binary_source.h"
#include "tuner/candidates.h"
#include "tuner/session.h"
#include "tuner/worker_client.h"

namespace rtjit {

// Of the run that it works for.
struct WorkerRun {
  std::vector<std::string> command;  // program and arguments
  std::vector<std::string> template_folders;
  DeviceInfo device;
  TuneLimits limits;
  const std::atomic<bool>* cancel = nullptr;
  std::string compiler;  // see BinarySource::get()
};

// The oracle is there with its choices; its binaries are the caller's to add, or to set later.
Result<WorkerSetup> make_worker_setup(const SearchContext& context, BinarySource& binaries,
                                      const WorkerRun& run);

}  // namespace rtjit
