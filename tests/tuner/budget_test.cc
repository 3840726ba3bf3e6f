// Runs that must end before they are done.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/tuner/scale_add.h"
#include "tuner/session.h"
#include "tuner/stage_tuner.h"
#include "tuner/stop_signal.h"

namespace rtjit {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

TEST(StopSignal, WithoutABudgetItIsTheCallersFlag) {
  std::atomic<bool> flag{false};
  StopSignal stop(&flag, milliseconds(0));
  EXPECT_EQ(stop.flag(), &flag);
  EXPECT_FALSE(stop.stopped());
  flag = true;
  EXPECT_TRUE(stop.stopped());
  EXPECT_FALSE(stop.out_of_time());
  EXPECT_EQ(StopSignal(nullptr, milliseconds(0)).flag(), nullptr);
}

TEST(StopSignal, PassesOnWhatEitherAsksAndTheDeadline) {
  std::atomic<bool> flag{false}, also{false};
  {
    StopSignal stop(&flag, milliseconds(60000), &also);
    EXPECT_FALSE(stop.stopped());
    also = true;
    const auto start = Clock::now();
    while (!stop.stopped() && ms_since(start) < 5000) std::this_thread::sleep_for(milliseconds(1));
    EXPECT_TRUE(stop.stopped());
    EXPECT_TRUE(stop.asked());
    EXPECT_FALSE(stop.out_of_time());
  }
  StopSignal stop(&flag, milliseconds(30));
  EXPECT_FALSE(stop.stopped());
  EXPECT_LE(stop.left().count(), 30);
  std::this_thread::sleep_for(milliseconds(120));
  EXPECT_TRUE(stop.stopped());
  EXPECT_TRUE(stop.out_of_time());
  EXPECT_FALSE(stop.asked());
}

class BudgetTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    registry_ = test::scale_add_registry();
    tmpl_ = *registry_->find("scale_add");
    store_ = test::open_store(":memory:");
  }
  // With a device whose kernels sleep, or without one.
  TuneRequest request() {
    TuneRequest r;
    r.tmpl = tmpl_;
    r.problem = *make_problem(*tmpl_, {{"a", "1.5"}});
    r.target = *Target::parse("sm_90a");
    r.store = store_.get();
    r.compiler = test::counting_compiler(&compilers_opened_);
    if (GetParam()) {
      r.device = test::fake_device_info("sm_90a");
      r.worker_command = {"/proc/self/exe", "worker", "unrolled=tired"};
      r.template_folders = {test::scale_add_folder()};
    } else {
      r.emulator = [](const Target& target) -> Result<std::unique_ptr<Device>> {
        return test::make_fake_device(target.name(), test::parse_misbehaviour("unrolled=tired"), true);
      };
    }
    return r;
  }
  std::shared_ptr<const TemplateRegistry> registry_;
  std::shared_ptr<const Template> tmpl_;
  std::unique_ptr<Store> store_;
  int compilers_opened_ = 0;
};

TEST_P(BudgetTest, StopsInTimeWithTheBestSoFarAndGoesOnLater) {
  TuneRequest r = request();
  r.search = {.name = "exhaustive", .configs = 1, .samples = 200};
  r.buckets = {1024, 16384};
  r.budget = milliseconds(GetParam() ? 1500 : 100);
  const auto start = Clock::now();
  auto report = tune(r);
  const double took = ms_since(start);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_LT(took, 4500) << "a compile, a sample or a launch that has begun may end first";
  EXPECT_FALSE(report->cancelled);
  EXPECT_TRUE(report->out_of_time);
  ASSERT_EQ(report->stages.front().buckets.size(), 2u);
  for (const BucketReport& bucket : report->stages.front().buckets) {
    if (bucket.out_of_time) {
      EXPECT_FALSE(bucket.has_winner);
      EXPECT_EQ(bucket.why, "the budget was used up; the default config serves");
      EXPECT_FALSE(bucket.default_config.empty() && bucket.default_variant.empty());
    } else {
      EXPECT_TRUE(bucket.has_winner);
      EXPECT_TRUE(bucket.verified);
    }
  }
  r.budget = milliseconds(0);
  r.search.samples = 1;
  auto rest = tune(r);
  ASSERT_TRUE(rest.ok()) << rest.error().message;
  for (const BucketReport& bucket : rest->stages.front().buckets) EXPECT_TRUE(bucket.has_winner);
}

INSTANTIATE_TEST_SUITE_P(Where, BudgetTest, testing::Bool(),
                         [](const auto& with) { return with.param ? "Device" : "NoDevice"; });

