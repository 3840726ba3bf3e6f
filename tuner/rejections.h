// Thousands of rejected configs in a few lines: what fell for the same reason, and how near it came.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tuner/explain.h"

namespace rtjit {

// The reasons that a gate's sentence joins: "constraint: a (b = 1; required: c); smem: ..." are two.
std::vector<std::string> split_reasons(std::string_view sentence);
// What a reason has in common with that of another config: without its numbers and what stands in
// parentheses.
std::string reason_kind(std::string_view reason);

// The first reason that each of these sentences has, to the letter; "" = there is none.
std::string shared_reason(const std::vector<std::string>& sentences);

// Configs of one variant whose first reasons differ in their numbers only.
struct Rejection {
  std::string stage, variant;
  Verdict verdict = Verdict::ok;
  int configs = 0;
  // The one that came nearest to fitting: of those with the fewest reasons, the one that exceeds the limit
  // least. Points into the entries.
  const ExplainEntry* nearest = nullptr;
};

// Stages and variants as the entries have them; within a variant what came nearest to fitting first: what
// fell at a later gate, then what exceeds a limit by the least, then constraints and features.
std::vector<Rejection> group_rejections(const std::vector<ExplainEntry>& entries);

}  // namespace rtjit
