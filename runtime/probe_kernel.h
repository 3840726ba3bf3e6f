// A kernel whose result is known: whether a device still works, asked without any template.
#pragma once

#include <chrono>

#include "compiler/compile.h"
#include "runtime/device.h"

namespace rtjit {

// What the compiler is asked for.
CompileRequest probe_request(const Target& target, std::chrono::milliseconds time_limit);

// Loads and runs it with some blocks for every SM and looks at all that it wrote. ErrorCode::device_fault
// where a value is not the one that is known.
Status run_probe(Device& device, const Binary& binary);

}  // namespace rtjit
