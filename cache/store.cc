#include "cache/store.h"

#include <ctime>
#include <map>
#include <tuple>

#include "base/environment.h"
#include "base/files.h"
#include "base/text.h"
#include "cache/binary_sql.h"
#include "cache/foreign_file.h"
#include "cache/layer.h"
#include "cache/pack.h"
#include "cache/row_fields.h"
#include "cache/row_sql.h"
#include "cache/schema.h"
#include "cache/warn_once.h"

namespace rtjit {
namespace {

// One row per key: that of the layer that knows most, the first of them where they tie. Sorted by key.
template <typename Row>
std::vector<Row> best_of_layers(std::vector<Row> all) {
  const auto by_key = [](const Row& a, const Row& b) { return row_identity(a) < row_identity(b); };
  std::stable_sort(all.begin(), all.end(), by_key);  // keeps the order of the layers within a key
  std::vector<Row> best;
  for (Row& row : all) {
    if (best.empty() || by_key(best.back(), row)) {
      best.push_back(std::move(row));
    } else if (evidence(row) > evidence(best.back())) {
      best.back() = std::move(row);
    }
  }
  return best;
}

// A failure takes the config's wins away.
Status write_verdict(Database& database, TuningRow row) {
  if (row.updated_unix == 0) row.updated_unix = time(nullptr);
  if (Status status = write_row(database, row); !status.ok()) return status;
  return failed_when_run(row.verdict) ? remove_winner_of(database, row.key) : Status();
}

using Admission = std::function<Status(Database&)>;

// What a read-only layer must pass: nothing without a file of trusted keys.
Result<Admission> admission(const std::string& keys_file) {
  const std::string file = keys_file.empty() ? environment("RTJIT_TRUST") : keys_file;
  if (file.empty()) return Admission();
  Result<std::vector<PublicKey>> keys = read_public_keys(file);
  if (!keys.ok()) return keys.error().with_context("the trusted keys");
  return Admission([keys = *std::move(keys)](Database& database) -> Status {
    Result<PackInfo> pack = read_pack(database);
    if (!pack.ok()) return pack.error().with_context("only packs signed by a trusted key are used");
    return check_trust(*pack, keys, database.path());
  });
}

}  // namespace

struct Store::State {
  explicit State(std::function<void(const std::string&)> sink) : warnings(std::move(sink)) {}

  WarnOnce warnings;
  std::unique_ptr<Layer> user;  // null: there is no place for one
  std::vector<std::unique_ptr<Layer>> below;
  std::string no_user_reason;

  std::vector<Layer*> layers() const {
    std::vector<Layer*> all;
    if (user) all.push_back(user.get());
    for (const auto& layer : below) all.push_back(layer.get());
    return all;
  }

  Status write(const std::function<Status(Database&)>& body) {
    if (!user) return make_error(ErrorCode::read_only, "the cache cannot be written: {}", no_user_reason);
    return user->write(body);
  }

  // A layer that cannot be read counts as empty; it is said once.
  void say_unreadable(const Layer& layer, const Error& error) {
    warnings.warn(fmt::format("read {} {}", to_string(error.code), layer.path()),
                  fmt::format("a cache could not be read and is passed over: {}", error.message));
  }

  // `question`: what read_rows() is asked.
  template <typename Row, typename... Question>
  std::vector<Row> read(const Question&... question) {
    std::vector<Row> all;
    for (Layer* layer : layers()) {
      StoredRows<Row> found;
      const Status status = layer->read([&](Database& database) -> Status {
        found = {};
        Result<StoredRows<Row>> rows = read_rows(database, question...);
        if (!rows.ok()) return rows.error();
        found = *std::move(rows);
        return {};
      });
      if (!status.ok()) say_unreadable(*layer, status.error());
      if (!found.damaged.empty()) drop_damaged<Row>(*layer, found.damaged);
      std::move(found.rows.begin(), found.rows.end(), std::back_inserter(all));
    }
    return best_of_layers(std::move(all));
  }

