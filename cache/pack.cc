#include "cache/pack.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>
#include <tuple>

#include "base/base64.h"
#include "base/files.h"
#include "cache/binary_sql.h"
#include "cache/pack_meta.h"
#include "cache/row_fields.h"
#include "cache/row_sql.h"
#include "cache/schema.h"

namespace rtjit {
namespace {

// Packs carry no times: the same knowledge is the same bytes. Not 0, which means "now".
constexpr int64_t kNoTime = 1;

// What a winner is about, without the device and the bucket.
auto config_key(const RowKey& key) { return std::tie(key.problem, key.stage, key.variant, key.config); }
auto config_key(const WinnerRow& row) { return std::tie(row.problem, row.stage, row.variant, row.config); }

template <typename Key>
bool is_about(const Key& key, const PackRequest& request, const std::string& target) {
  return key.target == target && key.template_name == request.template_name &&
         key.template_hash == request.template_hash && key.problem == request.problem;
}

// Whether the pack keeps the row: it tells about a winner, about a stage that has none, or of a failure that must not
// happen again.
bool is_wanted(const TuningRow& row, const std::vector<WinnerRow>& winners) {
  if (failed_when_run(row.verdict)) return true;
  if (row.verdict != Verdict::ok || row.binary_key.empty()) return false;
  bool tuned = false;
  for (const WinnerRow& winner : winners) {
    tuned = tuned || winner.stage == row.key.stage;
    const bool same_bucket = row.key.bucket == 0 || row.key.bucket == winner.bucket;
    if (same_bucket && config_key(row.key) == config_key(winner)) return true;
  }
  return !tuned;
}

Result<StoredBinary> packed_binary(const StoredBinary& stored, bool with_ptx) {
  Result<Binary> binary = decode_binary(stored);
  if (!binary) return binary.error();
  if (!with_ptx) binary->ptx.clear();
  binary->log.clear();
  binary->compile_ms = 0;
  Result<StoredBinary> packed = encode_binary(*binary, stored.target, stored.label);
  if (packed) packed->created_unix = kNoTime;
  return packed;
}

struct Selector {
  const Contents& all;
  const std::string& target;
  bool with_ptx;
  std::map<std::string, const StoredBinary*> stored{};
  std::map<std::string, StoredBinary> taken{};
  PackContents pack{};

  Status take_binary(const std::string& key, const PackRequest& request, PackedProblem* problem) {
    auto found = stored.find(key);
    if (found == stored.end()) {
      return make_error(ErrorCode::not_found,
                        "{} {}: the binary {} of a winner is not in the database. Tune again: rtjit tune compiles and stores it",
                        request.template_name, request.label.empty() ? request.problem : request.label, key);
    }
    if (!taken.contains(key)) {
      Result<StoredBinary> binary = packed_binary(*found->second, with_ptx);
      if (!binary) return binary.error();
      taken.emplace(key, *std::move(binary));
    }
    ++problem->binaries;
    problem->binary_bytes += static_cast<int64_t>(taken[key].cubin.size() + taken[key].ptx.size());
    return {};
  }

