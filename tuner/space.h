// Which configs a variant has.
#pragma once

#include <vector>

#include "base/result.h"
#include "templates/manifest.h"

namespace rtjit {

// Every config: the cartesian product of the parameters' values in the manifest's order, the last parameter
// varying fastest. A variant without parameters has one config. An integer parameter without a list of values
// takes min, min + multiple_of, ... max. ErrorCode::invalid_argument names a parameter whose values cannot be
// listed, or a variant with more than 200,000 configs.
Result<std::vector<Config>> enumerate_configs(const Variant& variant);

}  // namespace rtjit
