#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/files.h"
#include "base/text.h"
#include "cache/database.h"
#include "cache/pack.h"
#include "cache/pack_meta.h"
#include "cache/schema.h"

namespace rtjit {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr int kFormatVersion = 1;

Result<std::string> meta(Database& database, std::string_view name) {
  Result<Statement> statement = database.prepare("SELECT value FROM meta WHERE name=?");
  if (!statement) return statement.error();
  statement->bind(name);
  Result<bool> row = statement->step();
  if (!row) return row.error();
  return *row ? statement->text(0) : std::string();
}

// Every object of the schema with its text.
Result<std::string> schema_text(Database& database) {
  return database.query_text(
      "SELECT group_concat(line, char(10)) FROM (SELECT type || ' ' || name || ' ' || tbl_name || ' ' || "
      "coalesce(sql, '') "
      "AS line FROM sqlite_master ORDER BY line)");
}

// The manifest covers rows, not how they are reached: a view in the place of a table could show one thing
// when it is checked and another when it is used, and an index could lead to another row. So the schema must
// be, word for word, the one that this library makes, and the file whole.
Status check_structure(Database& database, int version) {
  Result<std::unique_ptr<Database>> fresh = Database::open(":memory:", {});
  if (!fresh) return fresh.error();
  if (Status status = migrate(**fresh, schema_steps().first(static_cast<size_t>(version))); !status)
    return status;
  Result<std::string> expected = schema_text(**fresh), found = schema_text(database);
  if (!expected) return expected.error();
  if (!found) return found.error();
  if (*expected != *found) {
    return make_error(ErrorCode::corrupt,
                      "{}: its tables are not those of a pack: it was changed after it was made",
                      database.path());
  }
  return database.check_integrity();
}

Result<PackManifest> parse_manifest(const std::string& text, const std::string& path) {
  const auto bad = [&](std::string_view why) {
    return make_error(ErrorCode::corrupt, "{}: its manifest cannot be read: {}", path, why);
  };
  try {
    const OrderedJson json = OrderedJson::parse(text);
    if (const int version = json.at("version").get<int>(); version != kFormatVersion) {
      return make_error(ErrorCode::unsupported,
                        "{}: a pack of format {}; this library knows format {}. Upgrade the library", path,
                        version, kFormatVersion);
    }
    PackManifest manifest;
    manifest.target = json.at("target").get<std::string>();
    manifest.library_version = json.at("library").get<std::string>();
    manifest.compilers = json.at("compilers").get<std::vector<std::string>>();
    manifest.content_sha256 = json.at("content_sha256").get<std::string>();
    for (const OrderedJson& item : json.at("problems")) {
      PackedProblem problem;
      problem.template_name = item.at("template").get<std::string>();
      problem.template_hash = item.at("template_hash").get<std::string>();
      problem.problem = item.at("problem").get<std::string>();
      problem.label = item.at("preset").get<std::string>();
      problem.winners = item.at("winners").get<int64_t>();
      problem.measured = item.at("measured").get<int64_t>();
      problem.binaries = item.at("binaries").get<int64_t>();
      problem.binary_bytes = item.at("binary_bytes").get<int64_t>();
      manifest.problems.push_back(std::move(problem));
    }
    return manifest;
  } catch (const OrderedJson::exception& error) {
    return bad(error.what());
  }
}

Result<std::optional<PublicKey>> check_signature(Database& database, const std::string& manifest) {
  Result<std::string> signer = meta(database, kPackSigner);
  if (!signer) return signer.error();
  Result<std::string> signature = meta(database, kPackSignature);
  if (!signature) return signature.error();
  if (signer->empty() && signature->empty()) return std::optional<PublicKey>();
  const auto key = parse_public_key(*signer);
  const auto bytes = base64_decode(*signature);
  Result<bool> good = false;
  if (key && bytes) good = verify_signature(*key, signed_text(manifest), *bytes);
  if (!good) return good.error();
  if (!*good) {
    return make_error(ErrorCode::corrupt,
                      "{}: its signature does not fit its manifest: it was changed after it was signed",
                      database.path());
  }
  return std::optional<PublicKey>(*key);
}

Result<std::unique_ptr<Database>> open_pack(const std::string& path) {
  if (!file_identity(path))
    return make_error(ErrorCode::not_found, "{}: no such file; give the path of a pack", path);
  Database::Options options;
  options.mode = Database::Mode::immutable;
  return Database::open(path, options);
}

Result<Contents> hashed_contents(Database& database, const PackManifest& manifest) {
  Result<Contents> contents = read_contents(database);
  if (!contents) return contents.error();
  if (contents->damaged == 0 && pack_content_hash(*contents) == manifest.content_sha256) return contents;
  return make_error(
      ErrorCode::corrupt,
      "{}: its contents do not fit the hash in its manifest: it was damaged or changed after it was made",
      database.path());
}

}  // namespace

