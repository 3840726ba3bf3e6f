// How tuning rows and winners stand in their tables: the statements, and the checksum that guards each row.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cache/database.h"
#include "cache/records.h"

namespace rtjit {

// The name of a row's table.
template <typename Row>
inline constexpr const char* kTable = "tuning";
template <>
inline constexpr const char* kTable<WinnerRow> = "winners";
template <>
inline constexpr const char* kTable<QuarantineRow> = "quarantine";

// A stored row whose content does not fit its checksum. Named by both, so that removing it cannot hit a newer
// row.
struct DamagedRow {
  int64_t rowid = 0;
  std::string checksum;
};

template <typename Row>
struct StoredRows {
  std::vector<Row> rows;
  std::vector<DamagedRow> damaged;
};

// Writes the row unless the table knows better (evidence() in records.h).
Status write_row(Database& database, const TuningRow& row);
Status write_row(Database& database, const WinnerRow& row);
Status write_row(Database& database, const QuarantineRow& row);

// Rows that fit: empty text fields of the key and a bucket of -1 fit everything.
Result<StoredRows<TuningRow>> read_rows(Database& database, const RowKey& pattern);
// Of those, the rows of these configs.
Result<StoredRows<TuningRow>> read_rows(Database& database, const RowKey& pattern,
                                        const std::vector<ConfigName>& configs);
Result<StoredRows<WinnerRow>> read_rows(Database& database, const WinnerRow& pattern);
// Nothing where the database is older than the table (schema version 4).
Result<StoredRows<QuarantineRow>> read_rows(Database& database, const QuarantineRow& pattern);

// Takes away the winners that are this row's config, for the row's bucket or, with bucket 0, for all.
Status remove_winner_of(Database& database, const RowKey& key);

// Takes away what says that the key's config faulted or hung, on any device model and in any bucket: its
// quarantine and its rows with such a verdict. `compiler`: only the quarantine of that compiler; "": of all.
Status release_config(Database& database, const RowKey& key, const std::string& compiler);

// `table`: "tuning", "winners" or "quarantine".
Status remove_damaged(Database& database, const char* table, const std::vector<DamagedRow>& damaged);

}  // namespace rtjit
