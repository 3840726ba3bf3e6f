// One search: a strategy, and a bench that measures what it asks for.
#pragma once

#include <vector>

#include "base/result.h"
#include "tuner/strategy.h"

namespace rtjit {

// Where times come from: a device, the cost model, or a stored sweep.
class Bench {
 public:
  virtual ~Bench() = default;
  // Fills in times and rejections of the batch's prospects. ErrorCode::cancelled: stop with what there is.
  virtual Status measure(const Batch& batch, std::vector<Prospect>* prospects) = 0;
};

// Until the strategy wants nothing more, or the bench returns an Error, which is returned; what was measured
// until then is in `prospects`.
Status search(Strategy& strategy, Bench& bench, std::vector<Prospect>* prospects);

// The same from a first batch that the strategy has already named.
Status search(Strategy& strategy, Batch first, Bench& bench, std::vector<Prospect>* prospects);

}  // namespace rtjit
