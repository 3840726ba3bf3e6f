// What `rtjit explain` found, for programs and for people.
#pragma once

#include <nlohmann/json.hpp>

#include "tuner/explain.h"
#include "tuner/problem_scope.h"

namespace rtjit {

nlohmann::json explain_json(const ExplainEntry& entry, int64_t bucket);

enum class ExplainDetail {
  summary,  // what can run, in a table; what cannot, counted by reason
  configs,  // a line per config
  full,     // all that is known of each config, on lines of its own
};

void print_explained(const ProblemScope& scope, const ExplainReport& report, ExplainDetail detail);

}  // namespace rtjit
