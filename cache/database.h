// A thin RAII layer over SQLite: connections, statements, transactions, errors with a story.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace rtjit {

class Database;

// A prepared statement, borrowed from its database's cache and given back when this object dies.
class Statement {
 public:
  Statement(Database* database, sqlite3_stmt* handle, bool cached);
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  // Binds the next parameter, in order from the first. A NaN is stored as NULL, as SQLite has none.
  void bind(int64_t value);
  void bind(double value);
  void bind(std::string_view text);
  void bind_blob(std::string_view bytes);

  Result<bool> step();  // true: there is a row to read
  Status run();         // steps to the end

  // The columns of the current row. A NULL reads as 0, NaN and "".
  int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;
  std::string_view blob(int column) const;  // valid until the next step

 private:
  Database* database_;
  sqlite3_stmt* handle_;
  bool cached_;
  int next_ = 1;
  int bind_error_ = 0;
};

// One connection. Not thread-safe; may move between threads. Must not cross a fork.
class Database {
 public:
  enum class Mode {
    create,     // read and write; made when it is not there. Falls back to reading when the system says so
    read_only,  // sees what others write
    immutable,  // for media that nobody can write: no locks, no shared memory
  };
  struct Options {
    Mode mode = Mode::create;
    std::string vfs;  // SQLite's name of the file layer to use; "" = its default
    std::chrono::milliseconds busy_timeout{5000};
  };
  static Result<std::unique_ptr<Database>> open(const std::string& path, const Options& options);
  // The bytes of a database file that outlive the connection, for reading; nothing is copied. `name` is for
  // messages.
  static Result<std::unique_ptr<Database>> open_bytes(const std::string& name, std::string_view bytes);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Any number of statements separated by semicolons; results are ignored.
  Status execute(const std::string& sql);
  // Cached by its text.
  Result<Statement> prepare(std::string_view sql);
  // The first column of the first row; 0 and "" without a row.
  Result<int64_t> query_integer(std::string_view sql);
  Result<std::string> query_text(std::string_view sql);

  // BEGIN IMMEDIATE, `body`, COMMIT; rolled back when any of them fails.
  Status transaction(const std::function<Status()>& body);

  // Write-ahead log where `allowed` and the file system agrees, else a rollback journal. Only for writable
  // connections.
  Status choose_journal(bool write_ahead_allowed);

  // SQLite's integrity check: ErrorCode::corrupt with its first finding.
  Status check_integrity();

  bool is_read_only() const;
  const std::string& path() const { return path_; }

  // The error for a result code of SQLite on this connection.
  Error error(int code, std::string_view doing) const;

 private:
  friend class Statement;
  Database() = default;
  Status set_up(std::chrono::milliseconds busy_timeout);
  void give_back(sqlite3_stmt* handle, bool cached);

  sqlite3* handle_ = nullptr;
  std::string path_;
  std::map<std::string, sqlite3_stmt*, std::less<>> idle_;  // statements that nobody uses now, by text
};

// The kind of error that a result code of SQLite is.
ErrorCode error_code_of(int sqlite_code);

}  // namespace rtjit
