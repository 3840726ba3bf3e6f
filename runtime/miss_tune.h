// Tuning on a miss: runs `rtjit tune` as a child. The library itself links no tuner, and a child can be
// killed.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/context.h"

namespace rtjit {

// The command: RTJIT_TOOL, else bin/rtjit beside the library's folder, else `rtjit` in PATH.
std::string tool_path();

// Waits until the buckets are tuned into the context's database. Its last lines are the error's when it
// fails. ErrorCode::cancelled soon after `stop` became true; the child is killed then.
Status tune_on_miss(const Context& context, const Template& tmpl, const Problem& problem,
                    const std::vector<int64_t>& buckets, const std::atomic<bool>* stop = nullptr);

}  // namespace rtjit
