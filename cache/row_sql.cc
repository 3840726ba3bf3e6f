#include "cache/row_sql.h"

#include <cmath>

#include "base/hash.h"
#include "base/text.h"
#include "cache/row_fields.h"

namespace rtjit {
namespace {

// Whether rows of one key are weighed by what they know.
template <typename Row>
constexpr bool kWeighed = !std::is_same_v<Row, QuarantineRow>;

struct Binder {
  Statement& statement;
  void operator()(const char*, const std::string& value) { statement.bind(std::string_view(value)); }
  void operator()(const char*, double value) { statement.bind(value); }
  void operator()(const char*, int64_t value) { statement.bind(value); }
  void operator()(const char*, int value) { statement.bind(int64_t{value}); }
  void operator()(const char*, bool value) { statement.bind(int64_t{value}); }
  void operator()(const char*, Verdict value) { statement.bind(std::string_view(to_string(value))); }
  void operator()(const char*, Knowledge value) { statement.bind(std::string_view(to_string(value))); }
  void operator()(const char*, Reached value) { statement.bind(std::string_view(to_string(value))); }
};

struct Reader {
  const Statement& statement;
  int column = 0;
  bool good = true;  // every name is one that we know

  void operator()(const char*, std::string& value) { value = statement.text(column++); }
  void operator()(const char*, double& value) { value = statement.real(column++); }
  void operator()(const char*, int64_t& value) { value = statement.integer(column++); }
  void operator()(const char*, int& value) { value = static_cast<int>(statement.integer(column++)); }
  void operator()(const char*, bool& value) { value = statement.integer(column++) != 0; }
  void operator()(const char*, Verdict& value) { read_name(parse_verdict(statement.text(column++)), value); }
  void operator()(const char*, Knowledge& value) {
    read_name(parse_knowledge(statement.text(column++)), value);
  }
  void operator()(const char*, Reached& value) { read_name(parse_reached(statement.text(column++)), value); }

