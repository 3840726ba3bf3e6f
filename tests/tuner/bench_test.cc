#include "tuner/bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tuner/scale_add.h"

namespace rtjit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class BenchTest : public testing::Test {
 protected:
  void SetUp() override { open(""); }

  void open(const std::string& misbehaviour) {
    ContextOptions options;
    options.database = ":memory:";
    options.prebuilt = false;
    options.template_folders = {test::scale_add_folder()};
    auto opened = Context::open(std::move(options),
                                test::make_fake_device("sm_90a", test::parse_misbehaviour(misbehaviour)));
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    context_ = *opened;
  }

  BenchRequest request(const std::string& sizes, const std::string& config = "") {
    ScopeRequest scope;
    scope.template_name = "scale_add";
    scope.problem = "a=1.5";
    scope.tokens = sizes;
    scope.config = config;
    auto resolved = resolve_scope(context_->registry(), scope, context_->device().info());
    EXPECT_TRUE(resolved.ok()) << (resolved.ok() ? "" : resolved.error().message);
    BenchRequest request;
    request.scope = *resolved;
    request.context = context_;
    request.sampling.rounds = 3;
    request.ceilings.buffer_bytes = 1 << 20;
    request.ceilings.rounds = 1;
    return request;
  }

  BenchReport run(const BenchRequest& request) {
    auto report = bench(request);
    EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message);
    return report.ok() ? *report : BenchReport();
  }

  void store_winner(int64_t bucket, const std::string& config, Knowledge knowledge) {
    WinnerRow row;
    const auto tmpl = *context_->registry().find("scale_add");
    row.template_name = tmpl->name;
    row.template_hash = tmpl->content_hash;
    row.problem = "a=1.5";
    row.stage = "add";
    row.bucket = bucket;
    row.target = "sm_90a";
    row.sku = context_->device().info().sku_fingerprint();
    row.variant = "unrolled";
    row.config = config;
    row.knowledge = knowledge;
    row.verified = true;
    row.time_us = 100;
    ASSERT_TRUE(context_->store().put_winner(row).ok());
  }

  std::shared_ptr<Context> context_;
};

TEST_F(BenchTest, WithoutWinnersTheDefaultsAreMeasuredOnceAndNamed) {
  std::vector<std::string> phases;
  BenchRequest r = request("1000,16384");
  r.progress = [&](const std::string& phase, int64_t done, int64_t total) {
    EXPECT_LE(done, total);
    if (done == total) phases.push_back(phase);
  };
  const BenchReport report = run(r);
  EXPECT_THAT(phases, ElementsAre("measuring the device's ceilings", "opening kernels", "measuring sizes"));
  EXPECT_EQ(report.knowledge, Knowledge::measured);
  EXPECT_EQ(report.device, "Fake GPU");
  ASSERT_EQ(report.rows.size(), 2u);
  const BenchRow& row = report.rows[0];
  EXPECT_EQ(row.tokens, 1000);
  EXPECT_EQ(row.bucket, 1024);
  // The fake's times: 120 us for block=128, items=1, which is the default here, and 900 for the reference.
  EXPECT_NEAR(row.time.us, 120, 1e-6);
  EXPECT_TRUE(row.is_default);
  EXPECT_EQ(row.by_default.us, row.time.us);
  EXPECT_GE(row.time.samples, 3);
  EXPECT_NEAR(row.reference.us, 900, 1e-6);
  ASSERT_EQ(row.stages.size(), 1u);
  EXPECT_EQ(row.stages[0].config, "block=128,items=1");
  EXPECT_EQ(row.stages[0].provenance, Provenance::fallback_default);
  EXPECT_EQ(row.stages[0].origin, "default");
  EXPECT_GT(row.stages[0].predicted_us, 0);
  // The template states costs, but no work.
  EXPECT_FALSE(row.work.stated);
  EXPECT_EQ(row.work.bytes, 12000);
  EXPECT_EQ(row.work.flops, 2000);
  EXPECT_NEAR(row.floor_us(), 12000 / 1.25e6, 1e-9);
  EXPECT_NEAR(row.bytes_rate(), 100, 1e-6);
  EXPECT_THAT(row.conditions, HasSubstr("sets of arguments"));
}

