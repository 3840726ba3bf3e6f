// One database file of a store, with everything that can go wrong with a file: missing, read-only, full,
// damaged, foreign, newer, replaced while open. None of it is an error for a reader.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cache/database.h"
#include "cache/warn_once.h"

namespace rtjit {

// Thread-safe. A reader never waits for a writer of this process: they have a connection each.
class Layer {
 public:
  enum class Role {
    user,       // created, migrated and repaired (set aside when damaged)
    read_only,  // never changed; ignored when it cannot be used
  };
  struct Options {
    std::string path;  // ":memory:": nothing is kept
    Role role = Role::user;
    std::string vfs;
    std::function<Status(Database&)> admit{};  // a read-only file is used only when this agrees
    // StoreOptions::network_file_system
    std::function<std::string(const std::string&)> network_file_system{};
    // A read-only database in memory instead of a file; `path` is its name in messages.
    std::string_view bytes{};
  };
  Layer(Options options, WarnOnce* warnings);
  ~Layer();

  // Runs `body` on the reading connection. Success without calling it where there is no usable database. It
  // may run more than once (a damaged file is replaced by an empty one): it must begin by clearing what it
  // fills.
  Status read(const std::function<Status(Database&)>& body);

  // Runs `body` in one transaction on the writing connection; committed on success. It may run more than
  // once. ErrorCode::read_only or io where writing is impossible.
  Status write(const std::function<Status(Database&)>& body);

  // Gives the room of what was deleted back to the file system.
  Status compact();

  const std::string& path() const { return options_.path; }
  bool writable();
  int schema_version();  // 0: no usable database

 private:
  struct Session;
  using SessionPtr = std::shared_ptr<Session>;

  bool is_current(const SessionPtr& session) const;  // whether the path still names the file that is open
  SessionPtr current();
  SessionPtr current_for_writing(Error* why_not);
  Status write_once(Session& session, const std::function<Status(Database&)>& body);

  // layer_open.cc
  SessionPtr open();
  SessionPtr open_user(const Status& folder = {});  // `folder`: whether the file's folder is there
  SessionPtr open_read_only();
  Result<SessionPtr> try_open(Database::Mode mode);
  Result<std::unique_ptr<Database>> connect(Database::Mode mode);
  void recover(const SessionPtr& broken, bool sure, const Error& why);
  bool looks_whole();
  std::string network_holding_the_file() const;  // "nfs"; "": none
  bool set_aside(const Error& why);
  std::string lock_path() const { return options_.path + ".lock"; }
  bool is_memory() const { return options_.path == ":memory:"; }

  const Options options_;
  WarnOnce* const warnings_;
  std::mutex mutex_;       // guards what follows
  SessionPtr session_;     // null: no usable database
  std::string reason_;     // why writing is impossible, for the error
  bool given_up_ = false;  // do not try to open again
};

}  // namespace rtjit