  template <typename Enum>
  void read_name(std::optional<Enum> parsed, Enum& value) {
    if (parsed) {
      value = *parsed;
    } else {
      good = false;
    }
  }
};

struct Hasher {
  ContentHash& hash;
  void operator()(const char*, const std::string& value) { hash.add(std::string_view(value)); }
  // As SQLite gives it back: it has no negative zero, and one kind of NaN.
  void operator()(const char*, double value) {
    hash.add(std::string_view(std::isnan(value) ? "nan" : fmt::format("{:.17g}", value + 0.0)));
  }
  void operator()(const char*, int64_t value) { hash.add(value); }
  void operator()(const char*, int value) { hash.add(int64_t{value}); }
  void operator()(const char*, bool value) { hash.add(int64_t{value}); }
  void operator()(const char*, Verdict value) { hash.add(std::string_view(to_string(value))); }
  void operator()(const char*, Knowledge value) { hash.add(std::string_view(to_string(value))); }
  void operator()(const char*, Reached value) { hash.add(std::string_view(to_string(value))); }
};

template <typename Row>
std::string row_checksum(const Row& row) {
  ContentHash hash;
  hash.add(std::string_view(kTable<Row>));
  visit_all(row, Hasher{hash});
  return hash.hex().substr(0, 16);
}

template <typename Row>
std::vector<std::string> columns() {
  std::vector<std::string> names;
  Row row;
  visit_all(row, [&](const char* column, const auto&) { names.push_back(column); });
  return names;
}

template <typename Row>
std::string make_upsert() {
  std::vector<std::string> all = columns<Row>();
  if (kWeighed<Row>) all.push_back("evidence");
  all.push_back("checksum");
  std::vector<std::string> key, updates;
  const auto add_key = [&](const char* column, const auto&) { key.push_back(column); };
  Row row;
  visit_identity(row, add_key);
  for (size_t i = key.size(); i < all.size(); ++i) updates.push_back(all[i] + "=excluded." + all[i]);
  return fmt::format(
      "INSERT INTO {0} ({1}) VALUES ({2}) ON CONFLICT ({3}) DO UPDATE SET {4} "
      "{5}",
      kTable<Row>, join(all, ","), join(std::vector<std::string>(all.size(), "?"), ","), join(key, ","),
      join(updates, ","),
      kWeighed<Row> ? fmt::format("WHERE excluded.evidence >= {}.evidence", kTable<Row>) : "");
}

template <typename Row>
Status write(Database& database, const Row& row) {
  static const std::string sql = make_upsert<Row>();
  Result<Statement> statement = database.prepare(sql);
  if (!statement.ok()) return statement.error();
  visit_all(row, Binder{*statement});
  if (kWeighed<Row>) statement->bind(int64_t{evidence(row)});
  statement->bind(std::string_view(row_checksum(row)));
  return statement->run();
}

// Schema version 2, which read-only layers may still have, gave rejections from before the run 3.
bool right_evidence(const TuningRow& row, int64_t stored) {
  const bool rejection = row.verdict != Verdict::ok && !failed_when_run(row.verdict);
  return stored == evidence(row) || (rejection && stored == 3);
}
bool right_evidence(const WinnerRow& row, int64_t stored) { return stored == evidence(row); }
bool right_evidence(const QuarantineRow& row, int64_t stored) { return stored == evidence(row); }

// Conditions only for the fields that are given, so that SQLite can use the index.
struct Condition {
  std::string sql;
  void operator()(const char* column, const std::string& value) {
    if (!value.empty()) add(column);
  }
  void operator()(const char* column, int64_t value) {
    if (value >= 0) add(column);
  }
  void add(const char* column) { sql += fmt::format("{} {}=?", sql.empty() ? " WHERE" : " AND", column); }
};

struct ConditionBinder {
  Statement& statement;
  void operator()(const char*, const std::string& value) {
    if (!value.empty()) statement.bind(std::string_view(value));
  }
  void operator()(const char*, int64_t value) {
    if (value >= 0) statement.bind(value);
  }
};

// Winners name their config among the values, which a pattern may give too.
void visit_pattern(const RowKey& pattern, auto&& visit) { visit_row_key(pattern, visit); }
void visit_pattern(const WinnerRow& pattern, auto&& visit) { visit_row_key(pattern, visit); }
void visit_pattern(const QuarantineRow& pattern, auto&& visit) { visit_identity(pattern, visit); }

// `configs`: null for all.
template <typename Row, typename Pattern>
Result<StoredRows<Row>> read(Database& database, const Pattern& pattern,
                             const std::vector<ConfigName>* configs = nullptr) {
  Condition condition;
  visit_pattern(pattern, condition);
  if (configs != nullptr) {
    condition.sql +=
        fmt::format("{} (stage,variant,config) IN (VALUES {})", condition.sql.empty() ? " WHERE" : " AND",
                    join(std::vector<std::string>(configs->size(), "(?,?,?)"), ","));
  }
  static const std::string select =
      fmt::format("SELECT {},{},checksum,rowid FROM {}", join(columns<Row>(), ","),
                  kWeighed<Row> ? "evidence" : "0", kTable<Row>);
  Result<Statement> statement = database.prepare(select + condition.sql);
  if (!statement.ok()) return statement.error();
  visit_pattern(pattern, ConditionBinder{*statement});
  for (size_t i = 0; configs != nullptr && i < configs->size(); ++i) {
    for (const std::string* text : {&(*configs)[i].stage, &(*configs)[i].variant, &(*configs)[i].config})
      statement->bind(std::string_view(*text));
  }
  StoredRows<Row> result;
  while (true) {
    Result<bool> more = statement->step();
    if (!more.ok()) return more.error();
    if (!*more) return result;
    Row row;
    Reader reader{*statement};
    visit_all(row, reader);
    const std::string checksum = statement->text(reader.column + 1);
    if (reader.good && right_evidence(row, statement->integer(reader.column)) &&
        checksum == row_checksum(row)) {
      result.rows.push_back(std::move(row));
    } else {
      result.damaged.push_back({statement->integer(reader.column + 2), checksum});
    }
  }
}

}  // namespace

Status write_row(Database& database, const TuningRow& row) { return write(database, row); }
Status write_row(Database& database, const WinnerRow& row) { return write(database, row); }
Status write_row(Database& database, const QuarantineRow& row) { return write(database, row); }

Result<StoredRows<TuningRow>> read_rows(Database& database, const RowKey& pattern) {
  return read<TuningRow>(database, pattern);
}
Result<StoredRows<TuningRow>> read_rows(Database& database, const RowKey& pattern,
                                        const std::vector<ConfigName>& configs) {
  return configs.empty() ? StoredRows<TuningRow>{} : read<TuningRow>(database, pattern, &configs);
}
Result<StoredRows<WinnerRow>> read_rows(Database& database, const WinnerRow& pattern) {
  return read<WinnerRow>(database, pattern);
}
Result<StoredRows<QuarantineRow>> read_rows(Database& database, const QuarantineRow& pattern) {
  Result<int64_t> there =
      database.query_integer("SELECT count(*) FROM sqlite_master WHERE type='table' AND name='quarantine'");
  if (!there.ok()) return there.error();
  if (*there == 0) return StoredRows<QuarantineRow>{};
  return read<QuarantineRow>(database, pattern);
}

Status remove_winner_of(Database& database, const RowKey& key) {
  Result<Statement> statement = database.prepare(
      "DELETE FROM winners WHERE template=? AND template_hash=? AND problem=? AND stage=? AND ? IN (0, "
      "bucket) AND "
      "target=? AND sku=? AND variant=? AND config=?");
  if (!statement.ok()) return statement.error();
  visit_row_key(key, Binder{*statement});
  return statement->run();
}

Status release_config(Database& database, const RowKey& key, const std::string& compiler) {
  RowKey config = key;
  config.bucket = -1;
  config.sku.clear();
  Condition condition;
  visit_pattern(config, condition);
  const std::string failed = fmt::format("{} AND verdict IN ('{}','{}')", condition.sql,
                                         to_string(Verdict::fault), to_string(Verdict::hang));
  Result<Statement> rows = database.prepare("DELETE FROM tuning" + failed);
  if (!rows.ok()) return rows.error();
  visit_pattern(config, ConditionBinder{*rows});
  if (Status status = rows->run(); !status.ok()) return status;
  Result<Statement> quarantine =
      database.prepare("DELETE FROM quarantine" + failed + (compiler.empty() ? "" : " AND compiler=?"));
  if (!quarantine.ok()) return quarantine.error();
  visit_pattern(config, ConditionBinder{*quarantine});
  if (!compiler.empty()) quarantine->bind(std::string_view(compiler));
  return quarantine->run();
}

Status remove_damaged(Database& database, const char* table, const std::vector<DamagedRow>& damaged) {
  for (const DamagedRow& row : damaged) {
    Result<Statement> statement =
        database.prepare(fmt::format("DELETE FROM {} WHERE rowid=? AND checksum=?", table));
    if (!statement.ok()) return statement.error();
    statement->bind(row.rowid);
    statement->bind(std::string_view(row.checksum));
    if (Status status = statement->run(); !status.ok()) return status;
  }
  return {};
}

}  // namespace rtjit