TEST_F(BenchTest, AStoredWinnerServesBesideTheDefault) {
  store_winner(1024, "block=128,items=2", Knowledge::measured);
  const BenchReport report = run(request("1024,16384"));
  ASSERT_EQ(report.rows.size(), 2u);
  EXPECT_NEAR(report.rows[0].time.us, 100, 1e-6);
  EXPECT_NEAR(report.rows[0].by_default.us, 120, 1e-6);
  EXPECT_FALSE(report.rows[0].is_default);
  EXPECT_EQ(report.rows[0].stages[0].provenance, Provenance::measured_here);
  EXPECT_THAT(report.rows[0].stages[0].origin, HasSubstr("100.0 us"));
}

TEST_F(BenchTest, AReferenceThatWouldTakeTooLongIsLeftOutWithTheReason) {
  BenchRequest r = request("1024");
  r.most_reference_us = 1;
  const BenchReport report = run(r);
  ASSERT_EQ(report.rows.size(), 1u);
  EXPECT_TRUE(report.rows[0].time.known());
  EXPECT_FALSE(report.rows[0].reference.known());
  EXPECT_THAT(report.rows[0].reference.why_not, HasSubstr("the limit is 1e-06 s"));
}

TEST_F(BenchTest, AConfigIsMeasuredInPlaceOfWhatServes) {
  store_winner(1024, "block=128,items=2", Knowledge::measured);
  const BenchReport report = run(request("1024", "variant=unrolled,block=64,items=4"));
  ASSERT_EQ(report.rows.size(), 1u);
  EXPECT_NEAR(report.rows[0].time.us, 100 + 16 + 40, 1e-6);
  EXPECT_TRUE(report.rows[0].stages[0].given);
  EXPECT_EQ(report.rows[0].stages[0].origin, "as given");
  EXPECT_NEAR(report.rows[0].by_default.us, 120, 1e-6);

  const auto several = bench(request("1024", "block=64"));
  ASSERT_FALSE(several.ok());
  EXPECT_EQ(several.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(several.error().message, HasSubstr("4 configs of stage add match"));
  const auto none = bench(request("1024", "block=512,items=8"));  // a constraint forbids it
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ErrorCode::not_found);
}

TEST_F(BenchTest, WithoutADeviceTheCostModelSpeaks) {
  store_winner(1024, "block=128,items=2", Knowledge::measured);
  BenchRequest r = request("1024");
  r.context = nullptr;
  r.store = &context_->store();
  const BenchReport report = run(r);
  EXPECT_EQ(report.knowledge, Knowledge::predicted);
  EXPECT_FALSE(report.ceilings.measured);
  ASSERT_EQ(report.rows.size(), 1u);
  const BenchRow& row = report.rows[0];
  EXPECT_EQ(row.stages[0].config, "block=128,items=2");
  EXPECT_EQ(row.stages[0].provenance, Provenance::measured_here);
  EXPECT_EQ(row.time.us, row.stages[0].predicted_us);
  EXPECT_GT(row.by_default.us, 0);
  EXPECT_GT(row.reference.us, 0);
  EXPECT_GT(row.floor_us(), 0);
  EXPECT_FALSE(row.is_default);
}

TEST_F(BenchTest, StopsBetweenSizes) {
  std::atomic<bool> cancel = false;
  BenchRequest r = request("1024,16384");
  r.cancel = &cancel;
  r.progress = [&](const std::string& phase, int64_t done, int64_t) {
    if (phase == "measuring sizes" && done == 1) cancel = true;
  };
  const BenchReport report = run(r);
  EXPECT_TRUE(report.cancelled);
  EXPECT_EQ(report.rows.size(), 1u);
}

TEST_F(BenchTest, AFaultOfAKernelIsTheBenchsError) {
  open("unrolled<128=fault");
  const auto report = bench(request("1024"));
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, ErrorCode::device_fault);
  EXPECT_THAT(report.error().message, HasSubstr("n = 1024"));
}

TEST(Bench, SizesWithoutAnyNamed) {
  Template tmpl;
  tmpl.buckets = {1, 2, 4, 8, 16, 32};
  EXPECT_THAT(bench_tokens(tmpl), ElementsAre(1, 4, 16, 32));
  tmpl.buckets = {8};
  EXPECT_THAT(bench_tokens(tmpl), ElementsAre(8));
}

TEST(Bench, RotationMovesTheCacheOften) {
  EXPECT_EQ(rotation_for(1e6, 1000, 0).sets, 1);
  const Rotation big = rotation_for(1e9, int64_t{2} << 30, 50 << 20);
  EXPECT_EQ(big.sets, 1);
  EXPECT_EQ(big.copies, 1);
  const Rotation small = rotation_for(0, 10 << 20, 50 << 20);
  EXPECT_EQ(small.copies, 15);
  EXPECT_EQ(small.sets, 15);
}

}  // namespace
}  // namespace rtjit
