// Cases of moe_mxfp4 as the library takes them.
#pragma once

#include "tests/device/cases/test_case.h"
#include "tools/gpu/moe_cases.h"

namespace rtjit::testing {

// Draws the inputs and computes what is expected, on all cores.
TestCase make_moe_case(const check::Case& c);

}  // namespace rtjit::testing
