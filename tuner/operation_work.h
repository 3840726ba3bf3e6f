// What one launch of a whole operation has to move and compute, and how long the cost model expects it to
// take: sums over the stages of a template, from its formulas alone.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tuner/candidates.h"
#include "tuner/ceilings.h"

namespace rtjit {

struct OperationWork {
  double bytes = 0, flops = 0;
  std::map<std::string, double> flops_by_type;  // math_type() of the fastest unit that a config here may use
  bool stated = true;  // false: a stage states no work, and the least that any of its configs costs stands in

  double memory_us(const Ceilings& ceilings) const;
  double math_us(const Ceilings& ceilings) const;
  // The least time that these ceilings allow, were all bytes moved while all is computed; 0 = not known.
  double floor_us(const Ceilings& ceilings) const;
};

// `spaces`: one per stage of the template. `value`: of the bucket scalar.
Result<OperationWork> operation_work(const SearchContext& context, const std::vector<StageSpace>& spaces,
                                     int64_t value);

// The types of math ceilings that any `value` may need.
std::set<std::string> math_types(const std::vector<StageSpace>& spaces);

// Of a config per stage, in order. 0 where a tuned stage cannot be predicted; untuned ones count where they
// state a cost.
double predict_operation(const SearchContext& context, const std::vector<const Candidate*>& choices,
                         int64_t value);

}  // namespace rtjit
