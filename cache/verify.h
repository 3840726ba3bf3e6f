// Finds out whether a database file is what was stored in it, without changing it.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace rtjit {

struct VerifyReport {
  int64_t rows = 0, winners = 0, quarantined = 0, binaries = 0;  // looked at, good and bad
  int64_t bad_rows = 0, bad_winners = 0, bad_quarantined = 0, bad_binaries = 0;
  // One sentence for each thing that is bad, damage of the file as a whole first.
  std::vector<std::string> findings;

  bool ok() const { return findings.empty(); }
};

// SQLite's integrity check, the checksum of every row and the hash of every binary. A damaged file is a
// finding; an error is only what keeps from looking: not_found, unsupported (another program's database, or a
// newer one), io.
Result<VerifyReport> verify_database(const std::string& path);

}  // namespace rtjit
