#include "cache/schema.h"

namespace rtjit {
namespace {

// Version 1: the tables.
constexpr const char* kTables = R"sql(
CREATE TABLE meta (
  name  TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE tuning (
  template      TEXT NOT NULL,
  template_hash TEXT NOT NULL,
  problem       TEXT NOT NULL,
  stage         TEXT NOT NULL,
  variant       TEXT NOT NULL,
  config        TEXT NOT NULL,
  bucket        INTEGER NOT NULL,
  target        TEXT NOT NULL,
  sku           TEXT NOT NULL,
  verdict       TEXT NOT NULL,
  reason        TEXT NOT NULL,
  knowledge     TEXT NOT NULL,
  time_us       REAL,
  time_low_us   REAL,
  time_high_us  REAL,
  samples       INTEGER NOT NULL,
  verified      INTEGER NOT NULL,
  rel_l2        REAL,
  rel_l2_limit  REAL,
  max_err       REAL,
  max_err_limit REAL,
  verified_on   TEXT NOT NULL,
  smem_bytes    INTEGER NOT NULL,
  smem_limit    INTEGER NOT NULL,
  registers     INTEGER NOT NULL,
  stack         INTEGER NOT NULL,
  spills        INTEGER NOT NULL,
  binary_key    TEXT NOT NULL,
  compiler      TEXT NOT NULL,
  device_name   TEXT NOT NULL,
  driver        TEXT NOT NULL,
  policy        TEXT NOT NULL,
  is_default    INTEGER NOT NULL,
  updated_unix  INTEGER NOT NULL,
  evidence      INTEGER NOT NULL,
  checksum      TEXT NOT NULL,
  UNIQUE (template, problem, target, template_hash, stage, bucket, sku, variant, config)
);

CREATE TABLE winners (
  template      TEXT NOT NULL,
  template_hash TEXT NOT NULL,
  problem       TEXT NOT NULL,
  stage         TEXT NOT NULL,
  bucket        INTEGER NOT NULL,
  target        TEXT NOT NULL,
  sku           TEXT NOT NULL,
  variant       TEXT NOT NULL,
  config        TEXT NOT NULL,
  knowledge     TEXT NOT NULL,
  verified      INTEGER NOT NULL,
  time_us       REAL,
  why           TEXT NOT NULL,
  updated_unix  INTEGER NOT NULL,
  evidence      INTEGER NOT NULL,
  checksum      TEXT NOT NULL,
  UNIQUE (template, problem, target, template_hash, stage, bucket, sku)
);

CREATE TABLE binaries (
  key          TEXT NOT NULL UNIQUE,
  target       TEXT NOT NULL,
  compiler     TEXT NOT NULL,
  label        TEXT NOT NULL,
  kernels      TEXT NOT NULL,
  features     TEXT NOT NULL,
  log          TEXT NOT NULL,
  compile_ms   REAL,
  cubin        BLOB NOT NULL,
  cubin_bytes  INTEGER NOT NULL,
  ptx          BLOB NOT NULL,
  ptx_bytes    INTEGER NOT NULL,
  stored_bytes INTEGER NOT NULL,
  sha256       TEXT NOT NULL,
  created_unix INTEGER NOT NULL
);

INSERT INTO meta VALUES ('format', 'rtjit cache; see docs/cache-format.md');
-- The oldest version of the library's schema that can still read this file.
INSERT INTO meta VALUES ('oldest_reader', '1');
)sql";

// Version 2: views for people.
constexpr const char* kViews = R"sql(
CREATE VIEW v_winners AS
  SELECT template, problem, stage, bucket, target, sku, variant, config, knowledge,
         CASE verified WHEN 0 THEN 'no' ELSE 'yes' END AS verified,
         round(time_us, 2) AS time_us, why, datetime(updated_unix, 'unixepoch') AS updated_utc
  FROM winners ORDER BY template, problem, target, sku, stage, bucket;

CREATE VIEW v_rejected AS
  SELECT template, problem, target, sku, stage, bucket, variant, config, verdict, reason
  FROM tuning WHERE verdict <> 'ok' ORDER BY template, problem, target, sku, stage, bucket, variant, config;

CREATE VIEW v_verdicts AS
  SELECT template, problem, target, sku, stage, bucket, verdict, count(*) AS configs
  FROM tuning GROUP BY template, problem, target, sku, stage, bucket, verdict;

CREATE VIEW v_binaries AS
  SELECT label, target, compiler, cubin_bytes, ptx_bytes, stored_bytes, round(compile_ms, 1) AS compile_ms,
         datetime(created_unix, 'unixepoch') AS created_utc, key
  FROM binaries ORDER BY label, target;
)sql";

// Version 3: a rejection from before the run knows nothing that a later look may not overrule.
constexpr const char* kWeakerRejections = R"sql(
UPDATE tuning SET evidence = 0 WHERE evidence = 3 AND verdict <> 'ok';
)sql";