std::string to_json(const PackManifest& manifest) {
  OrderedJson problems = OrderedJson::array();
  for (const PackedProblem& problem : manifest.problems) {
    problems.push_back({{"template", problem.template_name},
                        {"template_hash", problem.template_hash},
                        {"preset", problem.label},
                        {"problem", problem.problem},
                        {"winners", problem.winners},
                        {"measured", problem.measured},
                        {"binaries", problem.binaries},
                        {"binary_bytes", problem.binary_bytes}});
  }
  const OrderedJson json = {{"format", "rtjit pack"},
                            {"version", kFormatVersion},
                            {"target", manifest.target},
                            {"library", manifest.library_version},
                            {"compilers", manifest.compilers},
                            {"problems", problems},
                            {"content_sha256", manifest.content_sha256}};
  return json.dump(1);
}

Result<PackInfo> read_pack(Database& database) {
  Result<SchemaState> schema = inspect_schema(database);
  if (!schema) return schema.error();
  const bool readable = schema->kind == SchemaKind::current || schema->kind == SchemaKind::older;
  Result<std::string> text = readable ? meta(database, kPackManifest) : std::string();
  if (!text) return text.error();
  if (text->empty()) {
    return make_error(ErrorCode::unsupported, "{} is not a pack; rtjit pack makes one from a cache",
                      database.path());
  }
  if (Status status = check_structure(database, schema->version); !status) return status.error();
  PackInfo info;
  Result<PackManifest> manifest = parse_manifest(*text, database.path());
  if (!manifest) return manifest.error();
  info.manifest = *std::move(manifest);
  Result<std::optional<PublicKey>> signer = check_signature(database, *text);
  if (!signer) return signer.error();
  info.signer = *std::move(signer);
  Result<Contents> contents = hashed_contents(database, info.manifest);
  if (!contents) return contents.error();
  return info;
}

Result<PackInfo> read_pack(const std::string& path) {
  Result<std::unique_ptr<Database>> database = open_pack(path);
  if (!database) return database.error();
  return read_pack(**database);
}

Result<Contents> read_pack_contents(const std::string& path, const PackManifest& manifest) {
  Result<std::unique_ptr<Database>> database = open_pack(path);
  if (!database) return database.error();
  return hashed_contents(**database, manifest);
}

Status check_trust(const PackInfo& pack, const std::vector<PublicKey>& trusted, const std::string& path) {
  if (trusted.empty()) return {};
  if (!pack.signer) {
    return make_error(ErrorCode::unsupported,
                      "{} is not signed, and only packs signed by a trusted key are used ({} {} trusted)",
                      path, trusted.size(), trusted.size() == 1 ? "key is" : "keys are");
  }
  if (std::find(trusted.begin(), trusted.end(), *pack.signer) != trusted.end()) return {};
  return make_error(ErrorCode::unsupported,
                    "{} is signed by {}, which is not among the trusted keys. If that key is right, add its "
                    "line to the file "
                    "of trusted keys",
                    path, pack.signer->text());
}

}  // namespace rtjit
