#include <gmock/gmock.h>

#include "cache/contents.h"
#include "cache/database.h"
#include "cache/gc.h"
#include "cache/merge.h"
#include "cache/text_form.h"
#include "cache/verify.h"
#include "tests/cache/cache_test_util.h"

namespace rtjit {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

QuarantineRow sample_quarantine(const std::string& compiler = "nvrtc 13.0") {
  QuarantineRow row;
  row.key = sample_row(1).key;
  row.compiler = compiler;
  row.verdict = Verdict::fault;
  row.error = "fault: an illegal memory access was encountered";
  row.reached = Reached::loaded;
  row.features = "mma.bf16 ldmatrix";
  row.binary_key = "k1";
  row.device_name = "NVIDIA H200";
  row.driver = "13.0";
  row.updated_unix = 1760000000;
  return row;
}

// With the verdict that it comes from.
Status put(WatchedStore& store, const QuarantineRow& row) {
  TuningRow verdict;
  verdict.key = row.key;
  verdict.verdict = row.verdict;
  verdict.reason = row.error;
  verdict.compiler = row.compiler;
  return store->put_quarantine(row, verdict);
}

QuarantineRow any_quarantine() {
  QuarantineRow any;
  any.key.bucket = -1;
  return any;
}

Contents contents_of(const std::string& path) {
  Result<Contents> contents = read_contents(path);
  EXPECT_TRUE(contents.ok()) << (contents.ok() ? "" : contents.error().message);
  return contents.ok() ? *std::move(contents) : Contents();
}

TEST(Quarantine, KeepsTheEvidencePerCompiler) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  {
    WatchedStore store(path);
    ASSERT_TRUE(put(store, sample_quarantine()).ok());
    ASSERT_TRUE(put(store, sample_quarantine("nvrtc 13.1")).ok());
    QuarantineRow again = sample_quarantine();
    again.verdict = Verdict::hang;
    again.reached = Reached::verified;
    ASSERT_TRUE(put(store, again).ok());
    EXPECT_THAT(store.warnings, IsEmpty());
  }
  WatchedStore store(path);
  const auto rows = store->quarantine(any_quarantine());
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ(rows->at(0).compiler, "nvrtc 13.0");
  EXPECT_EQ(rows->at(0).verdict, Verdict::hang);
  EXPECT_EQ(rows->at(0).reached, Reached::verified);
  EXPECT_EQ(rows->at(0).features, "mma.bf16 ldmatrix");
  EXPECT_EQ(rows->at(1).compiler, "nvrtc 13.1");
  EXPECT_EQ(store->info()->quarantined, 2);
}

TEST(Quarantine, IsForFaultsAndHangsOnly) {
  WatchedStore store(":memory:");
  QuarantineRow row = sample_quarantine();
  row.verdict = Verdict::wrong;
  const Status status = put(store, row);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(status.error().message, HasSubstr("came: wrong"));
}

TEST(Quarantine, ReleaseTakesTheFailuresAwayAndNothingElse) {
  WatchedStore store(":memory:");
  TuningRow failed = sample_row(1), wrong = sample_row(1), other = sample_row(2);
  failed.verdict = Verdict::fault;
  failed.key.bucket = 64;
  wrong.verdict = Verdict::wrong;
  wrong.key.bucket = 128;
  ASSERT_TRUE(store->put_rows({failed, wrong, other}).ok());
  ASSERT_TRUE(put(store, sample_quarantine()).ok());
  ASSERT_TRUE(put(store, sample_quarantine("nvrtc 12.8")).ok());
  QuarantineRow elsewhere = sample_quarantine();
  elsewhere.key.config += "x";
  ASSERT_TRUE(put(store, elsewhere).ok());

  ASSERT_TRUE(store->release(sample_row(1).key, "nvrtc 13.0").ok());
  EXPECT_EQ(store->quarantine(any_quarantine())->size(), 2u)
      << "that of another compiler, that of another config";
  EXPECT_EQ(store->rows(any_row())->size(), 3u) << "wrong results are no quarantine";
  ASSERT_TRUE(store->release(sample_row(1).key).ok());
  EXPECT_EQ(store->quarantine(any_quarantine())->size(), 1u);
}

