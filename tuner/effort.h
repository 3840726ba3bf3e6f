// How much a tuning run does: three names for the numbers behind a search.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "tuner/strategy.h"

namespace rtjit {

// "quick": 3 configs per stage and bucket, 5 samples, winners as the search leaves them; "default": 8 and 9,
// winners settled in 7 passes at most; "thorough": 48 and 21, 11 passes. The strategy is `halving`.
// ErrorCode::invalid_argument lists the names.
Result<StrategyOptions> effort_options(const std::string& name);
std::vector<std::string> effort_names();

}  // namespace rtjit
