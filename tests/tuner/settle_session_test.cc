// Winners that are settled by further passes on a device that is not the same at each moment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>

#include "tests/tuner/scale_add.h"
#include "tests/tuner/tune_once.h"
#include "tuner/session.h"
#include "tuner/settle_record.h"

namespace rtjit::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// As the compiler writes it, and as the cubin's symbols are named.
std::string kernel(const std::string& arguments, const std::string& what) {
  std::string spaced = arguments;
  spaced.replace(spaced.find(','), 1, ", ");
  return "unrolled<" + arguments + ">=" + what + ";unrolled<" + spaced + ">=" + what + ";";
}

class Stopper : public TuneObserver {
 public:
  void on_phase(TunePhase phase, int64_t total) override {
    if (phase == TunePhase::settle) to_settle = total;
    if (phase == TunePhase::settle && at_once) stop = true;
  }
  void on_best(const std::string&, int64_t, const std::string&, const std::string&, double,
               Knowledge) override {
    if (to_settle > 0 && after_first) stop = true;
  }
  bool at_once = false, after_first = false;
  int64_t to_settle = 0;
  std::atomic<bool> stop = false;
};

class SettleSessionTest : public testing::Test {
 protected:
  void SetUp() override {
    registry_ = scale_add_registry();
    folder_ = std::filesystem::temp_directory_path() / fmt::format("rtjit_settle_{}", getpid());
    std::filesystem::create_directories(folder_);
    store_ = open_store((folder_ / "cache.db").string());
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  TuneReport run(const std::string& misbehaviour, TuneObserver* observer = nullptr,
                 const std::atomic<bool>* cancel = nullptr, std::vector<int64_t> buckets = {1024}) {
    TuneRequest request =
        fake_device_request(*registry_->find("scale_add"), misbehaviour, "exhaustive", /*passes=*/7);
    request.buckets = std::move(buckets);
    request.store = store_.get();
    request.compiler = counting_compiler(&opened_);
    request.cancel = cancel;
    auto report = tune(request, observer);
    EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message);
    return report.ok() ? *report : TuneReport();
  }
  BucketReport bucket(const std::string& misbehaviour) {
    const TuneReport report = run(misbehaviour);
    return report.stages.empty() ? BucketReport() : report.stages[0].buckets[0];
  }
  std::string policy(const std::string& config, int64_t bucket = 1024) {
    RowKey pattern;
    pattern.config = config;
    pattern.bucket = bucket;
    auto rows = store_->rows(pattern);
    return rows.ok() && rows->size() == 1 ? rows->front().policy : "";
  }
  std::string stored_winner(int64_t bucket = 1024) {
    WinnerRow pattern;
    pattern.bucket = bucket;
    auto winners = store_->winners(pattern);
    return winners.ok() && winners->size() == 1 ? winners->front().config : "";
  }

  std::filesystem::path folder_;
  std::shared_ptr<const TemplateRegistry> registry_;
  std::unique_ptr<Store> store_;
  int opened_ = 0;
};

TEST_F(SettleSessionTest, WithoutAContenderItCostsNothing) {
  Stopper observer;
  const TuneReport report = run("", &observer);
  EXPECT_EQ(report.stages[0].buckets[0].config, "block=128,items=2");
  EXPECT_EQ(report.stages[0].buckets[0].why, "fastest of 16 measured; 20 % ahead of the default");
  EXPECT_EQ(report.phase_ms.count(TunePhase::settle), 0u);
  EXPECT_EQ(observer.to_settle, 0);
  EXPECT_TRUE(report.stages[0].buckets[0].contenders.empty());
  EXPECT_THAT(policy("block=128,items=2"), Not(HasSubstr("settled")));
}

TEST_F(SettleSessionTest, DriftBetweenMomentsDoesNotChangeTheWinner) {
  const BucketReport still = bucket(kernel("64,2", "us:102"));
  EXPECT_EQ(still.config, "block=128,items=2");
  ASSERT_EQ(still.contenders.size(), 2u);
  EXPECT_THAT(still.contenders[0].times_us, ElementsAre(100, 100, 100));
  EXPECT_THAT(still.contenders[1].times_us, ElementsAre(102, 102, 102));
  EXPECT_NEAR(still.time_us, 100, 1e-9);
  EXPECT_THAT(still.why, HasSubstr("; settled in 3 passes"));
  store_ = open_store((folder_ / "other.db").string());
  const BucketReport drifting = bucket(kernel("64,2", "us:102") + "moments=1/1.04/0.97/1.02");
  EXPECT_EQ(drifting.config, still.config);
  EXPECT_THAT(drifting.contenders[0].times_us, ElementsAre(104, 97, 102));
  EXPECT_NEAR(drifting.time_us, 100, 1e-3);
  EXPECT_NEAR(drifting.default_time_us, 120, 1e-9);
}

