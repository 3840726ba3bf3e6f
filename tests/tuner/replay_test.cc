#include "tuner/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tuner/made_up_sweep.h"
#include "tuner/settle.h"

namespace rtjit {
namespace {

double made_up_time(const SearchContext& context, const Candidate& candidate, int64_t bucket) {
  double predicted = predict_candidate(context, candidate, bucket).total_us;
  // Somewhat off, differently for each config and bucket, and the same in every run.
  double wave = static_cast<double>((candidate.config_text.size() * 31 + candidate.config_text[6] * 7 +
                                     candidate.config_text.back() * 5 + static_cast<int>(bucket % 97)) %
                                    40);
  return predicted * (1 + wave / 100);
}

class ReplayTest : public testing::Test {
 protected:
  void SetUp() override {
    registry_ = test::scale_add_registry();
    tmpl_ = *registry_->find("scale_add");
    store_ = test::open_store(":memory:");
  }
  void fill(double spread = 0.01) {
    test::fill_sweep(
        *store_, tmpl_,
        [](const SearchContext& context, const Candidate& candidate, int64_t bucket) {
          return candidate.variant->oracle ? 4000 : made_up_time(context, candidate, bucket);
        },
        spread);
  }
  ReplayReport run(const ReplayOptions& options, const SweepFilter& filter = {}) {
    auto sweep = load_sweep(*store_, tmpl_, filter);
    EXPECT_TRUE(sweep.ok()) << (sweep.ok() ? "" : sweep.error().message);
    auto report = replay(*sweep, options);
    EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message);
    return report.ok() ? *report : ReplayReport();
  }

  std::shared_ptr<const TemplateRegistry> registry_;
  std::shared_ptr<const Template> tmpl_;
  std::unique_ptr<Store> store_;
};

TEST_F(ReplayTest, ExhaustiveHasNoRegretAndCostsEverything) {
  fill();
  ReplayReport report = run({.strategy = {.name = "exhaustive", .samples = 21}, .ties = {.fraction = 0}});
  ASSERT_EQ(report.buckets.size(), 4u);
  for (const ReplayBucket& bucket : report.buckets) {
    EXPECT_EQ(bucket.regret, 1) << bucket.bucket;
    EXPECT_EQ(bucket.chosen_config, bucket.best_config);
    EXPECT_EQ(bucket.configs, 16);
    EXPECT_EQ(bucket.measurements, 16);
    EXPECT_EQ(bucket.samples, 16 * 21);
    EXPECT_GE(bucket.default_us, bucket.best_us);
    EXPECT_EQ(bucket.device_name, "Fake GPU");
  }
  EXPECT_EQ(report.regret_geomean, 1);
  EXPECT_EQ(report.compiles, 16) << "shared between the buckets";
  EXPECT_EQ(report.measurements, 4 * 16);
}

TEST_F(ReplayTest, EveryStrategyMeasuresTheDefaultAndIsNeverWorse) {
  fill(0.05);
  for (const std::string& name : strategy_names()) {
    ReplayReport report = run({.strategy = {.name = name, .configs = 4, .samples = 21}});
    for (const ReplayBucket& bucket : report.buckets) {
      EXPECT_GT(bucket.default_us, 0) << name;
      EXPECT_GE(bucket.regret, 1) << name;
      EXPECT_LE(bucket.chosen_us, bucket.default_us * 1.0001) << name;
    }
    ReplayReport again = run({.strategy = {.name = name, .configs = 4, .samples = 21}});
    EXPECT_EQ(report.regret_geomean, again.regret_geomean) << name;
    EXPECT_EQ(report.samples, again.samples) << name;
  }
}

TEST_F(ReplayTest, HalvingCostsFewerSamplesThanTheModel) {
  fill(0.02);
  ReplayReport halving = run({.strategy = {.name = "halving", .configs = 12, .samples = 9}});
  ReplayReport model = run({.strategy = {.name = "model", .configs = 12, .samples = 9}});
  EXPECT_LT(halving.samples, model.samples);
  EXPECT_LE(halving.regret_geomean, model.regret_geomean * 1.02);
  EXPECT_EQ(halving.compiles, model.compiles);
}

TEST_F(ReplayTest, PassesThatSettleWhoWinsAreCounted) {
  test::fill_sweep(
      *store_, tmpl_,
      [](const SearchContext&, const Candidate& candidate, int64_t) {
        if (candidate.config_text == "block=128,items=2") return 100.0;
        return candidate.config_text == "block=64,items=2" ? 102.5 : 130.0;
      },
      0.002);
  const ReplayReport without = run({.strategy = {.name = "exhaustive", .samples = 9}});
  const ReplayReport with = run({.strategy = {.name = "exhaustive", .samples = 9, .passes = 7}});
  for (size_t i = 0; i < 4; ++i) {
    const ReplayBucket &before = without.buckets[i], &after = with.buckets[i];
    EXPECT_EQ(before.passes, 0);
    EXPECT_EQ(after.passes, 3) << "they agree";
    EXPECT_EQ(after.measurements, before.measurements + 3 * 2);
    EXPECT_EQ(after.samples, before.samples + 3 * 2 * kSettleSamples);
    EXPECT_EQ(after.compiles, before.compiles);
    EXPECT_EQ(after.chosen_config, "block=128,items=2");
    EXPECT_EQ(after.regret, 1);
  }
}

TEST_F(ReplayTest, BucketsAndTargetsCanBeChosen) {
  fill();
  EXPECT_EQ(run({}, {.buckets = {1024}}).buckets.size(), 1u);
  auto sweep = load_sweep(*store_, tmpl_, {.target = "sm_80"});
  ASSERT_TRUE(sweep.ok());
  auto report = replay(*sweep, {});
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(report.error().message, testing::HasSubstr("--strategy exhaustive"));
}

TEST_F(ReplayTest, AConfigThatFailedCostsACompileAndIsNotChosen) {
  fill();
  ReplayReport before = run({.strategy = {.name = "exhaustive"}});
  RowKey pattern;
  pattern.bucket = 1024;
  pattern.config = before.buckets.front().best_config;
  auto rows = store_->rows(pattern);
  ASSERT_EQ(rows->size(), 1u);
  TuningRow row = rows->front();
  row.verdict = Verdict::wrong;
  row.reason = "wrong: made up";
  ASSERT_TRUE(store_->put_row(row).ok());
  ReplayReport after = run({.strategy = {.name = "exhaustive"}});
  EXPECT_NE(after.buckets.front().best_config, pattern.config);
  EXPECT_EQ(after.buckets.front().compiles, 16);
  EXPECT_EQ(after.buckets.front().measurements, 15);
}

}  // namespace
}  // namespace rtjit
