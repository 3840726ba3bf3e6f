// How a Layer comes by its connections, and what it does with a file that it cannot use.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <vector>

#include "cache/layer_session.h"
#include "cache/schema.h"

namespace rtjit {
namespace {

Error refusal(const std::string& path, const SchemaState& state) {
  if (state.kind == SchemaKind::foreign) {
    return make_error(
        ErrorCode::unsupported,
        "{} is a database of another program; it is left alone. Give the path of a cache, or of a file "
        "that is not there yet",
        path);
  }
  return make_error(
      ErrorCode::unsupported,
      "{} has schema version {}, which this library (version {}) cannot read. Upgrade the library, or "
      "give it another file with RTJIT_CACHE or --db",
      path, state.version, schema_version());
}

}  // namespace

Result<std::unique_ptr<Database>> Layer::connect(Database::Mode mode) {
  if (!options_.bytes.empty()) return Database::open_bytes(options_.path, options_.bytes);
  Database::Options options;
  options.mode = mode;
  options.vfs = options_.vfs;
  return Database::open(options_.path, options);
}

std::string Layer::network_holding_the_file() const {
  if (is_memory()) return "";
  const std::string folder = parent_directory(options_.path);
  return options_.network_file_system ? options_.network_file_system(folder) : network_file_system(folder);
}

// Opens and looks at what is there; creates or completes the tables when the mode allows it.
Result<Layer::SessionPtr> Layer::try_open(Database::Mode mode) {
  Result<std::unique_ptr<Database>> database = connect(mode);
  if (!database.ok()) return database.error();
  Result<SchemaState> state = inspect_schema(**database);
  if (!state.ok()) return state.error();
  if (state->kind == SchemaKind::foreign || state->kind == SchemaKind::unreadable) {
    given_up_ = true;
    return refusal(options_.path, *state);
  }
  auto session = std::make_shared<Session>();
  session->writable = mode == Database::Mode::create && !(*database)->is_read_only();
  if (state->kind == SchemaKind::newer) {
    session->writable = false;
    reason_ = fmt::format(
        "{} was written by a newer version of the library (schema {}; this one knows {}) and can only "
        "be read. Upgrade the library, or give it another file with RTJIT_CACHE or --db",
        options_.path, state->version, rtjit::schema_version());
  }
  if (session->writable) {
    const std::string network = network_holding_the_file();
    if (!network.empty()) {
      warnings_->warn(
          "network " + options_.path,
          fmt::format("the cache {} is on a network file system ({}): it is used without a write-ahead log, "
                      "which is slower. A local path in RTJIT_CACHE avoids this",
                      options_.path, network));
    }
    if (Status status = (*database)->choose_journal(network.empty()); !status.ok()) return status.error();
    if (Status status = migrate(**database, schema_steps()); !status.ok()) return status.error();
    if (!is_memory()) {
      Result<std::unique_ptr<Database>> writer = connect(mode);
      if (!writer.ok()) return writer.error();
      if (Status status = (*writer)->choose_journal(network.empty()); !status.ok()) return status.error();
      session->writer = *std::move(writer);
    }
  } else if (state->kind == SchemaKind::empty) {
    return make_error(ErrorCode::read_only, "{} is empty and cannot be written", options_.path);
  }
  if (options_.role == Role::read_only && options_.admit) {
    if (Status status = options_.admit(**database); !status.ok()) return status.error();
  }
  Result<int64_t> version = (*database)->query_integer("PRAGMA user_version");
  if (!version.ok()) return version.error();
  session->version = static_cast<int>(*version);
  session->identity = file_identity(options_.path);
  session->reader = *std::move(database);
  return session;
}

Layer::SessionPtr Layer::open() {
  if (given_up_) return nullptr;
  reason_.clear();
  if (options_.role == Role::read_only) return open_read_only();
  if (is_memory()) return open_user();
  const Status folder = make_directories(parent_directory(options_.path));
  const FileLock lock(lock_path());
  return open_user(folder);
}

// The caller holds mutex_ and the file's lock, as far as the folder can be written.
Layer::SessionPtr Layer::open_user(const Status& folder) {
  Error failure{ErrorCode::internal, ""};
  for (int attempt = 0; attempt < 3; ++attempt) {
    Result<SessionPtr> session = try_open(Database::Mode::create);
    if (session.ok()) {
      if (!(*session)->writable) {
        if (reason_.empty()) reason_ = fmt::format("{} cannot be written", options_.path);
        warnings_->warn("read only " + options_.path, reason_ + "; it is read, and new results are not kept");
      }
      return *std::move(session);
    }
    failure = session.error();
    if (failure.code != ErrorCode::corrupt || !set_aside(failure)) break;
  }
  reason_ = failure.message;
  if (given_up_ || failure.code == ErrorCode::corrupt) {
    warnings_->warn("refused " + options_.path, reason_ + "; going on without this cache");
    return nullptr;
  }
  // What cannot be opened for writing may still be read, the last state that reached the main file in any
  // case.
  for (const Database::Mode mode : {Database::Mode::read_only, Database::Mode::immutable}) {
    if (!file_identity(options_.path)) break;
    Result<SessionPtr> session = try_open(mode);
    if (!session.ok()) continue;
    warnings_->warn("read only " + options_.path,
                    fmt::format("the cache can only be read, new results are not kept: {}", reason_));
    return *std::move(session);
  }
  // Where there is no folder, that is why; SQLite only knows that it could not open the file.
  if (!folder.ok()) reason_ = fmt::format("{}: {}", options_.path, folder.error().message);
  warnings_->warn(
      "unusable " + options_.path,
      fmt::format("going on without a cache: {}. Name a place that can be written with RTJIT_CACHE or --db",
                  reason_));
  return nullptr;
}

Layer::SessionPtr Layer::open_read_only() {
  reason_ = fmt::format("{} is opened for reading only", options_.path);
  const bool in_memory = !options_.bytes.empty();
  if (!in_memory && !file_identity(options_.path)) {
    given_up_ = true;
    warnings_->warn("missing " + options_.path,
                    fmt::format("the read-only cache {} is not there; it is ignored", options_.path));
    return nullptr;
  }
  // Without a writable folder SQLite may be unable to make its lock files; nobody can change the file there
  // either, except that a log beside it must be taken into account.
  std::vector<Database::Mode> modes = {Database::Mode::read_only, Database::Mode::immutable};
  const bool locked_away = !directory_is_writable(parent_directory(options_.path));
  if (in_memory) modes = {Database::Mode::immutable};
  if (!in_memory && locked_away && file_bytes(options_.path + "-wal") == 0)
    modes = {Database::Mode::immutable};
  Error failure{ErrorCode::internal, ""};
  for (const Database::Mode mode : modes) {
    Result<SessionPtr> session = try_open(mode);
    if (session.ok()) return *std::move(session);
    failure = session.error();
  }
  given_up_ = true;
  warnings_->warn("ignored " + options_.path,
                  fmt::format("a read-only cache cannot be used and is ignored: {}", failure.message));
  return nullptr;
}

// A failure that says "corrupt" is looked into before it is believed: the tables may have been changed by a
// newer version of the library while we had them open, which needs a new connection and nothing else.
void Layer::recover(const SessionPtr& broken, bool sure, const Error& why) {
  const std::lock_guard lock(mutex_);
  if (session_ != broken) return;  // another thread was faster
  session_.reset();
  if (options_.role == Role::read_only || !broken->writable) {
    given_up_ = true;
    reason_ = why.message;
    warnings_->warn("damaged " + options_.path,
                    fmt::format("the cache {} is damaged and is ignored: {}", options_.path, why.message));
    return;
  }
  if (is_memory()) {
    session_ = open();
    return;
  }
  const FileLock file_lock(lock_path());
  const bool ours = file_identity(options_.path) == broken->identity;
  if (ours && (sure || !looks_whole())) (void)set_aside(why);
  session_ = open_user();
}

bool Layer::looks_whole() {
  Result<std::unique_ptr<Database>> database = connect(Database::Mode::create);
  if (!database.ok()) return database.error().code != ErrorCode::corrupt;
  Result<SchemaState> state = inspect_schema(**database);
  if (!state.ok()) return state.error().code != ErrorCode::corrupt;
  const Status status = (*database)->check_integrity();
  return status.ok() || status.error().code != ErrorCode::corrupt;
}

// Renames the file and its companions out of the way. The lock of the file is held.
bool Layer::set_aside(const Error& why) {
  if (is_memory()) return false;
  std::string aside = fmt::format("{}.corrupt-{}", options_.path, utc_stamp(time(nullptr)));
  for (int i = 2; file_identity(aside); ++i) {
    aside = fmt::format("{}.corrupt-{}-{}", options_.path, utc_stamp(time(nullptr)), i);
  }
  if (std::rename(options_.path.c_str(), aside.c_str()) != 0) return false;
  for (const char* companion : {"-wal", "-journal"}) {
    (void)std::rename((options_.path + companion).c_str(), (aside + companion).c_str());
  }
  (void)unlink((options_.path + "-shm").c_str());
  warnings_->warn("set aside " + aside,
                  fmt::format("the cache {} was damaged and is now {}; starting with an empty one. "
                              "What was found: {}",
                              options_.path, aside, why.message));
  return true;
}

}  // namespace rtjit
