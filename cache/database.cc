#include "cache/database.h"

#include <sqlite3.h>

#include <cmath>
#include <limits>
#include <thread>

namespace rtjit {
namespace {

constexpr int kMaxValueBytes = 256 << 20;  // a damaged length field must not make SQLite allocate a gigabyte
constexpr size_t kMaxIdleStatements = 64;

// "file:" form of a path, for modes that only a URI can express.
std::string immutable_uri(const std::string& path) {
  std::string uri = "file:";
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#') {
      uri += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    } else {
      uri += c;
    }
  }
  return uri + "?immutable=1";
}

// Nothing in a database file may run code or change memory: it may have come from anywhere.
void harden(sqlite3* handle) {
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, kMaxValueBytes);
  sqlite3_extended_result_codes(handle, 1);
}

}  // namespace

ErrorCode error_code_of(int sqlite_code) {
  if (sqlite_code == SQLITE_IOERR_NOMEM) return ErrorCode::out_of_memory;
  switch (sqlite_code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      return ErrorCode::timeout;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_NOLFS:
      return ErrorCode::io;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return ErrorCode::read_only;
    case SQLITE_NOMEM:
      return ErrorCode::out_of_memory;
    case SQLITE_INTERRUPT:
      return ErrorCode::cancelled;
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_INTERNAL:
      return ErrorCode::internal;
    // All statements are fixed and all values are bound: where SQLite objects to one (no such column, a
    // constraint), the file is not what it claims to be.
    default:
      return ErrorCode::corrupt;
  }
}

Statement::Statement(Database* database, sqlite3_stmt* handle, bool cached)
    : database_(database), handle_(handle), cached_(cached) {}

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      handle_(other.handle_),
      cached_(other.cached_),
      next_(other.next_),
      bind_error_(other.bind_error_) {
  other.handle_ = nullptr;
}

Statement::~Statement() {
  if (handle_ != nullptr) database_->give_back(handle_, cached_);
}

void Statement::bind(int64_t value) {
  const int code = sqlite3_bind_int64(handle_, next_++, value);
  if (code != SQLITE_OK) bind_error_ = code;
}

void Statement::bind(double value) {
  const int code =
      std::isnan(value) ? sqlite3_bind_null(handle_, next_) : sqlite3_bind_double(handle_, next_, value);
  ++next_;
  if (code != SQLITE_OK) bind_error_ = code;
}