TEST(Budget, AGenerousOneChangesNothing) {
  auto registry = test::scale_add_registry();
  auto store = test::open_store(":memory:");
  int opened = 0;
  TuneRequest r;
  r.tmpl = *registry->find("scale_add");
  r.problem = *make_problem(*r.tmpl, {{"a", "1.5"}});
  r.target = *Target::parse("sm_90a");
  r.store = store.get();
  r.compiler = test::counting_compiler(&opened);
  r.buckets = {1024};
  r.budget = std::chrono::minutes(10);
  auto report = tune(r);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_FALSE(report->out_of_time);
  EXPECT_TRUE(report->stages.front().buckets.front().has_winner);
  EXPECT_GT(report->phase_ms[TunePhase::compile], 0);
  EXPECT_GT(report->phase_ms[TunePhase::wait], 0);
}

// A stage whose unrolled kernels are all wrong, tuned bucket by bucket with shares of the budget that the
// test gives.
class SharesOfABudget : public testing::Test {
 protected:
  SharesOfABudget() : registry_(test::scale_add_registry()), store_(test::open_store(":memory:")) {
    request_.tmpl = *registry_->find("scale_add");
    request_.problem = *make_problem(*request_.tmpl, {{"a", "1.5"}});
    request_.target = *Target::parse("sm_90a");
    request_.store = store_.get();
    request_.compiler = test::counting_compiler(&compilers_opened_);
    request_.device = test::fake_device_info("sm_90a");
    request_.worker_command = {"/proc/self/exe", "worker", "unrolled=wrong"};
    request_.template_folders = {test::scale_add_folder()};
    request_.search = {.name = "exhaustive", .configs = 1, .samples = 1};
  }
  void open(milliseconds budget) {
    stop_ = std::make_unique<StopSignal>(nullptr, budget);
    request_.cancel = stop_->flag();
    run_ = std::make_unique<TuningRun>(request_, *stop_, observer_);
    ASSERT_TRUE(run_->ledger.load().ok());
    auto space = make_stage_space(run_->context, request_.tmpl->stages.front(), {1024, 16384});
    ASSERT_TRUE(space.ok()) << space.error().message;
    const int oracle = space->oracle;
    run_->spaces.push_back(std::move(*space));
    ASSERT_TRUE(run_->compile({&run_->candidate(0, oracle)}).ok());
  }
  void leave_out_reference(bool out) {
    for (Candidate& c : run_->spaces.front().candidates) c.wanted = !out || c.variant->name == "unrolled";
  }
  Result<BucketReport> tune(int64_t bucket, Clock::time_point until) {
    Chosen chosen = {run_->spaces.front().default_candidate(bucket)};
    auto work = plan_stage(*run_, 0, bucket);
    if (!work) return work.error();
    std::unique_ptr<StageSettler> unsettled;
    return tune_stage(*run_, std::move(*work), until, &chosen, &unsettled);
  }

  std::shared_ptr<const TemplateRegistry> registry_;
  std::unique_ptr<Store> store_;
  int compilers_opened_ = 0;
  TuneRequest request_;
  TuneObserver observer_;
  std::unique_ptr<StopSignal> stop_;
  std::unique_ptr<TuningRun> run_;
};

TEST_F(SharesOfABudget, WhatIsAllWrongUsesUpItsOwnShareOnly) {
  open(milliseconds(20'000));
  leave_out_reference(true);
  // Its share has passed when the first eight configs are measured. All of them are wrong.
  auto first = tune(1024, Clock::now());
  ASSERT_TRUE(first.ok()) << first.error().message;
  EXPECT_FALSE(stop_->out_of_time()) << "it took all of the budget";
  EXPECT_FALSE(first->has_winner);
  EXPECT_TRUE(first->out_of_time);
  EXPECT_TRUE(run_->report.out_of_time);
  EXPECT_EQ(first->why, "its share of the budget was used up before a config was found that works");
  EXPECT_EQ(first->rejected[Verdict::wrong], 8);
  EXPECT_EQ(first->feasible, 7) << "those are for a later call to look at";
  EXPECT_THAT(run_->report.warnings, testing::Each(testing::Not(testing::HasSubstr("none of its"))));
  // The next one finds what works.
  leave_out_reference(false);
  auto second = tune(16384, Clock::now() + milliseconds(19'000));
  ASSERT_TRUE(second.ok()) << second.error().message;
  EXPECT_TRUE(second->has_winner);
  EXPECT_FALSE(second->out_of_time);
  EXPECT_EQ(second->variant, "reference");
}

TEST_F(SharesOfABudget, WithoutABudgetTheLastWrongOneEndsTheSearch) {
  request_.search = {.name = "model", .configs = 2, .samples = 1};  // replaced two by two
  open(milliseconds(0));
  leave_out_reference(true);
  auto report = tune(1024, Clock::time_point::max());
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_FALSE(report->has_winner);
  EXPECT_FALSE(report->out_of_time);
  EXPECT_EQ(report->feasible, 0);
  EXPECT_EQ(report->rejected[Verdict::wrong], 15);
  EXPECT_THAT(run_->report.warnings,
              testing::Contains(testing::HasSubstr("none of its 16 configs is usable")));
}

}  // namespace
}  // namespace rtjit
