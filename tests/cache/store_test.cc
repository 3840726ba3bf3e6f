#include "cache/store.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstdlib>
#include <limits>

#include "tests/cache/cache_test_util.h"

namespace rtjit {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(Store, KeepsEveryFieldOfARowAcrossOpenings) {
  const TempFolder folder;
  const std::string path = folder.file("deep/er/cache.db");
  {
    WatchedStore store(path);
    ASSERT_TRUE(store->put_rows({sample_row(1), sample_row(2), sample_row(3)}).ok());
    EXPECT_THAT(store.warnings, IsEmpty());
  }
  WatchedStore store(path);
  const auto rows = store->rows(any_row());
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 3u);
  std::vector<std::string> found, expected;
  for (const TuningRow& row : *rows) found.push_back(describe(row));
  for (int i = 1; i <= 3; ++i) expected.push_back(describe(sample_row(i)));
  EXPECT_THAT(found, testing::UnorderedElementsAreArray(expected));
}

TEST(Store, KeepsNumbersThatSqliteHasNot) {
  WatchedStore store(":memory:");
  TuningRow row = sample_row(1);
  row.rel_l2 = std::numeric_limits<double>::quiet_NaN();
  row.max_err = std::numeric_limits<double>::infinity();
  row.time_us = -0.0;
  row.reason = std::string("a\0b", 3);
  ASSERT_TRUE(store->put_row(row).ok());
  const auto rows = store->rows(any_row());
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_TRUE(std::isnan(rows->front().rel_l2));
  EXPECT_TRUE(std::isinf(rows->front().max_err));
  EXPECT_EQ(rows->front().time_us, 0.0);
  EXPECT_EQ(rows->front().reason, row.reason);
  EXPECT_THAT(store.warnings, IsEmpty());
}

TEST(Store, FindsRowsByAnyPartOfTheKey) {
  WatchedStore store(":memory:");
  TuningRow other = sample_row(1);
  other.key.template_name = "gemm_fp8_block";
  ASSERT_TRUE(store->put_rows({sample_row(1), sample_row(2), other}).ok());
  const auto count = [&](RowKey pattern) { return store->rows(pattern)->size(); };
  RowKey pattern = any_row();
  EXPECT_EQ(count(pattern), 3u);
  pattern.template_name = "moe_mxfp4";
  EXPECT_EQ(count(pattern), 2u);
  pattern.bucket = 4;
  EXPECT_EQ(count(pattern), 1u);
  pattern.sku = "another";
  EXPECT_EQ(count(pattern), 0u);
}

TEST(Store, ReplacesARowOnlyByOneThatKnowsAtLeastAsMuch) {
  WatchedStore store(":memory:");
  TuningRow row = sample_row(1);
  const auto put = [&](Knowledge knowledge, bool verified, Verdict verdict, double time) {
    row.knowledge = knowledge;
    row.verified = verified;
    row.verdict = verdict;
    row.time_us = time;
    ASSERT_TRUE(store->put_row(row).ok());
  };
  const auto time_now = [&] { return store->rows(any_row())->at(0).time_us; };
  put(Knowledge::none, false, Verdict::ok, 1);
  put(Knowledge::predicted, false, Verdict::ok, 2);
  EXPECT_EQ(time_now(), 2);
  put(Knowledge::none, false, Verdict::ok, 3);
  EXPECT_EQ(time_now(), 2);
  put(Knowledge::predicted, true, Verdict::ok, 4);
  put(Knowledge::measured, false, Verdict::ok, 5);
  EXPECT_EQ(time_now(), 5);
  put(Knowledge::predicted, true, Verdict::ok, 6);
  EXPECT_EQ(time_now(), 5);
  put(Knowledge::measured, true, Verdict::ok, 7);
  put(Knowledge::measured, false, Verdict::ok, 8);
  EXPECT_EQ(time_now(), 7);
  put(Knowledge::none, false, Verdict::fault, 9);
  EXPECT_EQ(time_now(), 9) << "a config that faults must not keep its good name";
  put(Knowledge::measured, true, Verdict::ok, 10);
  EXPECT_EQ(time_now(), 10) << "the newest of equal knowledge counts";
}

