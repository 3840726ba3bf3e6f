// What one tuning run reads from and writes to the store: the run's identity on every row, and lookups by
// candidate.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cache/records.h"
#include "tuner/candidates.h"

namespace rtjit {

class Store;

// Not thread-safe. A null store remembers nothing. Writes that fail are reported once through `warn`; tuning
// goes on, and what could not be written is tried again with the next write and at the end: a disk that was
// full for a while costs nothing.
class Ledger {
 public:
  using Warn = std::function<void(const std::string&)>;
  // `sku`, `device_name` and `driver` are "" without a device. `policy`: how times are measured, text for
  // people.
  Ledger(Store* store, const SearchContext& context, std::string sku, Warn warn);
  ~Ledger();  // flushes

  void describe_device(std::string device_name, std::string driver, std::string policy);

  // Reads the rows of this template, problem and target.
  Status load();

  // The row of this run's SKU, or null.
  const TuningRow* find(const Candidate& candidate, int64_t bucket) const;
  // A row of another SKU of the same target with the same bucket-0 facts: compile results hold there too. Or
  // null.
  const TuningRow* find_elsewhere(const Candidate& candidate) const;
  // The row in which this candidate failed when it ran (fault, hang, wrong, launch), in any bucket. Or null.
  const TuningRow* find_failure(const Candidate& candidate) const;
  // The latest quarantine of this candidate, under `compiler` or ("") under any. That of a real device holds
  // on every device of the target and on the emulator, the emulator's only on the emulator. Or null.
  const QuarantineRow* find_quarantine(const Candidate& candidate, std::string_view compiler = {}) const;
  const WinnerRow* find_winner(const std::string& stage, int64_t bucket) const;
  // A winner that a run has left without settling whether it stands (tuner/settle.h). Those of other SKUs do.
  bool being_settled(const WinnerRow& winner) const;

  // A row with the candidate's identity, verdict and resources filled in.
  TuningRow row(const Candidate& candidate, int64_t bucket) const;

  // Written in groups: at the latest with flush(), when 16 are waiting, or a quarter of a second after the
  // first.
  void put_soon(TuningRow row);
  void put_now(TuningRow row);
  // `rows`: that it rests on; all or nothing is written.
  void put_winner(WinnerRow row, std::vector<TuningRow> rows);
  // The verdict `row` of a candidate that faulted or hung, and that it is not to be run again.
  void put_quarantined(const Candidate& candidate, TuningRow row, Reached reached, std::string features);
  // Forgets that the candidate faulted or hung, so that it may be tried again: its rows with such a verdict,
  // and its quarantine under `compiler` or ("") under all.
  void release(const Candidate& candidate, const std::string& compiler);
  // Whether release() was called for a candidate of the stage.
  bool has_released(const std::string& stage) const { return released_.contains(stage); }
  void put_binary(const Binary& binary, const std::string& label);
  void flush();

 private:
  using Key = std::pair<std::string, int64_t>;  // "stage|variant|config", bucket
  static std::string name_of(const Candidate& candidate);
  RowKey key(const Candidate& candidate, int64_t bucket) const;
  void remember(const TuningRow& row);
  // Runs a write, or keeps it for later where writing is impossible now.
  void write(std::function<Status()> body);

  Store* store_;
  const SearchContext& context_;
  std::string sku_, device_name_, driver_, policy_;
  Warn warn_;
  bool warned_ = false;
  std::map<Key, TuningRow> rows_;
  std::map<std::string, TuningRow> elsewhere_, failures_;
  std::map<std::string, std::vector<QuarantineRow>> quarantine_;  // oldest first
  std::set<std::string> released_;                                // stages
  std::map<Key, WinnerRow> winners_;                              // stage, bucket
  std::vector<std::function<Status()>> unwritten_;                // in order
  std::vector<TuningRow> waiting_;
  double waiting_since_ = 0;
};

}  // namespace rtjit
