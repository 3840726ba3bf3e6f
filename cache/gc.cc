#include "cache/gc.h"

#include <algorithm>
#include <ctime>
#include <set>
#include <tuple>
#include <vector>

#include "cache/binary_sql.h"

namespace rtjit {
namespace {

// What deciding needs of a row or winner, and what names it when it is deleted:
// a row that was replaced meanwhile has another checksum and stays.
struct Entry {
  int64_t rowid = 0;
  std::string checksum, template_name, template_hash;
  std::string
      config_key; // which config of which stage, bucket and device model
  std::string binary_key;
  int64_t updated_unix = 0;
  bool goes = false;
};
struct BinaryEntry {
  std::string key, sha256;
  int64_t stored_bytes = 0, created_unix = 0;
  bool goes = false;
};
struct Survey {
  std::vector<Entry> rows, winners, quarantine;
  std::vector<BinaryEntry> binaries;
  int64_t bytes = 0;
};

// Unit separators cannot be mistaken for a part of a name.
constexpr const char *kConfigKey =
    "template||char(31)||template_hash||char(31)||problem||char(31)||stage||"
    "char(31)||bucket||char(31)||"
    "target||char(31)||sku||char(31)||variant||char(31)||config";

Status read_entries(Database &database, const char *table,
                    const char *binary_key, std::vector<Entry> *entries) {
  Result<Statement> statement = database.prepare(fmt::format(
      "SELECT rowid,checksum,template,template_hash,{},{},updated_unix FROM {}",
      kConfigKey, binary_key, table));
  if (!statement.ok())
    return statement.error();
  while (true) {
    Result<bool> more = statement->step();
    if (!more.ok())
      return more.error();
    if (!*more)
      return {};
    entries->push_back({statement->integer(0), statement->text(1),
                        statement->text(2), statement->text(3),
                        statement->text(4), statement->text(5),
                        statement->integer(6)});
  }
}

Result<int64_t> used_bytes(Database &database) {
  Result<int64_t> pages = database.query_integer("PRAGMA page_count");
  if (!pages.ok())
    return pages;
  Result<int64_t> unused = database.query_integer("PRAGMA freelist_count");
  if (!unused.ok())
    return unused;
  Result<int64_t> page_bytes = database.query_integer("PRAGMA page_size");
  if (!page_bytes.ok())
    return page_bytes;
  return (*pages - *unused) * *page_bytes;
}

Status survey(Database &database, Survey *out) {
  *out = {};
  if (Status status =
          read_entries(database, "tuning", "binary_key", &out->rows);
      !status.ok())
    return status;
  if (Status status = read_entries(database, "winners", "''", &out->winners);
      !status.ok())
    return status;
  // A database that could not be migrated may be older than the table.
  Result<int64_t> has_quarantine =
      database.query_integer("SELECT count(*) FROM sqlite_master WHERE type='table' AND name='quarantine'");
  if (!has_quarantine.ok()) return has_quarantine.error();
  if (*has_quarantine != 0) {
    if (Status status = read_entries(database, "quarantine", "binary_key", &out->quarantine); !status.ok())
      return status;
  }
  Result<Statement> statement = database.prepare(
      "SELECT key,sha256,stored_bytes,created_unix FROM binaries");
  if (!statement.ok())
    return statement.error();
  while (true) {
    Result<bool> more = statement->step();
    if (!more.ok())
      return more.error();
    if (!*more)
      break;
    out->binaries.push_back({statement->text(0), statement->text(1),
                             statement->integer(2), statement->integer(3)});
  }
  Result<int64_t> bytes = used_bytes(database);
  if (!bytes.ok())
    return bytes.error();
  out->bytes = *bytes;
  return {};
}

// The binaries that these rows name.
template <typename Which>
std::set<std::string> named_by(const std::vector<Entry> &rows, Which &&which) {
  std::set<std::string> keys;
  for (const Entry &row : rows) {
    if (which(row))
      keys.insert(row.binary_key);
  }
  return keys;
}

void mark_stale(const GcRequest &request, Survey *all) {
  if (request.current_hashes.empty())
    return;
  const auto stale = [&](const Entry &entry) {
    const auto known = request.current_hashes.find(entry.template_name);
    return known != request.current_hashes.end() &&
           known->second != entry.template_hash;
  };
  const std::set<std::string> by_stale = named_by(all->rows, stale);
  const std::set<std::string> by_others =
      named_by(all->rows, [&](const Entry &row) { return !stale(row); });
  for (Entry &row : all->rows)
    row.goes |= stale(row);
  for (Entry &winner : all->winners)
    winner.goes |= stale(winner);
  for (Entry& row : all->quarantine) row.goes |= stale(row);
  for (BinaryEntry &binary : all->binaries) {
    binary.goes |=
        by_stale.contains(binary.key) && !by_others.contains(binary.key);
  }
}

std::set<std::string> needed_configs(const Survey &all) {
  std::set<std::string> configs;
  for (const Entry &winner : all.winners) {
    if (!winner.goes)
      configs.insert(winner.config_key);
  }
  return configs;
}

std::set<std::string> needed_binaries(const Survey &all) {
  const std::set<std::string> configs = needed_configs(all);
  return named_by(all.rows, [&](const Entry &row) {
    return !row.goes && configs.contains(row.config_key);
  });
}

void mark_old(int64_t cutoff, Survey *all) {
  for (Entry &winner : all->winners)
    winner.goes |= winner.updated_unix < cutoff;
  const std::set<std::string> configs = needed_configs(*all);
  for (Entry &row : all->rows)
    row.goes |= row.updated_unix < cutoff && !configs.contains(row.config_key);
  const std::set<std::string> needed = needed_binaries(*all);
  for (BinaryEntry &binary : all->binaries) {
    binary.goes |= binary.created_unix < cutoff && !needed.contains(binary.key);
  }
}

// Until what remains is expected to fit.
void mark_excess(int64_t max_bytes, Survey *all) {
  const std::set<std::string> needed = needed_binaries(*all);
  std::vector<BinaryEntry *> candidates;
  int64_t bytes = all->bytes;
  for (BinaryEntry &binary : all->binaries) {
    if (binary.goes) {
      bytes -= binary.stored_bytes;
    } else {
      candidates.push_back(&binary);
    }
  }
  std::sort(candidates.begin(), candidates.end(),
            [&](const BinaryEntry *a, const BinaryEntry *b) {
              return std::make_tuple(needed.contains(a->key), a->created_unix,
                                     a->key) <
                     std::make_tuple(needed.contains(b->key), b->created_unix,
                                     b->key);
            });
  for (BinaryEntry *binary : candidates) {
    if (bytes <= max_bytes)
      break;
    binary->goes = true;
    bytes -= binary->stored_bytes;
  }
}

Status delete_entries(Database &database, const char *table,
                      const std::vector<Entry> &entries) {
  const std::string sql =
      fmt::format("DELETE FROM {} WHERE rowid=? AND checksum=?", table);
  for (const Entry &entry : entries) {
    if (!entry.goes)
      continue;
    Result<Statement> statement = database.prepare(sql);
    if (!statement.ok())
      return statement.error();
    statement->bind(entry.rowid);
    statement->bind(std::string_view(entry.checksum));
    if (Status status = statement->run(); !status.ok())
      return status;
  }
  return {};
}

Status delete_binaries(Database &database,
                       const std::vector<BinaryEntry> &binaries) {
  for (const BinaryEntry &binary : binaries) {
    if (!binary.goes)
      continue;
    if (Status status = delete_binary(database, binary.key, binary.sha256);
        !status.ok())
      return status;
  }
  return {};
}

GcReport count(const Survey &all) {
  GcReport report;
  const auto going = [](const Entry &entry) { return entry.goes; };
  report.winners = std::count_if(all.winners.begin(), all.winners.end(), going);
  report.rows = std::count_if(all.rows.begin(), all.rows.end(), going);
  report.quarantined = std::count_if(all.quarantine.begin(), all.quarantine.end(), going);
  for (const BinaryEntry &binary : all.binaries) {
    if (!binary.goes)
      continue;
    ++report.binaries;
    report.binary_bytes += binary.stored_bytes;
  }
  report.bytes_before = all.bytes;
  report.bytes_after = all.bytes - report.binary_bytes;
  return report;
}

} // namespace

Result<GcReport> collect_garbage(Store &store, const GcRequest &request) {
  if (request.older_than_seconds.value_or(0) < 0 ||
      request.max_bytes.value_or(0) < 0) {
    return make_error(ErrorCode::invalid_argument,
                      "age and size must not be negative; came: {} s, {} B",
                      request.older_than_seconds.value_or(0),
                      request.max_bytes.value_or(0));
  }
  Survey all;
  if (Status status = store.read_user(
          [&](Database &database) { return survey(database, &all); });
      !status.ok())
    return status.error();
  const int64_t now =
      request.now_unix != 0 ? request.now_unix : int64_t{time(nullptr)};
  mark_stale(request, &all);
  if (request.older_than_seconds)
    mark_old(now - *request.older_than_seconds, &all);
  if (request.max_bytes)
    mark_excess(*request.max_bytes, &all);
  GcReport report = count(all);
  if (!request.dry_run && report.winners + report.rows + report.quarantined + report.binaries > 0) {
    const Status removed = store.write_user([&](Database &database) -> Status {
      if (Status rows = delete_entries(database, "tuning", all.rows);
          !rows.ok())
        return rows;
      if (Status winners = delete_entries(database, "winners", all.winners);
          !winners.ok())
        return winners;
      if (Status quarantine = delete_entries(database, "quarantine", all.quarantine); !quarantine.ok())
        return quarantine;
      return delete_binaries(database, all.binaries);
    });
    if (!removed.ok())
      return removed.error();
    if (Status status = store.compact_user(); !status.ok())
      return status.error();
    Result<int64_t> bytes = int64_t{0};
    const Status measured = store.read_user([&](Database &database) -> Status {
      bytes = used_bytes(database);
      return bytes.ok() ? Status() : Status(bytes.error());
    });
    if (!measured.ok())
      return measured.error();
    report.bytes_after = *bytes;
  }
  report.fits = !request.max_bytes || report.bytes_after <= *request.max_bytes;
  return report;
}

} // namespace rtjit