TEST_F(SettleSessionTest, ALuckyMomentOfTheSearchIsPutRight) {
  // The search sees one of them 3 % faster than the best one is, which all later moments deny.
  const TuneReport report = run(kernel("64,2", "us:97/103"));
  const BucketReport& bucket = report.stages[0].buckets[0];
  EXPECT_EQ(bucket.config, "block=128,items=2");
  EXPECT_TRUE(bucket.verified);
  EXPECT_FALSE(bucket.being_settled);
  EXPECT_EQ(stored_winner(), "block=128,items=2");
  EXPECT_THAT(policy("block=64,items=2"), HasSubstr("; settled, us by pass: 103.000 103.000 103.000"));
  EXPECT_GT(report.phase_ms.at(TunePhase::settle), 0);
  EXPECT_GT(report.parts_ms.at("settle").at("stage"), 0);
  // The stored table says the same, without anything being measured.
  const TuneReport again = run("");
  EXPECT_TRUE(again.stages[0].buckets[0].from_cache);
  ASSERT_EQ(again.stages[0].buckets[0].contenders.size(), 2u);
  EXPECT_EQ(again.stages[0].buckets[0].contenders[0].config, "block=128,items=2");
  EXPECT_EQ(again.stages[0].buckets[0].contenders[1].times_us, bucket.contenders[1].times_us);
}

TEST_F(SettleSessionTest, AConfigThatMovesInOnePassIsSettledByItsMedian) {
  const BucketReport moved = bucket(kernel("64,2", "us:102/102/98/102"));
  EXPECT_EQ(moved.config, "block=128,items=2");
  EXPECT_THAT(moved.contenders[1].times_us, ElementsAre(102, 98, 102, 102, 102));
}

TEST_F(SettleSessionTest, WhatFailsInAPassDoesNotWin) {
  const TuneReport report = run(kernel("128,2", "fault@2") + kernel("64,2", "us:101.5"));
  EXPECT_EQ(report.stages[0].buckets[0].config, "block=64,items=2");
  EXPECT_EQ(stored_winner(), "block=64,items=2");
  ASSERT_EQ(report.warnings.size(), 1u);
  EXPECT_THAT(report.warnings[0], HasSubstr("fault"));
}

TEST_F(SettleSessionTest, AWinnerOfThePassesThatIsWrongIsPassedOver) {
  const TuneReport report = run(kernel("128,2", "wrong@2") + kernel("64,2", "us:97/103"));
  EXPECT_EQ(report.stages[0].buckets[0].config, "block=64,items=2");
  EXPECT_EQ(stored_winner(), "block=64,items=2");
  ASSERT_EQ(report.warnings.size(), 1u);
  EXPECT_THAT(report.warnings[0], HasSubstr("please report it"));
}

TEST_F(SettleSessionTest, ARunThatEndsBeforeItIsContinuedByTheNextOne) {
  Stopper stopper;
  stopper.at_once = true;
  const std::string misbehaviour = kernel("64,2", "us:97/103");
  const TuneReport first = run(misbehaviour, &stopper, &stopper.stop);
  EXPECT_TRUE(first.cancelled);
  EXPECT_TRUE(first.stages[0].buckets[0].being_settled);
  EXPECT_EQ(stored_winner(), "block=64,items=2") << "the best so far serves";
  EXPECT_TRUE(settle_record(policy("block=64,items=2")).open);
  const TuneReport second = run(kernel("64,2", "us:103"));
  EXPECT_EQ(second.stages[0].buckets[0].config, "block=128,items=2");
  EXPECT_EQ(stored_winner(), "block=128,items=2");
  EXPECT_EQ(second.phase_ms.count(TunePhase::measure), 0u) << "the search is not repeated";
  EXPECT_TRUE(run("").stages[0].buckets[0].from_cache);
}

TEST_F(SettleSessionTest, PassesThatAreFinishedAreNotRepeated) {
  Stopper stopper;
  stopper.after_first = true;
  const std::vector<int64_t> buckets = {1024, 16384};
  // Two buckets are searched at moments 1 and 2, and measured in turns at moments 3 to 8.
  const std::string misbehaviour = kernel("64,2", "us:102") + "moments=1/1/1/1.01/1/1.02/1/1";
  const TuneReport first = run(misbehaviour, &stopper, &stopper.stop, buckets);
  EXPECT_TRUE(first.cancelled);
  ASSERT_EQ(first.stages[0].buckets.size(), 2u);
  EXPECT_FALSE(first.stages[0].buckets[0].being_settled);
  EXPECT_TRUE(first.stages[0].buckets[1].being_settled);
  EXPECT_THAT(settle_record(policy("block=128,items=2", 16384)).times_us, ElementsAre(101, 102));
  const TuneReport second = run(kernel("64,2", "us:102") + "moments=1.03", nullptr, nullptr, buckets);
  EXPECT_TRUE(second.stages[0].buckets[0].from_cache);
  ASSERT_EQ(second.stages[0].buckets[1].contenders.size(), 2u);
  EXPECT_THAT(second.stages[0].buckets[1].contenders[0].times_us, ElementsAre(101, 102, 103));
  EXPECT_FALSE(second.stages[0].buckets[1].being_settled);
}

}  // namespace
}  // namespace rtjit::test
