#include "cache/verify.h"

#include "base/files.h"
#include "cache/binary_sql.h"
#include "cache/row_sql.h"
#include "cache/schema.h"

namespace rtjit {
namespace {

constexpr int kMaxIntegrityFindings = 20;

Result<std::unique_ptr<Database>> open_for_reading(const std::string& path) {
  Database::Options options;
  options.mode = Database::Mode::read_only;
  Result<std::unique_ptr<Database>> database = Database::open(path, options);
  // On media that nobody can write SQLite may be unable to lock; the first question shows it.
  if (database.ok() && (*database)->query_integer("PRAGMA schema_version").ok()) return database;
  if (directory_is_writable(parent_directory(path))) return database;
  options.mode = Database::Mode::immutable;
  return Database::open(path, options);
}

Status check_schema(Database& database) {
  Result<SchemaState> state = inspect_schema(database);
  if (!state.ok()) return state.error();
  if (state->kind == SchemaKind::foreign || state->kind == SchemaKind::unreadable) {
    return make_error(ErrorCode::unsupported, "{} is not a cache that this version (schema {}) can read",
                      database.path(), schema_version());
  }
  return {};
}

Status check_file(Database& database, VerifyReport* report) {
  Result<Statement> statement =
      database.prepare(fmt::format("PRAGMA integrity_check({})", kMaxIntegrityFindings));
  if (!statement.ok()) return statement.error();
  while (true) {
    Result<bool> more = statement->step();
    if (!more.ok()) return more.error();
    if (!*more) return {};
    if (const std::string finding = statement->text(0); finding != "ok")
      report->findings.push_back("the file: " + finding);
  }
}

// Names damaged rows by what can still be read of their key.
Status describe_damaged(Database& database, const char* table, const std::vector<DamagedRow>& damaged,
                        VerifyReport* report) {
  for (const DamagedRow& row : damaged) {
    Result<Statement> one = database.prepare(fmt::format(
        "SELECT template,stage,bucket,target,variant,config FROM {} WHERE rowid=? LIMIT 1", table));
    if (!one.ok()) return one.error();
    one->bind(row.rowid);
    Result<bool> there = one->step();
    if (!there.ok()) return there.error();
    report->findings.push_back(fmt::format(
        "table {}, row {} ({} {} bucket {} for {}: {} {}): does not fit its checksum {}", table, row.rowid,
        one->text(0), one->text(1), one->integer(2), one->text(3), one->text(4), one->text(5), row.checksum));
  }
  return {};
}

Status check_rows(Database& database, VerifyReport* report) {
  RowKey any_row;
  any_row.bucket = -1;
  Result<StoredRows<TuningRow>> rows = read_rows(database, any_row);
  if (!rows.ok()) return rows.error();
  report->bad_rows = static_cast<int64_t>(rows->damaged.size());
  report->rows = static_cast<int64_t>(rows->rows.size()) + report->bad_rows;
  if (Status status = describe_damaged(database, "tuning", rows->damaged, report); !status.ok())
    return status;
  WinnerRow any_winner;
  any_winner.bucket = -1;
  Result<StoredRows<WinnerRow>> winners = read_rows(database, any_winner);
  if (!winners.ok()) return winners.error();
  report->bad_winners = static_cast<int64_t>(winners->damaged.size());
  report->winners = static_cast<int64_t>(winners->rows.size()) + report->bad_winners;
  if (Status status = describe_damaged(database, "winners", winners->damaged, report); !status.ok())
    return status;
  QuarantineRow any_quarantined;
  any_quarantined.key.bucket = -1;
  Result<StoredRows<QuarantineRow>> quarantine = read_rows(database, any_quarantined);
  if (!quarantine.ok()) return quarantine.error();
  report->bad_quarantined = static_cast<int64_t>(quarantine->damaged.size());
  report->quarantined = static_cast<int64_t>(quarantine->rows.size()) + report->bad_quarantined;
  return describe_damaged(database, "quarantine", quarantine->damaged, report);
}

Status check_binaries(Database& database, VerifyReport* report) {
  Result<std::vector<std::string>> keys = binary_keys(database);
  if (!keys.ok()) return keys.error();
  for (const std::string& key : *keys) {
    Result<std::optional<StoredBinary>> stored = select_binary(database, key);
    if (!stored.ok()) return stored.error();
    if (!*stored) continue;  // another process took it away meanwhile
    ++report->binaries;
    Result<Binary> decoded = decode_binary(**stored);
    if (decoded.ok()) continue;
    ++report->bad_binaries;
    report->findings.push_back(
        fmt::format("binary {} ({}): {}", key, (*stored)->label, decoded.error().message));
  }
  return {};
}

}  // namespace

Result<VerifyReport> verify_database(const std::string& path) {
  if (!file_identity(path)) {
    return make_error(ErrorCode::not_found, "{}: no such file; give the path of a cache database", path);
  }
  VerifyReport report;
  const auto look = [&]() -> Status {
    Result<std::unique_ptr<Database>> database = open_for_reading(path);
    if (!database.ok()) return database.error();
    if (Status status = check_schema(**database); !status.ok()) return status;
    if (Status status = check_file(**database, &report); !status.ok()) return status;
    if (Status status = check_rows(**database, &report); !status.ok()) return status;
    return check_binaries(**database, &report);
  };
  const Status status = look();
  if (!status.ok() && status.error().code != ErrorCode::corrupt) return status.error();
  if (!status.ok()) report.findings.insert(report.findings.begin(), "the file: " + status.error().message);
  return report;
}

}  // namespace rtjit
