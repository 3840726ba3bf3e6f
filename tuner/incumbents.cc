#include "tuner/incumbents.h"

#include "cache/store.h"
#include "cache/stored_problem.h"

namespace rtjit {

Result<Incumbents> Incumbents::load(const Store* store, const Store* shipped, const SearchContext& context,
                                    const std::string& sku, const std::vector<int64_t>& buckets,
                                    const std::function<bool(const WinnerRow&)>& stands) {
  Incumbents incumbents;
  for (const Store* source : {store, shipped}) {
    if (!source) continue;
    if (Status status = incumbents.add(*source, context, sku, buckets, stands); !status)
      return status.error();
  }
  return incumbents;
}

Status Incumbents::add(const Store& store, const SearchContext& context, const std::string& sku,
                       const std::vector<int64_t>& buckets,
                       const std::function<bool(const WinnerRow&)>& stands) {
  StoredProblem stored(store, context.tmpl->name, context.tmpl->content_hash, context.problem.canonical(),
                       context.target.name());
  for (const Stage& stage : context.tmpl->stages) {
    if (!stage.tuned) continue;
    for (int64_t bucket : buckets) {
      auto found = lookup_winner(
          stored, make_lookup(*context.tmpl, context.problem, stage, bucket, context.target.name(), sku));
      if (!found) return found.error();
      if (!*found || (*found)->winner.bucket != bucket) continue;
      const Provenance provenance = (*found)->provenance;
      if (provenance != Provenance::measured_here && provenance != Provenance::measured_nearby) continue;
      if (stands && !stands((*found)->winner)) continue;
      winners_.try_emplace({stage.name, bucket}, std::move((*found)->winner));
    }
  }
  return {};
}

const WinnerRow* Incumbents::find(const std::string& stage, int64_t bucket) const {
  auto found = winners_.find({stage, bucket});
  return found == winners_.end() ? nullptr : &found->second;
}

}  // namespace rtjit
