// Makes a cache smaller by what is least worth keeping. Nothing that is taken away is needed to be right: a
// binary is compiled again, a row is measured again.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/result.h"
#include "cache/store.h"

namespace rtjit {

struct GcRequest {
  int64_t now_unix = 0;  // 0: the system's clock
  // Winners, rows and binaries that were written longer ago than this. What a remaining winner needs (its row
  // and that row's binary) stays, and so does quarantine: trying such a config again may cost a device.
  std::optional<int64_t> older_than_seconds{};
  // The content hash of each template that is known: winners, rows and quarantine of another hash go, with
  // the binaries that only such rows name. Rows of templates that are not named here stay.
  std::map<std::string, std::string> current_hashes{};
  // Binaries go, those that no winner needs first, the oldest first, until the contents fit. Rows and winners
  // stay: they are small and cost far more to find out again.
  std::optional<int64_t> max_bytes{};
  bool dry_run = false;
};

struct GcReport {
  int64_t winners = 0, rows = 0, quarantined = 0, binaries = 0;  // taken away, or that would be
  int64_t binary_bytes = 0;                     // what these binaries took
  int64_t bytes_before = 0;                     // pages in use
  int64_t bytes_after = 0;                      // the same; estimated in a dry run
  bool fits = true;                             // false: max_bytes is less than rows and winners alone take
};

// In one transaction, after which the file is compacted. ErrorCode::invalid_argument for limits below zero.
Result<GcReport> collect_garbage(Store& store, const GcRequest& request);

}  // namespace rtjit