// Version 4: candidates that faulted or hung, with the evidence.
constexpr const char* kQuarantineTable = R"sql(
CREATE TABLE quarantine (
  template      TEXT NOT NULL,
  template_hash TEXT NOT NULL,
  problem       TEXT NOT NULL,
  stage         TEXT NOT NULL,
  variant       TEXT NOT NULL,
  config        TEXT NOT NULL,
  bucket        INTEGER NOT NULL,
  target        TEXT NOT NULL,
  sku           TEXT NOT NULL,
  compiler      TEXT NOT NULL,
  verdict       TEXT NOT NULL,
  error         TEXT NOT NULL,
  reached       TEXT NOT NULL,
  features      TEXT NOT NULL,
  binary_key    TEXT NOT NULL,
  device_name   TEXT NOT NULL,
  driver        TEXT NOT NULL,
  updated_unix  INTEGER NOT NULL,
  checksum      TEXT NOT NULL,
  UNIQUE (template, problem, target, template_hash, stage, bucket, sku, variant, config, compiler)
);

CREATE VIEW v_quarantine AS
  SELECT template, problem, target, sku, stage, bucket, variant, config, verdict, error, reached, features,
         compiler, driver, device_name, datetime(updated_unix, 'unixepoch') AS updated_utc
  FROM quarantine ORDER BY template, problem, target, sku, stage, bucket, variant, config;
)sql";

constexpr const char* kSteps[] = {kTables, kViews, kWeakerRejections, kQuarantineTable};

// The columns are named one by one elsewhere; these find out cheaply whether all tables are there.
constexpr const char* kProbes[] = {
    "SELECT checksum FROM tuning LIMIT 0",
    "SELECT checksum FROM winners LIMIT 0",
    "SELECT sha256 FROM binaries LIMIT 0",
    "SELECT value FROM meta LIMIT 0",
};

constexpr const char* kQuarantineTableProbe = "SELECT checksum FROM quarantine LIMIT 0";
constexpr int64_t kQuarantineTableVersion = 4;

Status probe_tables(Database& database, int64_t version) {
  for (const char* sql : kProbes) {
    if (Result<int64_t> result = database.query_integer(sql); !result.ok()) return result.error();
  }
  if (version < kQuarantineTableVersion) return {};
  Result<int64_t> quarantine = database.query_integer(kQuarantineTableProbe);
  return quarantine.ok() ? Status() : Status(quarantine.error());
}

}  // namespace

std::span<const char* const> schema_steps() { return kSteps; }
int schema_version() { return static_cast<int>(std::size(kSteps)); }

Result<SchemaState> inspect_schema(Database& database) {
  Result<int64_t> application = database.query_integer("PRAGMA application_id");
  if (!application.ok()) return application.error();
  Result<int64_t> version = database.query_integer("PRAGMA user_version");
  if (!version.ok()) return version.error();
  Result<int64_t> objects = database.query_integer("SELECT count(*) FROM sqlite_master");
  if (!objects.ok()) return objects.error();
  Result<int64_t> ours = database.query_integer(
      "SELECT count(*) FROM sqlite_master WHERE type='table' AND name IN "
      "('meta','tuning','winners','binaries')");
  if (!ours.ok()) return ours.error();

  if (*objects == 0 && *version == 0) return SchemaState{SchemaKind::empty, 0};
  if (*application != kApplicationId) {
    // Another program may own a table called meta, hardly one more of these names.
    if (*ours < 2) return SchemaState{SchemaKind::foreign, static_cast<int>(*version)};
    return make_error(ErrorCode::corrupt, "{}: has the tables of a cache but the application id {}",
                      database.path(), *application);
  }
  if (*version < 1) {
    return make_error(ErrorCode::corrupt, "{}: schema version {}, at least 1 expected", database.path(),
                      *version);
  }
  if (*version > schema_version()) {
    Result<int64_t> reader = database.query_integer("SELECT value FROM meta WHERE name='oldest_reader'");
    const bool readable =
        reader.ok() && *reader >= 1 && *reader <= schema_version() && probe_tables(database, *version).ok();
    return SchemaState{readable ? SchemaKind::newer : SchemaKind::unreadable, static_cast<int>(*version)};
  }
  if (Status status = probe_tables(database, *version); !status.ok()) return status.error();
  return SchemaState{*version == schema_version() ? SchemaKind::current : SchemaKind::older,
                     static_cast<int>(*version)};
}

Status migrate(Database& database, std::span<const char* const> steps) {
  return database.transaction([&]() -> Status {
    // Asked again inside the transaction: another process may have migrated meanwhile.
    Result<int64_t> version = database.query_integer("PRAGMA user_version");
    if (!version.ok()) return version.error();
    const int64_t last = static_cast<int64_t>(steps.size());
    if (*version >= last) return {};
    for (int64_t step = *version; step < last; ++step) {
      if (Status status = database.execute(steps[step]); !status.ok()) {
        return status.error().with_context(fmt::format("making schema version {}", step + 1));
      }
    }
    return database.execute(
        fmt::format("PRAGMA application_id={}; PRAGMA user_version={}", kApplicationId, last));
  });
}

}  // namespace rtjit