TEST(Store, AnotherTemplateHashIsAnotherRow) {
  WatchedStore store(":memory:");
  TuningRow row = sample_row(1);
  ASSERT_TRUE(store->put_row(row).ok());
  row.key.template_hash = "hash-2";
  row.knowledge = Knowledge::predicted;
  ASSERT_TRUE(store->put_row(row).ok());
  EXPECT_EQ(store->rows(any_row())->size(), 2u);
}

TEST(Store, RefusesRowsWithoutIdentity) {
  WatchedStore store(":memory:");
  TuningRow row = sample_row(1);
  row.key.template_hash.clear();
  const Status status = store->put_row(row);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
  WinnerRow winner = sample_winner(-1);
  EXPECT_FALSE(store->put_winner(winner).ok());
}

TEST(Store, KeepsWinners) {
  WatchedStore store(":memory:");
  ASSERT_TRUE(store->put_winner(sample_winner(64)).ok());
  ASSERT_TRUE(store->put_winner(sample_winner(128)).ok());
  auto winners = store->winners(any_winner());
  ASSERT_EQ(winners->size(), 2u);
  EXPECT_EQ(describe(winners->at(0)), describe(sample_winner(64)));
  WinnerRow predicted = sample_winner(64);
  predicted.knowledge = Knowledge::predicted;
  predicted.config = "another";
  ASSERT_TRUE(store->put_winner(predicted).ok());
  EXPECT_EQ(store->winners(any_winner())->at(0).config, sample_winner(64).config);
  WinnerRow newer = sample_winner(64);
  newer.config = "newer";
  ASSERT_TRUE(store->put_winner(newer).ok());
  EXPECT_EQ(store->winners(any_winner())->at(0).config, "newer");
}

TEST(Store, RefusesAMeasuredWinnerThatWasNotVerified) {
  WatchedStore store(":memory:");
  WinnerRow winner = sample_winner(64);
  winner.verified = false;
  const Status status = store->put_winner(winner);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("must be verified"));
}

TEST(Store, AConfigThatFailsWhenRunLosesItsWins) {
  WatchedStore store(":memory:");
  for (const int64_t bucket : {32, 64, 128}) ASSERT_TRUE(store->put_winner(sample_winner(bucket)).ok());
  TuningRow row = sample_row(1);
  row.key.config = sample_winner(64).config;
  row.key.bucket = 64;
  row.verdict = Verdict::wrong;
  ASSERT_TRUE(store->put_row(row).ok());
  auto winners = store->winners(any_winner());
  ASSERT_EQ(winners->size(), 2u);
  EXPECT_EQ(winners->at(0).bucket, 32);
  row.key.bucket = 0;  // for all buckets
  ASSERT_TRUE(store->put_row(row).ok());
  EXPECT_THAT(*store->winners(any_winner()), IsEmpty());
}

TEST(Store, KeepsBinaries) {
  const TempFolder folder;
  const Binary binary = sample_binary("key-1");
  {
    WatchedStore store(folder.file("cache.db"));
    ASSERT_TRUE(store->put_binary(binary, "sm_90a", "moe_mxfp4.gemm1").ok());
  }
  WatchedStore store(folder.file("cache.db"));
  const auto found = store->find_binary("key-1");
  ASSERT_TRUE(found.ok());
  ASSERT_NE(*found, nullptr);
  const Binary& back = **found;
  EXPECT_EQ(back.key, binary.key);
  EXPECT_EQ(back.cubin, binary.cubin);
  EXPECT_EQ(back.ptx, binary.ptx);
  EXPECT_EQ(back.log, binary.log);
  EXPECT_EQ(back.compiler, binary.compiler);
  EXPECT_EQ(back.compile_ms, binary.compile_ms);
  ASSERT_EQ(back.kernels.size(), 2u);
  EXPECT_EQ(back.kernels[0].name_expression, "rtjit::moe::gemm1<64>");
  EXPECT_EQ(back.kernels[0].symbol, "_Z5gemm1v");
  EXPECT_EQ(back.kernels[0].resources.registers, 168);
  EXPECT_EQ(back.kernels[0].resources.code_bytes, 9000);
  EXPECT_EQ(back.kernels[1].resources.symbol, "_Z7combinev");
  ASSERT_EQ(back.features.size(), 1u);
  EXPECT_EQ(back.features[0].line, 17);
  EXPECT_EQ(*store->find_binary("key-2"), nullptr);
  const auto info = store->info();
  EXPECT_EQ(info->binaries, 1);
  EXPECT_GT(info->binary_bytes, 0);
  EXPECT_LT(info->binary_bytes, static_cast<int64_t>(binary.cubin.size() + binary.ptx.size()));
}