  Status take(const PackRequest& request) {
    PackedProblem problem{request.template_name, request.template_hash, request.problem, request.label};
    std::vector<WinnerRow> winners;
    for (const WinnerRow& winner : all.winners) {
      if (is_about(winner, request, target)) winners.push_back(winner);
    }
    if (winners.empty()) {
      return make_error(ErrorCode::not_found,
                        "{} {}: the database has no winners for {} of this version of the template. Find them first: rtjit tune {} "
                        "--target {} {}",
                        request.template_name, request.label.empty() ? request.problem : request.label, target,
                        request.template_name, target,
                        request.label.empty() ? "--problem " + request.problem : "--preset " + request.label);
    }
    std::set<std::string> keys(request.other_binaries.begin(), request.other_binaries.end());
    for (const TuningRow& row : all.rows) {
      if (!is_about(row.key, request, target) || !is_wanted(row, winners)) continue;
      pack.contents.rows.push_back(row);
      pack.contents.rows.back().updated_unix = kNoTime;
      if (row.verdict == Verdict::ok) keys.insert(row.binary_key);
    }
    for (const std::string& key : keys) {
      if (Status status = take_binary(key, request, &problem); !status) return status;
    }
    for (WinnerRow& winner : winners) {
      winner.updated_unix = kNoTime;
      problem.measured += winner.knowledge == Knowledge::measured;
      pack.contents.winners.push_back(std::move(winner));
    }
    problem.winners = static_cast<int64_t>(winners.size());
    pack.manifest.problems.push_back(std::move(problem));
    return {};
  }
};

Status fill(Database& database, const PackContents& pack, const std::optional<SecretKey>& key) {
  const std::string manifest = to_json(pack.manifest);
  const auto put_meta = [&](std::string_view name, std::string_view value) -> Status {
    Result<Statement> statement = database.prepare("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)");
    if (!statement) return statement.error();
    statement->bind(name);
    statement->bind(value);
    return statement->run();
  };
  for (const WinnerRow& row : pack.contents.winners) {
    if (Status status = write_row(database, row); !status) return status;
  }
  for (const TuningRow& row : pack.contents.rows) {
    if (Status status = write_row(database, row); !status) return status;
  }
  for (const StoredBinary& binary : pack.contents.binaries) {
    if (Status status = insert_binary(database, binary); !status) return status;
  }
  if (Status status = put_meta(kPackManifest, manifest); !status) return status;
  if (!key) return {};
  Result<std::string> signature = sign(*key, signed_text(manifest));
  if (!signature) return signature.error();
  if (Status status = put_meta(kPackSigner, key->public_key().text()); !status) return status;
  return put_meta(kPackSignature, base64_encode(*signature));
}

// What was written reaches the disk before the name does.
Status publish_file(const std::string& from, const std::string& to) {
  const int descriptor = ::open(from.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && ::fsync(descriptor) == 0;
  if (descriptor >= 0) ::close(descriptor);
  if (synced && std::rename(from.c_str(), to.c_str()) == 0) return {};
  return make_error(ErrorCode::io, "{}: {}", to, std::strerror(errno));
}

}  // namespace

Result<PackContents> select_for_pack(const Contents& all, const std::string& target,
                                     const std::vector<PackRequest>& requests, bool with_ptx) {
  Selector selector{all, target, with_ptx};
  for (const StoredBinary& binary : all.binaries) selector.stored.emplace(binary.key, &binary);
  for (const PackRequest& request : requests) {
    if (Status status = selector.take(request); !status) return status.error();
  }
  PackContents pack = std::move(selector.pack);
  std::set<std::string> compilers;
  for (auto& [key, binary] : selector.taken) {
    compilers.insert(binary.compiler);
    pack.contents.binaries.push_back(std::move(binary));
  }
  const auto by_identity = [](const auto& a, const auto& b) { return row_identity(a) < row_identity(b); };
  std::sort(pack.contents.rows.begin(), pack.contents.rows.end(), by_identity);
  std::sort(pack.contents.winners.begin(), pack.contents.winners.end(), by_identity);
  std::sort(pack.manifest.problems.begin(), pack.manifest.problems.end(), [](const auto& a, const auto& b) {
    return std::tie(a.template_name, a.label, a.problem) < std::tie(b.template_name, b.label, b.problem);
  });
  pack.manifest.target = target;
  pack.manifest.compilers.assign(compilers.begin(), compilers.end());
  pack.manifest.content_sha256 = pack_content_hash(pack.contents);
  return pack;
}

Status write_pack(const PackContents& pack, const std::string& path, const std::optional<SecretKey>& key) {
  const std::string unfinished = fmt::format("{}.unfinished-{}", path, ::getpid());
  ::unlink(unfinished.c_str());
  const auto write = [&]() -> Status {
    // The journal only guards a file that nobody sees yet: without one the bytes depend on the contents alone.
    Result<std::unique_ptr<Database>> database = Database::open(unfinished, {});
    if (!database) return database.error();
    if (Status status = (*database)->execute("PRAGMA page_size=4096; PRAGMA journal_mode=OFF"); !status) return status;
    if (Status status = migrate(**database, schema_steps()); !status) return status;
    Status filled = (*database)->transaction([&] { return fill(**database, pack, key); });
    if (!filled) return filled;
    return (*database)->execute("VACUUM");
  };
  Status status = write();
  if (status) status = publish_file(unfinished, path);
  if (!status) ::unlink(unfinished.c_str());
  return status;
}

}  // namespace rtjit
