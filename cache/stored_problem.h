// What a store knows about one problem of a template on one target, asked for once: a kernel is opened for
// many buckets and stages at a time.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/records.h"
#include "cache/store.h"

namespace rtjit {

// As the store was when it was first asked. Not thread-safe. The store must outlive it.
class StoredProblem {
 public:
  StoredProblem(const Store& store, std::string template_name, std::string template_hash, std::string problem,
                std::string target);

  // Of all stages, buckets and device models.
  Result<const std::vector<WinnerRow>*> winners();
  // The config's rows of all buckets and device models.
  Result<const std::vector<TuningRow>*> rows(const ConfigName& config);

  const std::string& problem() const { return pattern_.problem; }

  // The store has changed: it is asked again.
  void forget();

 private:
  Status read_rows(const std::vector<ConfigName>& configs);

  const Store& store_;
  RowKey pattern_;
  std::optional<std::vector<WinnerRow>> winners_;
  std::map<ConfigName, std::vector<TuningRow>> rows_;
};

}  // namespace rtjit
