#include "cache/stored_problem.h"

#include <set>

namespace rtjit {

StoredProblem::StoredProblem(const Store& store, std::string template_name, std::string template_hash,
                             std::string problem, std::string target)
    : store_(store) {
  pattern_.template_name = std::move(template_name);
  pattern_.template_hash = std::move(template_hash);
  pattern_.problem = std::move(problem);
  pattern_.target = std::move(target);
  pattern_.bucket = -1;
}

Result<const std::vector<WinnerRow>*> StoredProblem::winners() {
  if (!winners_) {
    WinnerRow pattern;
    pattern.template_name = pattern_.template_name;
    pattern.template_hash = pattern_.template_hash;
    pattern.problem = pattern_.problem;
    pattern.target = pattern_.target;
    pattern.bucket = -1;
    Result<std::vector<WinnerRow>> winners = store_.winners(pattern);
    if (!winners.ok()) return winners.error();
    // An empty problem is a problem too (a template without keys), but in a pattern it fits everything.
    std::erase_if(*winners, [&](const WinnerRow& winner) { return winner.problem != pattern_.problem; });
    winners_ = *std::move(winners);
  }
  return &*winners_;
}

Status StoredProblem::read_rows(const std::vector<ConfigName>& configs) {
  Result<std::vector<TuningRow>> rows = store_.rows(pattern_, configs);
  if (!rows.ok()) return rows.error();
  for (const ConfigName& config : configs) rows_[config].clear();
  for (TuningRow& row : *rows) {
    if (row.key.problem != pattern_.problem) continue;
    rows_[{row.key.stage, row.key.variant, row.key.config}].push_back(std::move(row));
  }
  return {};
}

Result<const std::vector<TuningRow>*> StoredProblem::rows(const ConfigName& config) {
  const auto known = rows_.find(config);
  if (known != rows_.end()) return &known->second;
  // Each question goes through the index entries of a whole stage: those of all winners, which are asked for
  // next, come along.
  std::set<ConfigName> wanted = {config};
  for (const WinnerRow& winner : winners_.value_or(std::vector<WinnerRow>())) {
    ConfigName name{winner.stage, winner.variant, winner.config};
    if (!rows_.contains(name)) wanted.insert(std::move(name));
  }
  if (Status status = read_rows({wanted.begin(), wanted.end()}); !status.ok()) return status.error();
  return &rows_[config];
}

void StoredProblem::forget() {
  winners_.reset();
  rows_.clear();
}

}  // namespace rtjit