TEST(Quarantine, TravelsThroughTextAndMerge) {
  const TempFolder folder;
  {
    WatchedStore store(folder.file("a.db"));
    ASSERT_TRUE(put(store, sample_quarantine()).ok());
  }
  const Contents a = contents_of(folder.file("a.db"));
  ASSERT_EQ(a.quarantine.size(), 1u);
  const std::string text = to_text(a);
  EXPECT_THAT(text, HasSubstr(R"("kind":"quarantine")"));
  const Result<Contents> read = parse_text(text);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(to_text(*read), text);

  // The later of two remains, in either order.
  QuarantineRow later = sample_quarantine();
  later.updated_unix += 10;
  later.error = "fault: again";
  Contents b;
  b.quarantine = {later};
  for (bool a_first : {true, false}) {
    WatchedStore store(":memory:");
    for (const Contents* contents : {a_first ? &a : &b, a_first ? &b : &a})
      ASSERT_TRUE(merge_into(*store, *contents).ok());
    ASSERT_EQ(store->quarantine(any_quarantine())->size(), 1u);
    EXPECT_EQ(store->quarantine(any_quarantine())->at(0).error, "fault: again");
  }
}

TEST(Quarantine, IsCheckedAndCollectedLikeOtherRows) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  {
    WatchedStore store(path);
    ASSERT_TRUE(put(store, sample_quarantine()).ok());
    QuarantineRow other = sample_quarantine("nvrtc 12.8");
    ASSERT_TRUE(put(store, other).ok());
  }
  EXPECT_EQ(verify_database(path)->quarantined, 2);
  EXPECT_TRUE(verify_database(path)->ok());
  {
    auto database = Database::open(path, {});
    ASSERT_TRUE((*database)->execute("UPDATE quarantine SET error='x' WHERE compiler='nvrtc 12.8'").ok());
  }
  const auto report = verify_database(path);
  EXPECT_EQ(report->bad_quarantined, 1);
  ASSERT_EQ(report->findings.size(), 1u);
  EXPECT_THAT(report->findings[0], HasSubstr("table quarantine"));
  WatchedStore store(path);
  EXPECT_EQ(store->quarantine(any_quarantine())->size(), 1u) << "a damaged row is dropped";

  GcRequest old;
  old.older_than_seconds = 0;
  ASSERT_TRUE(collect_garbage(*store, old).ok());
  EXPECT_EQ(store->quarantine(any_quarantine())->size(), 1u) << "age is no reason to run it again";
  GcRequest stale;
  stale.current_hashes[sample_row(1).key.template_name] = "another hash";
  EXPECT_EQ(collect_garbage(*store, stale)->quarantined, 1);
  EXPECT_THAT(*store->quarantine(any_quarantine()), IsEmpty());
}

TEST(Quarantine, AnOlderLayerHasNone) {
  const TempFolder folder;
  {
    WatchedStore store(folder.file("old.db"));
    ASSERT_TRUE(store->put_row(sample_row(1)).ok());
  }
  {
    auto database = Database::open(folder.file("old.db"), {});
    const Status status =
        (*database)->execute("DROP VIEW v_quarantine; DROP TABLE quarantine; PRAGMA user_version=3");
    ASSERT_TRUE(status.ok()) << status.error().message;
  }
  WatchedStore store(StoreOptions{.path = ":memory:", .read_only = {folder.file("old.db")}});
  EXPECT_THAT(*store->quarantine(any_quarantine()), IsEmpty());
  EXPECT_EQ(store->rows(any_row())->size(), 1u);
  EXPECT_EQ(store->info()->quarantined, 0);
  EXPECT_THAT(store.warnings, IsEmpty());
}

}  // namespace
}  // namespace rtjit