TEST(Store, AnEmptyBinaryIsOneToo) {
  WatchedStore store(":memory:");
  Binary binary;
  binary.key = "k";
  ASSERT_TRUE(store->put_binary(binary, "sm_80", "").ok());
  ASSERT_NE(*store->find_binary("k"), nullptr);
}

TEST(Store, LooksThroughItsLayers) {
  const TempFolder folder;
  TuningRow row = sample_row(1);
  {
    WatchedStore below(folder.file("below.db"));
    row.reason = "below";
    ASSERT_TRUE(below->put_row(row).ok());
    ASSERT_TRUE(below->put_row(sample_row(2)).ok());
    ASSERT_TRUE(below->put_binary(sample_binary("below"), "sm_90a", "").ok());
    ASSERT_TRUE(below->put_winner(sample_winner(64)).ok());
    WatchedStore lowest(folder.file("lowest.db"));
    ASSERT_TRUE(lowest->put_binary(sample_binary("lowest"), "sm_90a", "").ok());
  }
  const std::string before = read_file(folder.file("below.db"));
  WatchedStore store(StoreOptions{.path = folder.file("user.db"),
                                  .read_only = {folder.file("below.db"), folder.file("lowest.db")}});
  EXPECT_EQ(store->rows(any_row())->size(), 2u);
  EXPECT_EQ(store->winners(any_winner())->size(), 1u);
  EXPECT_NE(*store->find_binary("below"), nullptr);
  EXPECT_NE(*store->find_binary("lowest"), nullptr);

  row.reason = "user";
  row.knowledge = Knowledge::predicted;
  ASSERT_TRUE(store->put_row(row).ok());
  RowKey pattern = any_row();
  pattern.config = row.key.config;
  EXPECT_EQ(store->rows(pattern)->at(0).reason, "below") << "measured below beats predicted here";
  row.knowledge = Knowledge::measured;
  ASSERT_TRUE(store->put_row(row).ok());
  ASSERT_EQ(store->rows(pattern)->size(), 1u);
  EXPECT_EQ(store->rows(pattern)->at(0).reason, "user");
  EXPECT_EQ(read_file(folder.file("below.db")), before);
  EXPECT_EQ(store->info()->read_only.size(), 2u);
  EXPECT_THAT(store.warnings, IsEmpty());
}

TEST(Store, AMissingReadOnlyLayerIsSaidAndPassedOver) {
  WatchedStore store(StoreOptions{.path = ":memory:", .read_only = {"/nonexistent/pack.db"}});
  EXPECT_THAT(*store->rows(any_row()), IsEmpty());
  ASSERT_EQ(store.warnings.size(), 1u);
  EXPECT_THAT(store.warnings[0], HasSubstr("/nonexistent/pack.db"));
}

TEST(Store, FindsTheUsersPath) {
  const TempFolder folder;
  setenv("HOME", "/home/someone", 1);
  unsetenv("XDG_CACHE_HOME");
  unsetenv("RTJIT_CACHE");
  EXPECT_EQ(*user_cache_path(), "/home/someone/.cache/rtjit/cache.db");
  setenv("XDG_CACHE_HOME", "relative", 1);
  EXPECT_EQ(*user_cache_path(), "/home/someone/.cache/rtjit/cache.db");
  setenv("XDG_CACHE_HOME", "/xdg/", 1);
  EXPECT_EQ(*user_cache_path(), "/xdg/rtjit/cache.db");
  setenv("RTJIT_CACHE", "/somewhere/file.db", 1);
  EXPECT_EQ(*user_cache_path(), "/somewhere/file.db");
  setenv("RTJIT_CACHE", folder.path().c_str(), 1);
  EXPECT_EQ(*user_cache_path(), folder.file("cache.db"));
  unsetenv("RTJIT_CACHE");
  unsetenv("XDG_CACHE_HOME");
  unsetenv("HOME");
  EXPECT_FALSE(user_cache_path().ok());
  WatchedStore store(StoreOptions{});
  EXPECT_THAT(*store->rows(any_row()), IsEmpty());
  EXPECT_EQ(store->put_row(sample_row(1)).error().code, ErrorCode::read_only);
  EXPECT_EQ(store.warnings.size(), 1u);
}

}  // namespace
}  // namespace rtjit
