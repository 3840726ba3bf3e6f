// Runs a whole grid: clusters of blocks spread over the host's cores.
#pragma once

#include "base/result.h"
#include "emulator/block.h"

namespace rtjit::emu {

// Checks the launch against the kernel and the target's limits, then runs it. The first fault, with its
// place, is the error.
Status run_grid(Launch& launch, const TargetLimits& limits, int host_threads);

}  // namespace rtjit::emu
