// Cases of gemm_fp8_block as the library takes them.
#pragma once

#include "tests/device/cases/test_case.h"
#include "tests/templates/gemm_fp8_block/gemm_fp8_cases.h"

namespace rtjit::testing {

// Draws the operands and computes what is expected, on all cores.
TestCase make_fp8_case(const gemm_fp8_oracle::Case& c);

}  // namespace rtjit::testing
