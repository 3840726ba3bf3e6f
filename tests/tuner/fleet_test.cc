// Work that is shared: between processes by shards, between the devices of a host by claims.
#include "tuner/fleet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "cache/merge.h"
#include "tests/tuner/scale_add.h"

namespace rtjit {
namespace {

class FleetTest : public testing::Test {
 protected:
  void SetUp() override {
    registry_ = test::scale_add_registry();
    tmpl_ = *registry_->find("scale_add");
    folder_ = std::filesystem::temp_directory_path() / fmt::format("rtjit_fleet_{}_{}", getpid(), counter_++);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const char* name) const { return (folder_ / name).string(); }

  TuneRequest request(Store& store) {
    TuneRequest r;
    r.tmpl = tmpl_;
    r.problem = *make_problem(*tmpl_, {{"a", "1.5"}});
    r.target = *Target::parse("sm_90a");
    r.device = test::fake_device_info("sm_90a");
    r.buckets = {1024, 16384, 262144};
    r.store = &store;
    r.compiler = test::counting_compiler(&compilers_opened_);
    r.worker_command = {"/proc/self/exe", "worker", ""};
    r.template_folders = {test::scale_add_folder()};
    r.search.configs = 6;
    r.search.samples = 3;
    return r;
  }
  static std::vector<WinnerRow> winners(const Store& store) {
    WinnerRow pattern;
    pattern.bucket = -1;
    return *store.winners(pattern);
  }
  // What does not depend on when it was found.
  static std::vector<std::string> table(const Store& store) {
    std::vector<std::string> lines;
    for (const WinnerRow& winner : winners(store)) {
      lines.push_back(fmt::format("{} {} {} {} {:.6f} {} {}", winner.stage, winner.bucket, winner.variant,
                                  winner.config, winner.time_us, winner.why, winner.verified));
    }
    std::sort(lines.begin(), lines.end());
    return lines;
  }

  static inline int counter_ = 0;
  std::filesystem::path folder_;
  std::shared_ptr<const TemplateRegistry> registry_;
  std::shared_ptr<const Template> tmpl_;
  int compilers_opened_ = 0;
};

TEST_F(FleetTest, TwoShardsAndAMergeEqualOneRun) {
  auto whole = test::open_store(path("whole.db"));
  auto report = tune(request(*whole));
  ASSERT_TRUE(report.ok()) << report.error().message;
  ASSERT_EQ(winners(*whole).size(), 3u);

  size_t reported = 0;
  for (size_t i = 0; i < 2; ++i) {
    auto part = test::open_store(path(i == 0 ? "first.db" : "second.db"));
    TuneRequest r = request(*part);
    r.shard = {i, 2};
    auto share = tune(r);
    ASSERT_TRUE(share.ok()) << share.error().message;
    reported += share->stages.front().buckets.size();
    EXPECT_LT(winners(*part).size(), 3u);
    // Again, all is known: nothing is done.
    auto again = tune(r);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->compiled, 0);
  }
  EXPECT_EQ(reported, 3u);

  auto merged = test::open_store(path("merged.db"));
  for (const char* part : {"second.db", "first.db"}) {
    auto contents = read_contents(path(part));
    ASSERT_TRUE(contents.ok()) << contents.error().message;
    ASSERT_TRUE(merge_into(*merged, *contents).ok());
  }
  EXPECT_EQ(table(*merged), table(*whole));
}

TEST_F(FleetTest, MoreShardsThanWorkLeaveSomeWithNothingToDo) {
  auto store = test::open_store(path("cache.db"));
  TuneRequest r = request(*store);
  r.shard = {7, 16};
  auto report = tune(r);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_TRUE(report->stages.front().buckets.empty());
  EXPECT_EQ(compilers_opened_, 0);
}

TEST_F(FleetTest, TwoDevicesFillOneTable) {
  auto one = test::open_store(path("one.db"));
  ASSERT_TRUE(tune(request(*one)).ok());

  auto store = test::open_store(path("two.db"));
  DeviceInfo second = test::fake_device_info("sm_90a");
  second.ordinal = 1;
  auto report = tune_on_devices(request(*store), {test::fake_device_info("sm_90a"), second});
  ASSERT_TRUE(report.ok()) << report.error().message;
  ASSERT_EQ(report->stages.size(), 1u);
  std::vector<int64_t> buckets;
  for (const BucketReport& bucket : report->stages.front().buckets) {
    buckets.push_back(bucket.bucket);
    EXPECT_TRUE(bucket.has_winner);
    EXPECT_TRUE(bucket.verified);
  }
  EXPECT_THAT(buckets, testing::ElementsAre(1024, 16384, 262144)) << "each once";
  EXPECT_EQ(table(*store), table(*one));
  auto again = tune_on_devices(request(*store), {test::fake_device_info("sm_90a"), second});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->stages.front().buckets.size(), 3u);
  for (const BucketReport& bucket : again->stages.front().buckets) EXPECT_TRUE(bucket.from_cache);
}

TEST_F(FleetTest, DevicesOfTwoModelsEachGetAWholeTable) {
  auto store = test::open_store(path("cache.db"));
  DeviceInfo other = test::fake_device_info("sm_90a");
  other.ordinal = 1;
  other.sm_count = 8;
  auto report = tune_on_devices(request(*store), {test::fake_device_info("sm_90a"), other});
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->stages.front().buckets.size(), 6u);
  EXPECT_EQ(winners(*store).size(), 6u);
}

TEST_F(FleetTest, ABrokenDeviceStopsAllAndIsNamed) {
  auto store = test::open_store(path("cache.db"));
  TuneRequest r = request(*store);
  r.worker_command = {"/nowhere/worker"};
  auto report = tune_on_devices(r, {test::fake_device_info("sm_90a"), test::fake_device_info("sm_90a")});
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(report.error().message, testing::HasSubstr("Fake GPU 0: "));
  EXPECT_THAT(report.error().message, testing::HasSubstr("/nowhere/worker"));
}

}  // namespace
}  // namespace rtjit
