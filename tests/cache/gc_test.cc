#include "cache/gc.h"

#include <gmock/gmock.h>

#include "base/files.h"
#include "cache/merge.h"
#include "tests/cache/cache_test_util.h"

namespace rtjit {
namespace {

constexpr int64_t kNow = 1800000000;
constexpr int64_t kDay = 24 * 3600;

// A winner with its row and binary, and a row with a binary that did not win.
class Gc : public testing::Test {
 protected:
  void add(const std::string& hash, int64_t bucket, int64_t age_days, const std::string& prefix) {
    Contents contents;
    TuningRow row = sample_row(2);
    row.key.template_hash = hash;
    row.key.bucket = bucket;
    row.updated_unix = kNow - age_days * kDay;
    row.binary_key = prefix + "-winner";
    TuningRow loser = row;
    loser.key.config = "block_m=16,block_n=16";
    loser.binary_key = prefix + "-loser";
    WinnerRow winner = sample_winner(bucket);
    winner.template_hash = hash;
    winner.variant = row.key.variant;
    winner.config = row.key.config;
    winner.updated_unix = row.updated_unix;
    contents.rows = {row, loser};
    contents.winners = {winner};
    for (const std::string& key : {row.binary_key, loser.binary_key}) {
      contents.binaries.push_back(*encode_binary(sample_binary(key, 60000), "sm_90a", "gemm1"));
      contents.binaries.back().created_unix = row.updated_unix;
    }
    ASSERT_TRUE(merge_into(*store_, contents).ok());
  }

  GcReport collect(GcRequest request) {
    request.now_unix = kNow;
    const auto report = collect_garbage(*store_, request);
    EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message);
    return report.ok() ? *report : GcReport{};
  }

  std::vector<std::string> binaries() {
    std::vector<std::string> keys;
    const auto contents = read_contents(*store_);
    for (const StoredBinary& binary : contents->binaries) keys.push_back(binary.key);
    return keys;
  }

  TempFolder folder_;
  std::string path_ = folder_.file("cache.db");
  WatchedStore store_{path_};
};

using testing::ElementsAre;

TEST_F(Gc, WithoutALimitNothingGoes) {
  add("hash-1", 64, 1000, "a");
  const GcReport report = collect({});
  EXPECT_EQ(report.rows + report.winners + report.binaries, 0);
  EXPECT_EQ(binaries().size(), 2u);
}

TEST_F(Gc, ByAgeTakesWhatIsOlder) {
  add("hash-1", 64, 100, "old");
  add("hash-1", 128, 10, "new");
  const GcReport report = collect({.older_than_seconds = 90 * kDay});
  EXPECT_EQ(report.winners, 1);
  EXPECT_EQ(report.rows, 2);
  EXPECT_EQ(report.binaries, 2);
  EXPECT_THAT(binaries(), ElementsAre("new-loser", "new-winner"));
  EXPECT_EQ(store_->rows(any_row())->size(), 2u);
}

TEST_F(Gc, ByAgeKeepsWhatAYoungWinnerNeeds) {
  add("hash-1", 64, 100, "a");
  WinnerRow renewed = store_->winners(any_winner())->at(0);
  renewed.updated_unix = kNow;
  ASSERT_TRUE(store_->put_winner(renewed).ok());
  const GcReport report = collect({.older_than_seconds = 90 * kDay});
  EXPECT_EQ(report.winners, 0);
  EXPECT_EQ(report.rows, 1);
  EXPECT_THAT(binaries(), ElementsAre("a-winner"));
}

TEST_F(Gc, StaleTemplatesGoAndUnknownOnesStay) {
  add("hash-1", 64, 1, "old");
  add("hash-2", 64, 1, "new");
  EXPECT_EQ(collect({.current_hashes = {{"another_template", "hash-9"}}}).rows, 0);
  const GcReport report = collect({.current_hashes = {{"moe_mxfp4", "hash-2"}}});
  EXPECT_EQ(report.winners, 1);
  EXPECT_EQ(report.rows, 2);
  EXPECT_THAT(binaries(), ElementsAre("new-loser", "new-winner"));
}

TEST_F(Gc, BySizeTakesBinariesThatDidNotWinFirstAndGivesTheRoomBack) {
  add("hash-1", 64, 5, "a");
  add("hash-1", 128, 10, "b");
  const GcReport all = collect({.dry_run = true});
  const GcReport report = collect({.max_bytes = all.bytes_before - 1});
  EXPECT_EQ(report.binaries, 1);
  EXPECT_THAT(binaries(), ElementsAre("a-loser", "a-winner", "b-winner"));
  EXPECT_LT(report.bytes_after, report.bytes_before);
  const int64_t before = file_bytes(path_);
  const GcReport rest = collect({.max_bytes = 0});
  EXPECT_EQ(rest.binaries, 3);
  EXPECT_EQ(rest.winners, 0);
  EXPECT_FALSE(rest.fits);
  EXPECT_EQ(store_->rows(any_row())->size(), 4u);
  EXPECT_LT(file_bytes(path_), before);
}

TEST_F(Gc, ADryRunSaysTheSameAndChangesNothing) {
  add("hash-1", 64, 100, "a");
  const GcRequest request{.older_than_seconds = 90 * kDay, .dry_run = true};
  const GcReport planned = collect(request);
  EXPECT_EQ(planned.rows, 2);
  EXPECT_EQ(store_->rows(any_row())->size(), 2u);
  GcRequest real = request;
  real.dry_run = false;
  const GcReport done = collect(real);
  EXPECT_EQ(done.rows, planned.rows);
  EXPECT_EQ(done.binaries, planned.binaries);
  EXPECT_EQ(done.winners, planned.winners);
}

TEST_F(Gc, NegativeLimitsAreRefused) {
  EXPECT_FALSE(collect_garbage(*store_, {.max_bytes = -1}).ok());
  EXPECT_FALSE(collect_garbage(*store_, {.older_than_seconds = -1}).ok());
}

}  // namespace
}  // namespace rtjit