void Statement::bind(std::string_view text) {
  // An empty view may have a null pointer, which would bind NULL.
  const char* data = text.empty() ? "" : text.data();
  const int code = sqlite3_bind_text64(handle_, next_++, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (code != SQLITE_OK) bind_error_ = code;
}

void Statement::bind_blob(std::string_view bytes) {
  const char* data = bytes.empty() ? "" : bytes.data();
  const int code = sqlite3_bind_blob64(handle_, next_++, data, bytes.size(), SQLITE_TRANSIENT);
  if (code != SQLITE_OK) bind_error_ = code;
}

Result<bool> Statement::step() {
  if (bind_error_ != 0) return database_->error(bind_error_, "binding a value");
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return database_->error(code, sqlite3_stmt_readonly(handle_) ? "reading" : "writing");
}

Status Statement::run() {
  while (true) {
    Result<bool> more = step();
    if (!more.ok()) return more.error();
    if (!*more) return {};
  }
}

int64_t Statement::integer(int column) const { return sqlite3_column_int64(handle_, column); }

double Statement::real(int column) const {
  if (sqlite3_column_type(handle_, column) == SQLITE_NULL) return std::numeric_limits<double>::quiet_NaN();
  return sqlite3_column_double(handle_, column);
}

std::string Statement::text(int column) const {
  const unsigned char* data = sqlite3_column_text(handle_, column);
  if (data == nullptr) return "";
  return std::string(reinterpret_cast<const char*>(data), sqlite3_column_bytes(handle_, column));
}

std::string_view Statement::blob(int column) const {
  const void* data = sqlite3_column_blob(handle_, column);
  if (data == nullptr) return {};
  return {static_cast<const char*>(data), static_cast<size_t>(sqlite3_column_bytes(handle_, column))};
}

Result<std::unique_ptr<Database>> Database::open(const std::string& path, const Options& options) {
  std::unique_ptr<Database> database(new Database());
  database->path_ = path;
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  std::string name = path;
  switch (options.mode) {
    case Mode::create:
      flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
      break;
    case Mode::read_only:
      flags |= SQLITE_OPEN_READONLY;
      break;
    case Mode::immutable:
      flags |= SQLITE_OPEN_READONLY | SQLITE_OPEN_URI;
      name = immutable_uri(path);
      break;
  }
  const char* vfs = options.vfs.empty() ? nullptr : options.vfs.c_str();
  const int code = sqlite3_open_v2(name.c_str(), &database->handle_, flags, vfs);
  if (code != SQLITE_OK) return database->error(code, "opening");
  if (Status status = database->set_up(options.busy_timeout); !status.ok()) return status.error();
  return database;
}

Result<std::unique_ptr<Database>> Database::open_bytes(const std::string& name, std::string_view bytes) {
  std::unique_ptr<Database> database(new Database());
  database->path_ = name;
  int code = sqlite3_open_v2(":memory:", &database->handle_,
                             SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_READWRITE, nullptr);
  if (code == SQLITE_OK) {
    // SQLite takes a pointer to non-const, and only reads what is declared read-only.
    auto* data = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
    const auto size = static_cast<sqlite3_int64>(bytes.size());
    code = sqlite3_deserialize(database->handle_, "main", data, size, size, SQLITE_DESERIALIZE_READONLY);
  }
  if (code != SQLITE_OK) return database->error(code, "opening");
  if (Status status = database->set_up(std::chrono::milliseconds(0)); !status.ok()) return status.error();
  return database;
}

Status Database::set_up(std::chrono::milliseconds busy_timeout) {
  harden(handle_);
  sqlite3_busy_timeout(handle_, static_cast<int>(busy_timeout.count()));
  // cell_size_check finds damaged pages early; without memory mapping a file that shrinks cannot raise
  // SIGBUS.
  return execute("PRAGMA foreign_keys=ON; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0");
}

Database::~Database() {
  for (auto& [sql, statement] : idle_) sqlite3_finalize(statement);
  sqlite3_close_v2(handle_);
}

Error Database::error(int code, std::string_view doing) const {
  if (handle_ == nullptr) return make_error(ErrorCode::out_of_memory, "{}: {}: out of memory", path_, doing);
  const char* words = sqlite3_errstr(code);
  const char* detail = sqlite3_errmsg(handle_);
  const bool same =
      std::string_view(words) == detail || (sqlite3_extended_errcode(handle_) & 0xFF) != (code & 0xFF);
  return make_error(error_code_of(code), "{}: {}: {}{}{} (SQLite code {})", path_, doing, words,
                    same ? "" : ": ", same ? "" : detail, code);
}

Status Database::execute(const std::string& sql) {
  const int code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error(code, "executing");
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  const auto found = idle_.find(sql);
  if (found != idle_.end()) {
    sqlite3_stmt* statement = found->second;
    idle_.erase(found);
    return Statement(this, statement, true);
  }
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return error(code, "preparing a statement");
  return Statement(this, statement, idle_.size() < kMaxIdleStatements);
}

void Database::give_back(sqlite3_stmt* handle, bool cached) {
  sqlite3_reset(handle);
  sqlite3_clear_bindings(handle);
  if (cached && idle_.emplace(sqlite3_sql(handle), handle).second) return;
  sqlite3_finalize(handle);
}

Result<int64_t> Database::query_integer(std::string_view sql) {
  Result<Statement> statement = prepare(sql);
  if (!statement.ok()) return statement.error();
  Result<bool> row = statement->step();
  if (!row.ok()) return row.error();
  return *row ? statement->integer(0) : 0;
}

Result<std::string> Database::query_text(std::string_view sql) {
  Result<Statement> statement = prepare(sql);
  if (!statement.ok()) return statement.error();
  Result<bool> row = statement->step();
  if (!row.ok()) return row.error();
  return *row ? statement->text(0) : std::string();
}

Status Database::transaction(const std::function<Status()>& body) {
  if (Status begun = execute("BEGIN IMMEDIATE"); !begun.ok()) return begun;
  Status status = body();
  if (status.ok()) status = execute("COMMIT");
  // Some failures (a full disk) have already rolled back, so that there may be nothing left to undo.
  if (!status.ok() && sqlite3_get_autocommit(handle_) == 0) (void)execute("ROLLBACK");
  return status;
}

Status Database::choose_journal(bool write_ahead_allowed) {
  const std::string wanted = write_ahead_allowed ? "wal" : "delete";
  // Changing the mode needs the file for oneself, and SQLite does not always wait for it: other processes may
  // be doing the same right now. After 2 s whatever mode there is will do.
  for (int attempt = 0; attempt < 200; ++attempt) {
    Result<std::string> mode = query_text("PRAGMA journal_mode");
    if (mode.ok() && *mode != wanted && *mode != "memory") {
      mode = query_text(write_ahead_allowed ? "PRAGMA journal_mode=WAL" : "PRAGMA journal_mode=DELETE");
    }
    if (mode.ok() || mode.error().code != ErrorCode::timeout) {
      if (!mode.ok()) return mode.error();
      // A write-ahead log survives a crash of the machine without a flush per commit (the last commits may be
      // lost, the file stays whole); a rollback journal does not.
      return execute(*mode == "wal" ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return {};
}

Status Database::check_integrity() {
  Result<std::string> finding = query_text("PRAGMA integrity_check(1)");
  if (!finding.ok()) return finding.error();
  if (*finding != "ok") return make_error(ErrorCode::corrupt, "{}: {}", path_, *finding);
  return {};
}

bool Database::is_read_only() const { return sqlite3_db_readonly(handle_, "main") == 1; }

}  // namespace rtjit
