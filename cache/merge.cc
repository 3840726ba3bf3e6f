#include "cache/merge.h"

#include <cmath>
#include <limits>
#include <tuple>

#include "cache/binary_sql.h"
#include "cache/row_fields.h"
#include "cache/row_sql.h"
#include "cache/row_text.h"

namespace rtjit {
namespace {

// A rank for the shorter time: greater is better. No time at all is worst.
double quickness(double time_us) {
  return std::isnan(time_us) || time_us <= 0 ? -std::numeric_limits<double>::infinity() : -time_us;
}

auto rank(const TuningRow& row) {
  return std::make_tuple(evidence(row), failed_when_run(row.verdict), row.updated_unix,
                         quickness(row.time_us));
}
auto rank(const WinnerRow& row) {
  return std::make_tuple(evidence(row), row.updated_unix, quickness(row.time_us));
}
auto rank(const QuarantineRow& row) { return row.updated_unix; }
auto rank(const StoredBinary& binary) { return std::tie(binary.created_unix, binary.sha256); }

template <typename Content>
bool better_by_rank(const Content& a, const Content& b) {
  const auto rank_a = rank(a);
  const auto rank_b = rank(b);
  if (rank_a != rank_b) return rank_a > rank_b;
  return to_line(a) > to_line(b);
}

RowKey key_of(const TuningRow& row) { return row.key; }
QuarantineRow key_of(const QuarantineRow& row) { return row; }
WinnerRow key_of(const WinnerRow& row) {
  WinnerRow pattern = row;
  pattern.variant.clear();  // values of a winner, not its key
  pattern.config.clear();
  return pattern;
}

// The intact row of the same key. Damaged ones are taken away: they must not stand in the way of a good one.
template <typename Row>
Result<std::optional<Row>> row_there(Database& database, const Row& row) {
  Result<StoredRows<Row>> found = read_rows(database, key_of(row));
  if (!found.ok()) return found.error();
  if (Status status = remove_damaged(database, kTable<Row>, found->damaged); !status.ok())
    return status.error();
  for (Row& there : found->rows) {
    // An empty field of the key fits everything in a pattern.
    if (row_identity(there) == row_identity(row)) return std::optional<Row>(std::move(there));
  }
  return std::optional<Row>();
}

Result<std::optional<StoredBinary>> row_there(Database& database, const StoredBinary& binary) {
  Result<std::optional<StoredBinary>> found = select_binary(database, binary.key);
  if (found.ok() && *found && !decode_binary(**found).ok()) return std::optional<StoredBinary>();
  return found;
}

Status store(Database& database, const TuningRow& row) { return write_row(database, row); }
Status store(Database& database, const WinnerRow& row) { return write_row(database, row); }
Status store(Database& database, const QuarantineRow& row) { return write_row(database, row); }
Status store(Database& database, const StoredBinary& binary) { return insert_binary(database, binary); }

template <typename Content>
Status merge_all(Database& database, const std::vector<Content>& contents, MergeCounts* counts) {
  for (const Content& content : contents) {
    auto there = row_there(database, content);
    if (!there.ok()) return there.error();
    if (*there && !better(content, **there)) {
      ++counts->kept;
      continue;
    }
    ++(*there ? counts->replaced : counts->added);
    if (Status status = store(database, content); !status.ok()) return status;
  }
  return {};
}

}  // namespace

bool better(const TuningRow& a, const TuningRow& b) { return better_by_rank(a, b); }
bool better(const WinnerRow& a, const WinnerRow& b) { return better_by_rank(a, b); }
bool better(const QuarantineRow& a, const QuarantineRow& b) { return better_by_rank(a, b); }
bool better(const StoredBinary& a, const StoredBinary& b) { return better_by_rank(a, b); }

Result<MergeReport> merge_into(Store& store, const Contents& other) {
  for (const TuningRow& row : other.rows) {
    if (Status status = check_row(row); !status.ok()) return status.error();
  }
  for (const WinnerRow& row : other.winners) {
    if (Status status = check_row(row); !status.ok()) return status.error();
  }
  for (const QuarantineRow& row : other.quarantine) {
    if (Status status = check_row(row); !status.ok()) return status.error();
  }
  MergeReport report;
  const Status status = store.write_user([&](Database& database) -> Status {
    report = {};
    if (Status rows = merge_all(database, other.rows, &report.rows); !rows.ok()) return rows;
    if (Status winners = merge_all(database, other.winners, &report.winners); !winners.ok()) return winners;
    if (Status quarantine = merge_all(database, other.quarantine, &report.quarantine); !quarantine.ok())
      return quarantine;
    return merge_all(database, other.binaries, &report.binaries);
  });
  if (!status.ok()) return status.error();
  return report;
}

}  // namespace rtjit