  template <typename Row>
  void drop_damaged(Layer& layer, const std::vector<DamagedRow>& damaged) {
    const char* table = kTable<Row>;
    warnings.warn(fmt::format("rows {} {}", table, layer.path()),
                  fmt::format("{}: {} row(s) of the table {} do not fit their checksum and are dropped",
                              layer.path(), damaged.size(), table));
    if (&layer == user.get() && layer.writable()) {
      (void)layer.write([&](Database& database) { return remove_damaged(database, table, damaged); });
    }
  }
};

Store::Store() = default;
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(const StoreOptions& options) {
  std::unique_ptr<Store> store(new Store());
  store->state_ = std::make_unique<State>(options.warn);
  State& state = *store->state_;
  std::string path = options.path;
  if (!path.empty()) {
    if (Status status = refuse_foreign_file(path); !status.ok()) return status.error();
  } else {
    Result<std::string> found = user_cache_path();
    if (found.ok()) {
      path = *found;
    } else {
      state.no_user_reason = found.error().message;
      state.warnings.warn("no path", fmt::format("going on without a cache: {}", state.no_user_reason));
    }
  }
  if (!path.empty()) {
    state.user = std::make_unique<Layer>(
        Layer::Options{path, Layer::Role::user, options.vfs, {}, options.network_file_system, {}},
        &state.warnings);
  }
  Result<Admission> admit = admission(options.trusted_keys);
  if (!admit.ok()) return admit.error();
  std::vector<std::string> below = options.read_only;
  const std::vector<std::string> packs = split(environment("RTJIT_PACKS"), ':');
  below.insert(below.end(), packs.begin(), packs.end());
  for (const std::string& file : below) {
    if (file.empty()) continue;
    state.below.push_back(std::make_unique<Layer>(
        Layer::Options{file, Layer::Role::read_only, options.vfs, *admit, {}, {}}, &state.warnings));
  }
  if (!options.prebuilt.empty()) {
    Layer::Options layer{"the prebuilt cache", Layer::Role::read_only, "", {}, {}, options.prebuilt};
    state.below.push_back(std::make_unique<Layer>(std::move(layer), &state.warnings));
  }
  return store;
}

Status Store::put_row(const TuningRow& row) { return put_rows({row}); }

Status Store::put_rows(const std::vector<TuningRow>& rows) {
  for (const TuningRow& row : rows) {
    if (Status status = check_row(row); !status.ok()) return status;
  }
  if (rows.empty()) return {};
  return state_->write([&](Database& database) -> Status {
    for (const TuningRow& row : rows) {
      if (Status status = write_verdict(database, row); !status.ok()) return status;
    }
    return {};
  });
}

Result<std::vector<TuningRow>> Store::rows(const RowKey& pattern) const {
  return state_->read<TuningRow>(pattern);
}

Result<std::vector<TuningRow>> Store::rows(const RowKey& pattern,
                                           const std::vector<ConfigName>& configs) const {
  return state_->read<TuningRow>(pattern, configs);
}

Status Store::put_winner(const WinnerRow& winner, const std::vector<TuningRow>& rows) {
  if (Status status = check_row(winner); !status.ok()) return status;
  for (const TuningRow& rests_on : rows) {
    if (Status status = check_row(rests_on); !status.ok()) return status;
  }
  WinnerRow row = winner;
  if (row.updated_unix == 0) row.updated_unix = time(nullptr);
  return state_->write([&](Database& database) -> Status {
    for (const TuningRow& rests_on : rows) {
      if (Status status = write_verdict(database, rests_on); !status.ok()) return status;
    }
    return write_row(database, row);
  });
}

Result<std::vector<WinnerRow>> Store::winners(const WinnerRow& pattern) const {
  return state_->read<WinnerRow>(pattern);
}

Status Store::put_quarantine(const QuarantineRow& quarantined, const TuningRow& verdict) {
  if (Status status = check_row(quarantined); !status.ok()) return status;
  if (Status status = check_row(verdict); !status.ok()) return status;
  QuarantineRow row = quarantined;
  if (row.updated_unix == 0) row.updated_unix = time(nullptr);
  return state_->write([&](Database& database) -> Status {
    if (Status status = write_row(database, row); !status.ok()) return status;
    return write_verdict(database, verdict);
  });
}

Result<std::vector<QuarantineRow>> Store::quarantine(const QuarantineRow& pattern) const {
  return state_->read<QuarantineRow>(pattern);
}

Status Store::release(const RowKey& key, const std::string& compiler) {
  return state_->write([&](Database& database) { return release_config(database, key, compiler); });
}

Status Store::put_binary(const Binary& binary, const std::string& target, const std::string& label) {
  if (binary.key.empty())
    return make_error(ErrorCode::invalid_argument, "a binary needs a key; it came without one");
  Result<StoredBinary> stored = encode_binary(binary, target, label);
  if (!stored.ok()) return stored.error();
  return state_->write([&](Database& database) { return insert_binary(database, *stored); });
}

Result<std::shared_ptr<const Binary>> Store::find_binary(const std::string& key) const {
  for (Layer* layer : state_->layers()) {
    std::optional<StoredBinary> stored;
    const Status status = layer->read([&](Database& database) -> Status {
      stored.reset();
      Result<std::optional<StoredBinary>> found = select_binary(database, key);
      if (!found.ok()) return found.error();
      stored = *std::move(found);
      return {};
    });
    if (!status.ok()) state_->say_unreadable(*layer, status.error());
    if (!status.ok() || !stored) continue;
    Result<Binary> binary = decode_binary(*stored);
    if (binary.ok()) return std::shared_ptr<const Binary>(std::make_shared<Binary>(*std::move(binary)));
    state_->warnings.warn(fmt::format("binary {} {}", key, layer->path()),
                          fmt::format("{}: the binary {} ({}) is damaged and is not used: {}", layer->path(),
                                      key, stored->label, binary.error().message));
    if (layer == state_->user.get() && layer->writable()) {
      (void)layer->write([&](Database& database) { return delete_binary(database, key, stored->sha256); });
    }
  }
  return std::shared_ptr<const Binary>();
}

Status Store::read_user(const std::function<Status(Database&)>& body) const {
  return state_->user ? state_->user->read(body) : Status();
}

Status Store::write_user(const std::function<Status(Database&)>& body) { return state_->write(body); }

Status Store::compact_user() {
  if (!state_->user)
    return make_error(ErrorCode::read_only, "the cache cannot be written: {}", state_->no_user_reason);
  return state_->user->compact();
}

Result<Store::Info> Store::info() const {
  Info info;
  if (state_->user) {
    info.path = state_->user->path();
    info.writable = state_->user->writable();
    info.schema_version = state_->user->schema_version();
    info.file_bytes = file_bytes(info.path) + file_bytes(info.path + "-wal");
  }
  for (const auto& layer : state_->below)
    if (layer->schema_version() > 0)
      info.read_only.push_back(layer->path());  // others are ignored, and warned of
  for (Layer* layer : state_->layers()) {
    int64_t counts[5] = {};
    const Status status = layer->read([&](Database& database) -> Status {
      const char* const questions[] = {"SELECT count(*) FROM tuning", "SELECT count(*) FROM winners",
                                       "SELECT count(*) FROM binaries",
                                       "SELECT coalesce(sum(stored_bytes),0) FROM binaries"};
      for (int i = 0; i < 4; ++i) {
        Result<int64_t> count = database.query_integer(questions[i]);
        if (!count.ok()) return count.error();
        counts[i] = *count;
      }
      // Older layers have no such table; the function that reads it knows.
      QuarantineRow any;
      any.key.bucket = -1;
      Result<StoredRows<QuarantineRow>> quarantined = read_rows(database, any);
      if (!quarantined.ok()) return quarantined.error();
      counts[4] = static_cast<int64_t>(quarantined->rows.size());
      return {};
    });
    if (!status.ok()) {
      state_->say_unreadable(*layer, status.error());
      continue;
    }
    info.quarantined += counts[4];
    info.rows += counts[0];
    info.winners += counts[1];
    info.binaries += counts[2];
    info.binary_bytes += counts[3];
  }
  return info;
}

}  // namespace rtjit
