// Runs cases on any device of the runtime: the emulator or a GPU.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "tests/silicon/case.h"

namespace rtjit::silicon {

// The emulator of an H200 that adds up matrix products as it does.
Result<std::unique_ptr<Device>> silicon_emulator();

// The case's results: the first `compared_bytes` of its output.
Result<std::vector<uint8_t>> run_case(Device& device, const Case& c);

}  // namespace rtjit::silicon
