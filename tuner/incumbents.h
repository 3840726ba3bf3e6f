// The configs that serve so far: what a lookup answers before this run, from the user's cache or from what
// came with the library.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "base/result.h"
#include "cache/lookup.h"
#include "tuner/candidates.h"

namespace rtjit {

class Store;

// A winner that was measured on this device's model, or on another one of the target, for that very bucket.
// A new run measures it as it does the default config, and keeps it unless something is clearly faster: two
// runs that each find another of two equals would else make every rank and every retune serve other kernels.
class Incumbents {
 public:
  // Of all stages in these buckets. `store` goes before `shipped`; either may be null. Winners that `stands`
  // denies are passed over; may be empty.
  static Result<Incumbents> load(const Store* store, const Store* shipped, const SearchContext& context,
                                 const std::string& sku, const std::vector<int64_t>& buckets,
                                 const std::function<bool(const WinnerRow&)>& stands = {});

  // Null: none.
  const WinnerRow* find(const std::string& stage, int64_t bucket) const;

 private:
  Status add(const Store& store, const SearchContext& context, const std::string& sku,
             const std::vector<int64_t>& buckets, const std::function<bool(const WinnerRow&)>& stands);

  std::map<std::pair<std::string, int64_t>, WinnerRow> winners_;
};

}  // namespace rtjit
