#include "cache/schema.h"

#include <gmock/gmock.h>

#include "tests/cache/cache_test_util.h"

namespace rtjit {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

std::unique_ptr<Database> open_file(const std::string& path) {
  Result<std::unique_ptr<Database>> database = Database::open(path, {});
  EXPECT_TRUE(database.ok());
  return *std::move(database);
}

void execute(const std::string& path, const std::string& sql) {
  const Status status = open_file(path)->execute(sql);
  ASSERT_TRUE(status.ok()) << status.error().message;
}

// A file as version `version` of the library wrote it, with one row in it.
void make_old_file(const std::string& path, int version) {
  const auto database = open_file(path);
  ASSERT_TRUE(migrate(*database, schema_steps().first(version)).ok());
}

TEST(Schema, MakesEveryVersionCurrentAndKeepsItsRows) {
  for (int version = 1; version <= schema_version(); ++version) {
    const TempFolder folder;
    const std::string path = folder.file("cache.db");
    make_old_file(path, version);
    // The rows of version 1 are those of today: take one over by SQL.
    {
      WatchedStore donor(folder.file("donor.db"));
      ASSERT_TRUE(donor->put_row(sample_row(1)).ok());
    }
    execute(path, fmt::format("ATTACH '{}' AS donor; INSERT INTO tuning SELECT * FROM donor.tuning",
                              folder.file("donor.db")));
    WatchedStore store(path);
    EXPECT_EQ(store->info()->schema_version, schema_version());
    ASSERT_EQ(store->rows(any_row())->size(), 1u);
    EXPECT_EQ(describe(store->rows(any_row())->at(0)), describe(sample_row(1)));
    EXPECT_TRUE(store->put_row(sample_row(2)).ok());
    EXPECT_THAT(store.warnings, IsEmpty());
    EXPECT_EQ(*open_file(path)->query_integer("SELECT count(*) FROM v_rejected"), 0);
  }
}

// Files that earlier versions of the library wrote, row by row: what is in them is never lost.
TEST(Schema, FilesOfEarlierVersionsAreServedAndMigrated) {
  for (int version = 1; version < schema_version(); ++version) {
    SCOPED_TRACE(version);
    const TempFolder folder;
    const std::string path = folder.file("cache.db");
    execute(path, read_file(fmt::format("{}/tests/data/cache/version_{}.sql", RTJIT_SOURCE_DIR, version)));
    ASSERT_EQ(*open_file(path)->query_integer("PRAGMA user_version"), version);
    const auto look = [](WatchedStore& store) {
      ASSERT_EQ(store->rows(any_row())->size(), 4u);
      ASSERT_EQ(store->winners(any_winner())->size(), 1u);
      const WinnerRow winner = store->winners(any_winner())->at(0);
      EXPECT_EQ(winner.config, "block=128,items=1");
      bool found = false;
      const std::vector<TuningRow> rows = *store->rows(any_row());
      for (const TuningRow& row : rows) {
        if (row.key.bucket != winner.bucket) continue;
        found = true;
        EXPECT_TRUE(row.verified);
        const auto binary = store->find_binary(row.binary_key);
        ASSERT_TRUE(binary.ok());
        ASSERT_NE(*binary, nullptr);
        EXPECT_EQ((*binary)->kernels.size(), 1u);
      }
      EXPECT_TRUE(found);
      QuarantineRow any_quarantine;
      any_quarantine.key = any_row();
      EXPECT_THAT(*store->quarantine(any_quarantine), IsEmpty());
      EXPECT_THAT(store.warnings, IsEmpty());
    };
    {
      WatchedStore beneath(StoreOptions{.path = ":memory:", .read_only = {path}});
      look(beneath);
    }
    ASSERT_EQ(*open_file(path)->query_integer("PRAGMA user_version"), version);
    WatchedStore store(path);
    look(store);
    EXPECT_EQ(store->info()->schema_version, schema_version());
    EXPECT_TRUE(store->put_row(sample_row(2)).ok());
  }
}

TEST(Schema, RejectionsOfVersion2GiveWayAfterMigration) {
  const TempFolder folder;
  TuningRow row = sample_row(1);
  row.verdict = Verdict::timeout;
  row.knowledge = Knowledge::none;
  const std::string path = folder.file("cache.db");
  { ASSERT_TRUE(WatchedStore(path)->put_row(row).ok()); }
  execute(
      path,
      "UPDATE tuning SET evidence=3; DROP VIEW v_quarantine; DROP TABLE quarantine; PRAGMA user_version=2");
  {
    WatchedStore layered(StoreOptions{.path = ":memory:", .read_only = {path}});
    EXPECT_EQ(layered->rows(any_row())->size(), 1u);
    EXPECT_THAT(layered.warnings, IsEmpty());
  }
  WatchedStore store(path);
  row.verdict = Verdict::ok;
  ASSERT_TRUE(store->put_row(row).ok());
  ASSERT_EQ(store->rows(any_row())->size(), 1u);
  EXPECT_EQ(store->rows(any_row())->at(0).verdict, Verdict::ok);
  EXPECT_THAT(store.warnings, IsEmpty());
}

TEST(Schema, AnOlderReadOnlyLayerIsReadAsItIs) {
  const TempFolder folder;
  make_old_file(folder.file("old.db"), 1);
  WatchedStore store(StoreOptions{.path = ":memory:", .read_only = {folder.file("old.db")}});
  EXPECT_THAT(*store->rows(any_row()), IsEmpty());
  EXPECT_THAT(store.warnings, IsEmpty());
  EXPECT_EQ(*open_file(folder.file("old.db"))->query_integer("PRAGMA user_version"), 1);
}

TEST(Schema, AFailingStepChangesNothing) {
  const TempFolder folder;
  const auto database = open_file(folder.file("cache.db"));
  const char* const steps[] = {"CREATE TABLE a (x)", "CREATE TABLE b (x); CREATE TABLE a (x)"};
  const Status status = migrate(*database, steps);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("making schema version 2"));
  EXPECT_EQ(*database->query_integer("PRAGMA user_version"), 0);
  EXPECT_EQ(*database->query_integer("SELECT count(*) FROM sqlite_master"), 0);
}

