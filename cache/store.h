// One SQLite database of tuning rows, winners and binaries; and the layering of a user database over
// read-only ones.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cache/records.h"
#include "compiler/compile.h"

namespace rtjit {

class Database;

struct StoreOptions {
  std::string path{};  // file; "" = user_cache_path(); ":memory:" = nothing is kept
  // Prebuilt databases and packs beneath it, then those that RTJIT_PACKS lists (separated by colons).
  std::vector<std::string> read_only{};
  // File of public keys: what lies beneath must be packs signed by one of them. "" = RTJIT_TRUST; neither:
  // anything goes.
  std::string trusted_keys{};
  // A database in memory (the bytes of its file, which outlive the store) beneath all others: what came with
  // the program. Trusted as the program is.
  std::string_view prebuilt{};
  std::function<void(const std::string&)> warn{};  // said once per cause; default: standard error
  std::string vfs{};  // SQLite's name of the file layer; tests inject storage faults through it
  // Which network file system holds a folder, "" for a local one; empty: network_file_system() of
  // base/files.h. Tests have no NFS.
  std::function<std::string(const std::string&)> network_file_system{};
};

// RTJIT_CACHE (a file, or a folder), else $XDG_CACHE_HOME/rtjit/cache.db, else ~/.cache/rtjit/cache.db.
Result<std::string> user_cache_path();

// Thread-safe; must not be used across a fork. Every write is committed when the call returns. A store that
// cannot be written (read-only file system, full disk) answers reads and says so once; a corrupt file is set
// aside and counts as empty. Neither fails a lookup.
class Store {
 public:
  // An error only where the file of trusted keys cannot be read, or (ErrorCode::invalid_argument) where
  // options.path names a file that is no database and never was a cache; it is left as it is.
  static Result<std::unique_ptr<Store>> open(const StoreOptions& options);
  ~Store();

  // Rows are per config: an equal key replaces. Better knowledge is not replaced by worse (measured by
  // predicted).
  // A row that failed when run (failed_when_run) takes its config's wins away.
  Status put_row(const TuningRow& row);
  Status put_rows(const std::vector<TuningRow>& rows);  // one transaction
  // Rows that match; empty fields of the key (and bucket -1) match everything.
  Result<std::vector<TuningRow>> rows(const RowKey& pattern) const;
  // Of those, the rows of these configs: one question for all of them.
  Result<std::vector<TuningRow>> rows(const RowKey& pattern, const std::vector<ConfigName>& configs) const;

  // A measured winner must be verified (ErrorCode::invalid_argument).
  Status put_winner(const WinnerRow& row) { return put_winner(row, {}); }
  // The same in one transaction with rows that it rests on.
  Status put_winner(const WinnerRow& row, const std::vector<TuningRow>& rows);
  Result<std::vector<WinnerRow>> winners(const WinnerRow& pattern) const;  // empty fields, bucket -1: any

  // In one transaction with the row of the verdict.
  Status put_quarantine(const QuarantineRow& row, const TuningRow& verdict);
  Result<std::vector<QuarantineRow>> quarantine(const QuarantineRow& pattern) const;  // as winners()
  // Forgets that the key's config faulted or hung (release_config() in row_sql.h), so that it may be tried
  // again.
  Status release(const RowKey& key, const std::string& compiler = "");

  // Compressed and hashed; the hash covers the key. A blob that fails its hash is a miss.
  Status put_binary(const Binary& binary, const std::string& target, const std::string& label);
  Result<std::shared_ptr<const Binary>> find_binary(const std::string& key) const;  // null: a miss

  struct Info {
    std::string path;
    std::vector<std::string> read_only;
    bool writable = false;
    int schema_version = 0;
    int64_t rows = 0, winners = 0, binaries = 0, quarantined = 0, file_bytes = 0, binary_bytes = 0;
  };
  Result<Info> info() const;

  // For the functions of cache/ that care for the user database as a whole (contents.h, merge.h, gc.h). As
  // Layer::read, write and compact: `body` may run more than once, or (reading) not at all where there is no
  // database.
  Status read_user(const std::function<Status(Database&)>& body) const;
  Status write_user(const std::function<Status(Database&)>& body);
  Status compact_user();

 private:
  Store();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rtjit
