#include "cache/binary_sql.h"

#include <ctime>

namespace rtjit {
namespace {

StoredBinary read_binary(Statement& statement, const std::string& key) {
  StoredBinary stored;
  stored.key = key;
  stored.target = statement.text(0);
  stored.compiler = statement.text(1);
  stored.label = statement.text(2);
  stored.kernels = statement.text(3);
  stored.features = statement.text(4);
  stored.log = statement.text(5);
  stored.compile_ms = statement.real(6);
  stored.cubin = std::string(statement.blob(7));
  stored.cubin_bytes = statement.integer(8);
  stored.ptx = std::string(statement.blob(9));
  stored.ptx_bytes = statement.integer(10);
  stored.sha256 = statement.text(11);
  stored.created_unix = statement.integer(12);
  return stored;
}

}  // namespace

Result<std::optional<StoredBinary>> select_binary(Database& database, const std::string& key) {
  Result<Statement> statement = database.prepare(
      "SELECT target,compiler,label,kernels,features,log,compile_ms,cubin,cubin_bytes,ptx,ptx_bytes,sha256,"
      "created_unix "
      "FROM binaries WHERE key=?");
  if (!statement.ok()) return statement.error();
  statement->bind(std::string_view(key));
  Result<bool> row = statement->step();
  if (!row.ok()) return row.error();
  if (!*row) return std::optional<StoredBinary>();
  return std::optional<StoredBinary>(read_binary(*statement, key));
}

Status insert_binary(Database& database, const StoredBinary& stored) {
  Result<Statement> statement = database.prepare(
      "INSERT OR REPLACE INTO binaries "
      "(key,target,compiler,label,kernels,features,log,compile_ms,cubin,cubin_bytes,ptx,"
      "ptx_bytes,stored_bytes,sha256,created_unix) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
  if (!statement.ok()) return statement.error();
  for (const std::string* text : {&stored.key, &stored.target, &stored.compiler, &stored.label,
                                  &stored.kernels, &stored.features, &stored.log}) {
    statement->bind(std::string_view(*text));
  }
  statement->bind(stored.compile_ms);
  statement->bind_blob(stored.cubin);
  statement->bind(stored.cubin_bytes);
  statement->bind_blob(stored.ptx);
  statement->bind(stored.ptx_bytes);
  statement->bind(static_cast<int64_t>(stored.cubin.size() + stored.ptx.size()));
  statement->bind(std::string_view(stored.sha256));
  statement->bind(stored.created_unix != 0 ? stored.created_unix : int64_t{time(nullptr)});
  return statement->run();
}

Status delete_binary(Database& database, const std::string& key, const std::string& sha256) {
  Result<Statement> statement = database.prepare("DELETE FROM binaries WHERE key=? AND sha256=?");
  if (!statement.ok()) return statement.error();
  statement->bind(std::string_view(key));
  statement->bind(std::string_view(sha256));
  return statement->run();
}

Result<std::vector<std::string>> binary_keys(Database& database) {
  Result<Statement> statement = database.prepare("SELECT key FROM binaries ORDER BY key");
  if (!statement.ok()) return statement.error();
  std::vector<std::string> keys;
  while (true) {
    Result<bool> more = statement->step();
    if (!more.ok()) return more.error();
    if (!*more) return keys;
    keys.push_back(statement->text(0));
  }
}

}  // namespace rtjit
