// rtjit tune --replay: a search strategy on stored measurements.
#pragma once

#include <string>

#include "tools/rtjit/scope_options.h"
#include "tools/rtjit/search_options.h"

namespace rtjit {

// `database`: the file with the sweep. Of the scope: template, problem or preset (else all that are stored),
// target (else all), tokens. The exit status.
int run_replay(const ScopeOptions& scope, const SearchOptions& search, const std::string& database);

}  // namespace rtjit