TEST(Schema, ANewerFileThatWeCanReadIsOnlyRead) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  { ASSERT_TRUE(WatchedStore(path)->put_row(sample_row(1)).ok()); }
  execute(path, "ALTER TABLE tuning ADD COLUMN power_w REAL; PRAGMA user_version=99");
  WatchedStore store(path);
  EXPECT_EQ(store->rows(any_row())->size(), 1u);
  EXPECT_FALSE(store->info()->writable);
  const Status status = store->put_row(sample_row(2));
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::read_only);
  EXPECT_THAT(status.error().message, HasSubstr("newer version"));
  EXPECT_FALSE(store->put_row(sample_row(2)).ok());
  ASSERT_EQ(store.warnings.size(), 1u);
  EXPECT_THAT(store.warnings[0], HasSubstr("Upgrade the library"));
  EXPECT_EQ(count_set_aside(folder.path()), 0);
}

TEST(Schema, ANewerFileThatWeCannotReadIsRefusedWithAdvice) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  { ASSERT_TRUE(WatchedStore(path)->put_row(sample_row(1)).ok()); }
  execute(path, "UPDATE meta SET value='99' WHERE name='oldest_reader'; PRAGMA user_version=99");
  WatchedStore store(path);
  EXPECT_THAT(*store->rows(any_row()), IsEmpty());
  EXPECT_EQ(store->put_row(sample_row(2)).error().code, ErrorCode::read_only);
  ASSERT_EQ(store.warnings.size(), 1u);
  EXPECT_THAT(store.warnings[0], HasSubstr("RTJIT_CACHE"));
  EXPECT_EQ(count_set_aside(folder.path()), 0);
  EXPECT_EQ(*open_file(path)->query_integer("SELECT count(*) FROM tuning"), 1);
}

TEST(Schema, MigratedByANewerLibraryWhileOpen) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  WatchedStore store(path);
  ASSERT_TRUE(store->put_row(sample_row(1)).ok());
  execute(path,
          "UPDATE meta SET value='99' WHERE name='oldest_reader'; PRAGMA user_version=99; "
          "ALTER TABLE tuning RENAME COLUMN reason TO words");
  EXPECT_THAT(*store->rows(any_row()), IsEmpty());
  EXPECT_EQ(store->put_row(sample_row(2)).error().code, ErrorCode::read_only);
  EXPECT_EQ(count_set_aside(folder.path()), 0) << "a healthy file of a newer library was set aside";
}

TEST(Schema, ADatabaseOfAnotherProgramIsLeftAlone) {
  const TempFolder folder;
  const std::string path = folder.file("places.sqlite");
  execute(path, "CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('x')");
  const std::string before = read_file(path);
  WatchedStore store(path);
  EXPECT_THAT(*store->rows(any_row()), IsEmpty());
  EXPECT_EQ(store->put_row(sample_row(1)).error().code, ErrorCode::read_only);
  ASSERT_EQ(store.warnings.size(), 1u);
  EXPECT_THAT(store.warnings[0], HasSubstr("another program"));
  EXPECT_EQ(read_file(path), before);
}

TEST(Schema, PeopleCanReadTheTables) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  {
    WatchedStore store(path);
    ASSERT_TRUE(store->put_rows({sample_row(1), sample_row(3), sample_row(6)}).ok());
    ASSERT_TRUE(store->put_winner(sample_winner(64)).ok());
    ASSERT_TRUE(store->put_binary(sample_binary("k"), "sm_90a", "moe_mxfp4.gemm1.mma").ok());
  }
  const auto database = open_file(path);
  EXPECT_EQ(*database->query_text("SELECT updated_utc FROM v_winners"), "2025-10-09 08:53:20");
  EXPECT_EQ(*database->query_text("SELECT verified FROM v_winners"), "yes");
  EXPECT_EQ(*database->query_integer("SELECT count(*) FROM v_rejected WHERE verdict='smem'"), 2);
  EXPECT_EQ(*database->query_integer("SELECT sum(configs) FROM v_verdicts"), 3);
  EXPECT_EQ(*database->query_text("SELECT label FROM v_binaries"), "moe_mxfp4.gemm1.mma");
  EXPECT_EQ(*database->query_integer("PRAGMA application_id"), kApplicationId);
}

TEST(Schema, TheDocumentationNamesEveryColumn) {
  const std::string text = read_file(std::string(RTJIT_SOURCE_DIR) + "/docs/cache-format.md");
  const TempFolder folder;
  WatchedStore store(folder.file("cache.db"));
  const auto database = open_file(folder.file("cache.db"));
  Result<Statement> statement = database->prepare(
      "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.name NOT LIKE "
      "'sqlite_%'");
  ASSERT_TRUE(statement.ok());
  int columns = 0;
  while (*statement->step()) {
    ++columns;
    EXPECT_THAT(text, HasSubstr("`" + statement->text(0) + "`"));
    EXPECT_THAT(text, HasSubstr("`" + statement->text(1) + "`")) << statement->text(0);
  }
  EXPECT_GT(columns, 60);
}

}  // namespace
}  // namespace rtjit
