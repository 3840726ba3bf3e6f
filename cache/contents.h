// All that one database holds, as plain data: what merging, exporting and importing work on.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cache/binary_codec.h"
#include "cache/records.h"
#include "cache/store.h"

namespace rtjit {

// Each list sorted by its key, without repetitions when it comes from a database.
struct Contents {
  std::vector<TuningRow> rows;
  std::vector<WinnerRow> winners;
  std::vector<QuarantineRow> quarantine;
  std::vector<StoredBinary> binaries;
  int64_t damaged = 0;  // rows and binaries that were left out because they do not fit their checksum or hash
};

struct ContentsFilter {
  std::string target{}, template_name{};  // "" fits everything
  // Binaries of a template are those that its rows name.
  bool with_binaries = true;
};

// The user database of the store. Empty where there is none.
Result<Contents> read_contents(const Store& store, const ContentsFilter& filter = {});

class Database;
Result<Contents> read_contents(Database& database, const ContentsFilter& filter = {});

// Any database file, which is not changed. ErrorCode::not_found, or unsupported where it is not a cache that
// this version can read.
Result<Contents> read_contents(const std::string& path, const ContentsFilter& filter = {});

}  // namespace rtjit
