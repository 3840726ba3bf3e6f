// What a benchmark launches a template with, whatever template it is.
#pragma once

#include <vector>

#include "rtjit.h"
#include "runtime/handle.h"

namespace rtjit {

// Arguments of the template by its manifest, each with zeroed device memory (the caller frees it): routing
// sends every token to expert 0.
Result<std::vector<rtjit_tensor>> make_arguments(Device& device, const KernelHandle& handle, int64_t tokens,
                                                 ArgumentSpec::Role role);

}  // namespace rtjit
