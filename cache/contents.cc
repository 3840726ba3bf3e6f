#include "cache/contents.h"

#include <algorithm>
#include <set>

#include "base/files.h"
#include "cache/binary_sql.h"
#include "cache/layer.h"
#include "cache/row_fields.h"
#include "cache/row_sql.h"

namespace rtjit {
namespace {

template <typename Row>
void sort_rows(std::vector<Row>& rows) {
  std::sort(rows.begin(), rows.end(),
            [](const Row& a, const Row& b) { return row_identity(a) < row_identity(b); });
}

Status read_binaries(Database& database, const ContentsFilter& filter, Contents* contents) {
  std::set<std::string> named;
  for (const TuningRow& row : contents->rows) named.insert(row.binary_key);
  Result<std::vector<std::string>> keys = binary_keys(database);
  if (!keys.ok()) return keys.error();
  for (const std::string& key : *keys) {
    if (!filter.template_name.empty() && !named.contains(key)) continue;
    Result<std::optional<StoredBinary>> binary = select_binary(database, key);
    if (!binary.ok()) return binary.error();
    if (!*binary || (!filter.target.empty() && (*binary)->target != filter.target)) continue;
    if (decode_binary(**binary).ok()) {
      contents->binaries.push_back(**std::move(binary));
    } else {
      ++contents->damaged;
    }
  }
  return {};
}

}  // namespace

Result<Contents> read_contents(Database& database, const ContentsFilter& filter) {
  Contents contents;
  RowKey rows_like;
  rows_like.bucket = -1;
  rows_like.target = filter.target;
  rows_like.template_name = filter.template_name;
  Result<StoredRows<TuningRow>> rows = read_rows(database, rows_like);
  if (!rows.ok()) return rows.error();
  WinnerRow winners_like;
  winners_like.bucket = -1;
  winners_like.target = filter.target;
  winners_like.template_name = filter.template_name;
  Result<StoredRows<WinnerRow>> winners = read_rows(database, winners_like);
  if (!winners.ok()) return winners.error();
  QuarantineRow quarantine_like;
  quarantine_like.key = rows_like;
  Result<StoredRows<QuarantineRow>> quarantine = read_rows(database, quarantine_like);
  if (!quarantine.ok()) return quarantine.error();
  contents.rows = std::move(rows->rows);
  contents.quarantine = std::move(quarantine->rows);
  contents.winners = std::move(winners->rows);
  contents.damaged =
      static_cast<int64_t>(rows->damaged.size() + winners->damaged.size() + quarantine->damaged.size());
  sort_rows(contents.rows);
  sort_rows(contents.winners);
  sort_rows(contents.quarantine);
  if (filter.with_binaries) {
    if (Status status = read_binaries(database, filter, &contents); !status.ok()) return status.error();
  }
  return contents;
}

Result<Contents> read_contents(const Store& store, const ContentsFilter& filter) {
  Contents contents;
  const Status status = store.read_user([&](Database& database) -> Status {
    Result<Contents> all = read_contents(database, filter);
    if (!all.ok()) return all.error();
    contents = *std::move(all);
    return {};
  });
  if (!status.ok()) return status.error();
  return contents;
}

Result<Contents> read_contents(const std::string& path, const ContentsFilter& filter) {
  if (!file_identity(path)) {
    return make_error(ErrorCode::not_found, "{}: no such file; give the path of a cache database", path);
  }
  std::string said;
  WarnOnce warnings([&](const std::string& text) { said += (said.empty() ? "" : "; ") + text; });
  Layer layer(Layer::Options{path, Layer::Role::read_only, ""}, &warnings);
  Contents contents;
  bool read = false;
  const Status status = layer.read([&](Database& database) -> Status {
    Result<Contents> all = read_contents(database, filter);
    if (!all.ok()) return all.error();
    contents = *std::move(all);
    read = true;
    return {};
  });
  if (!status.ok()) return status.error();
  if (!read) return make_error(ErrorCode::unsupported, "{} cannot be read: {}", path, said);
  return contents;
}

}  // namespace rtjit
