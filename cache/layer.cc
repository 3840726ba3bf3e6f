#include "cache/layer.h"

#include "cache/layer_session.h"

namespace rtjit {
namespace {

constexpr int kBusyRetries = 3;
constexpr int kRecoveries = 2;  // look again, then believe it

bool has_code(const Status& status, ErrorCode code) { return !status.ok() && status.error().code == code; }

}  // namespace

Layer::Layer(Options options, WarnOnce* warnings) : options_(std::move(options)), warnings_(warnings) {
  const std::lock_guard lock(mutex_);
  session_ = open();
}

Layer::~Layer() = default;

bool Layer::is_current(const SessionPtr& session) const {
  const bool watched = options_.role == Role::user && !is_memory();
  return !watched || file_identity(options_.path) == session->identity;
}

Layer::SessionPtr Layer::current() {
  const std::lock_guard lock(mutex_);
  if (session_ && !is_current(session_)) {
    session_.reset();
    session_ = open();
  }
  return session_;
}

Layer::SessionPtr Layer::current_for_writing(Error* why_not) {
  SessionPtr session = current();
  const std::lock_guard lock(mutex_);
  // A full disk or a missing folder may have been mended meanwhile.
  if (!session && !session_) session_ = open();
  if (session_ && session_->writable) return session_;
  *why_not = make_error(ErrorCode::read_only, "the cache cannot be written: {}", reason_);
  return nullptr;
}

Status Layer::read(const std::function<Status(Database&)>& body) {
  for (int attempt = 0;; ++attempt) {
    const SessionPtr session = current();
    if (!session) return {};
    Status status;
    {
      const std::lock_guard lock(session->reader_mutex);
      status = body(*session->reader);
    }
    if (!has_code(status, ErrorCode::corrupt) || attempt == kRecoveries) return status;
    recover(session, attempt > 0, status.error());
  }
}

Status Layer::write_once(Session& session, const std::function<Status(Database&)>& body) {
  const std::lock_guard lock(session.writing_mutex());
  Database& database = session.writing();
  Status status;
  for (int attempt = 0; attempt < kBusyRetries; ++attempt) {
    status = database.transaction([&] { return body(database); });
    if (!has_code(status, ErrorCode::timeout)) break;
  }
  // A full disk: the log may hold room that a checkpoint gives back.
  if (has_code(status, ErrorCode::io) && database.execute("PRAGMA wal_checkpoint(TRUNCATE)").ok()) {
    status = database.transaction([&] { return body(database); });
  }
  return status;
}

Status Layer::write(const std::function<Status(Database&)>& body) {
  int recoveries = 0;
  while (true) {
    Error why_not{ErrorCode::internal, ""};
    const SessionPtr session = current_for_writing(&why_not);
    if (!session) return why_not;
    Status status = write_once(*session, body);
    if (has_code(status, ErrorCode::corrupt) && recoveries < kRecoveries) {
      recover(session, recoveries > 0, status.error());
      ++recoveries;
      continue;
    }
    // Another process may have set the file aside between our look at it and our commit: then the commit went
    // there.
    if (status.ok() && !is_current(session)) continue;
    if (!status.ok()) {
      warnings_->warn(fmt::format("write {} {}", to_string(status.error().code), options_.path),
                      fmt::format("new results could not be stored: {}", status.error().message));
    }
    return status;
  }
}

Status Layer::compact() {
  Error why_not{ErrorCode::internal, ""};
  const SessionPtr session = current_for_writing(&why_not);
  if (!session) return why_not;
  const std::lock_guard lock(session->writing_mutex());
  if (Status status = session->writing().execute("VACUUM"); !status.ok()) return status;
  // The checkpoint waits for nobody: a reader of an older state keeps the log until the next one.
  (void)session->writing().execute("PRAGMA wal_checkpoint(TRUNCATE)");
  return {};
}

bool Layer::writable() {
  const SessionPtr session = current();
  return session && session->writable;
}

int Layer::schema_version() {
  const SessionPtr session = current();
  return session ? session->version : 0;
}

}  // namespace rtjit
