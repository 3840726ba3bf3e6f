// What breaks while tuning, one thing at a time: what is kept of it, what is tried again, what is said.
#include <gmock/gmock.h>
#include <sched.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "base/process.h"
#include "tests/cache/fault_vfs.h"
#include "tests/tuner/scale_add.h"
#include "tests/tuner/tune_once.h"
#include "tuner/explain.h"

namespace rtjit::test {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A shell that shares a processor with what the fake device's "busy" kernels take.
std::unique_ptr<ChildProcess> on_the_first_processor(const std::string& script) {
  cpu_set_t before;
  ::sched_getaffinity(0, sizeof before, &before);
  const cpu_set_t first = first_processor();
  ::sched_setaffinity(0, sizeof first, &first);
  auto child = ChildProcess::start({{"/bin/sh", "-c", script}, {}, false});
  ::sched_setaffinity(0, sizeof before, &before);
  EXPECT_TRUE(child.ok());
  return child.ok() ? *std::move(child) : nullptr;
}

// The kernel of block=B,items=I misbehaves.
std::string bad(int block, int items, const std::string& how) {
  return fmt::format("unrolled<{0},{1}>={2};unrolled<{0}, {1}>={2}", block, items, how);
}

class Watcher : public TuneObserver {
 public:
  void on_progress(TunePhase phase, int64_t done, int64_t) override {
    if (phase == TunePhase::measure && measured) measured(done);
  }
  void on_warning(const std::string& sentence) override { warnings.push_back(sentence); }
  std::function<void(int64_t)> measured;
  std::vector<std::string> warnings;
};

class SurvivalTest : public testing::Test {
 protected:
  void SetUp() override {
    registry_ = scale_add_registry();
    folder_ = std::filesystem::temp_directory_path() / fmt::format("rtjit_survival_{}", getpid());
    std::filesystem::create_directories(folder_);
    broken_ = (folder_ / "broken").string();
    ::setenv("RTJIT_FAKE_BROKEN", broken_.c_str(), 1);
    open();
  }
  void TearDown() override {
    store_.reset();
    for (const char* name : {"RTJIT_FAKE_BROKEN", "RTJIT_NVML", "RTJIT_FAKE_NVML_CLOCKS"}) ::unsetenv(name);
    std::filesystem::remove_all(folder_);
  }

  void open(const std::string& vfs = "") {
    StoreOptions options;
    options.path = (folder_ / "cache.db").string();
    options.vfs = vfs;
    options.warn = [](const std::string&) {};
    store_ = *Store::open(options);
  }

  TuneRequest request(const std::string& misbehaviour = "") {
    TuneRequest r = fake_device_request(*registry_->find("scale_add"), misbehaviour);
    r.buckets = {1024};
    r.search.configs = 100;
    r.store = store_.get();
    r.compiler = counting_compiler(&compilers_opened_);
    return r;
  }
  BucketReport run(const TuneRequest& r, TuneObserver* observer = nullptr) {
    auto report = tune(r, observer);
    EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message);
    return report.ok() ? report->stages[0].buckets[0] : BucketReport();
  }
  std::vector<QuarantineRow> quarantine() {
    QuarantineRow any;
    any.key.bucket = -1;
    return *store_->quarantine(any);
  }
  std::vector<TuningRow> rows(const std::string& config, int64_t bucket = 1024) {
    RowKey pattern;
    pattern.config = config;
    pattern.bucket = bucket;
    return *store_->rows(pattern);
  }
  int64_t measured_rows() {
    RowKey pattern;
    pattern.bucket = 1024;
    int64_t count = 0;
    const std::vector<TuningRow> all = *store_->rows(pattern);
    for (const TuningRow& row : all) count += row.knowledge == Knowledge::measured;
    return count;
  }

  std::filesystem::path folder_;
  std::string broken_;
  std::shared_ptr<const TemplateRegistry> registry_;
  std::unique_ptr<Store> store_;
  int compilers_opened_ = 0;
};

// A candidate that is slow because other programs have the processor is not one that hangs.
TEST_F(SurvivalTest, ABusyHostIsNotBlamedOnACandidate) {
  if (!std::filesystem::exists("/proc/self/schedstat")) GTEST_SKIP() << "this kernel does not tell who waits";
  std::vector<std::unique_ptr<ChildProcess>> others;
  for (int i = 0; i < 8; ++i) others.push_back(on_the_first_processor("while :; do :; done"));
  TuneRequest r = request("unrolled=busy");
  r.search.configs = 2;
  r.limits.candidate_limit = std::chrono::milliseconds(200);
  const BucketReport bucket = run(r);
  EXPECT_EQ(bucket.rejected.count(Verdict::hang), 0u);
  EXPECT_TRUE(quarantine().empty());
  EXPECT_TRUE(bucket.has_winner);
}

TEST_F(SurvivalTest, AFaultIsQuarantinedWithItsEvidenceAndNotTriedAgain) {
  EXPECT_EQ(run(request(bad(128, 2, "fault"))).config, "block=64,items=2");
  ASSERT_EQ(quarantine().size(), 1u);
  const QuarantineRow row = quarantine()[0];
  EXPECT_EQ(row.key.config, "block=128,items=2");
  EXPECT_EQ(row.key.bucket, 1024);
  EXPECT_EQ(row.verdict, Verdict::fault);
  EXPECT_THAT(row.error, HasSubstr("illegal memory access"));
  EXPECT_EQ(row.reached, Reached::loaded);
  EXPECT_THAT(row.compiler, HasSubstr("nvrtc"));
  EXPECT_EQ(row.device_name, "Fake GPU");
  EXPECT_EQ(row.driver, "none");
  EXPECT_FALSE(row.binary_key.empty());
  EXPECT_GT(row.updated_unix, 1'600'000'000);

  // It would work now, but nobody tries: not in this bucket, not in another, not with --force.
  EXPECT_EQ(run(request()).config, "block=64,items=2");
  TuneRequest forced = request();
  forced.force = true;
  forced.buckets = {1024, 16384};
  auto report = tune(forced);
  ASSERT_TRUE(report.ok()) << report.error().message;
  for (const BucketReport& bucket : report->stages[0].buckets) {
    EXPECT_EQ(bucket.config, "block=64,items=2");
    EXPECT_EQ(bucket.rejected.at(Verdict::fault), 1);
  }
}

TEST_F(SurvivalTest, RetryQuarantinedTriesAgain) {
  run(request(bad(128, 2, "fault")));
  TuneRequest retry = request();
  retry.retry_quarantined = true;
  EXPECT_EQ(run(retry).config, "block=128,items=2");
  EXPECT_THAT(quarantine(), IsEmpty());
  EXPECT_EQ(run(request()).config, "block=128,items=2") << "its good name is stored";
  ASSERT_EQ(rows("block=128,items=2").size(), 1u);
  EXPECT_EQ(rows("block=128,items=2")[0].verdict, Verdict::ok);
  EXPECT_EQ(measured_rows(), 16);

  // And back, when it fails again.
  TuneRequest again = request(bad(128, 2, "hang"));
  again.force = true;
  EXPECT_EQ(run(again).config, "block=64,items=2");
  ASSERT_EQ(quarantine().size(), 1u);
  again = request(bad(128, 2, "hang"));
  again.retry_quarantined = true;
  EXPECT_EQ(run(again).config, "block=64,items=2");
  ASSERT_EQ(quarantine().size(), 1u);
  EXPECT_EQ(quarantine()[0].verdict, Verdict::hang);
}

TEST_F(SurvivalTest, AnotherCompilerGivesAnotherChance) {
  run(request(bad(128, 2, "fault")));
  QuarantineRow old = quarantine()[0];
  TuningRow row = rows("block=128,items=2")[0];
  ASSERT_TRUE(store_->release(old.key).ok());
  old.compiler = row.compiler = "nvrtc 1.0";
  ASSERT_TRUE(store_->put_quarantine(old, row).ok());
  TuneRequest forced = request();
  forced.force = true;
  EXPECT_EQ(run(forced).config, "block=128,items=2");
  ASSERT_EQ(quarantine().size(), 1u) << "what the old one made stays known";
  EXPECT_EQ(quarantine()[0].compiler, "nvrtc 1.0");
  EXPECT_TRUE(run(request()).from_cache) << "what this one made works";
}

TEST_F(SurvivalTest, ExplainShowsTheEvidence) {
  run(request(bad(128, 2, "past")));
  ASSERT_EQ(quarantine().size(), 1u);
  EXPECT_EQ(quarantine()[0].reached, Reached::launched);
  ExplainRequest r;
  ScopeRequest scope;
  scope.template_name = "scale_add";
  scope.problem = "a=1.5";
  scope.tokens = "1024";
  auto resolved = resolve_scope(*registry_, scope, fake_device_info("sm_90a"));
  ASSERT_TRUE(resolved.ok()) << resolved.error().message;
  r.scope = *resolved;
  r.store = store_.get();
  auto report = explain(r);
  ASSERT_TRUE(report.ok()) << report.error().message;
  int shown = 0;
  for (const ExplainEntry& entry : report->entries) {
    if (!entry.quarantine) continue;
    ++shown;
    EXPECT_EQ(entry.config, "block=128,items=2");
    EXPECT_EQ(entry.verdict, Verdict::fault);
    EXPECT_THAT(entry.quarantine->error, HasSubstr("past the end of out"));
  }
  EXPECT_EQ(shown, 1);
}

TEST_F(SurvivalTest, WrongResultsAreNoQuarantine) {
  run(request(bad(128, 2, "wrong")));
  EXPECT_THAT(quarantine(), IsEmpty());
}

// Verification reads and compares for a while, which must not give a stuck kernel that long.
TEST_F(SurvivalTest, AKernelThatHangsWhileVerifiedIsStoppedByItsOwnLimit) {
  const auto begin = std::chrono::steady_clock::now();
  Watcher watcher;
  EXPECT_EQ(run(request(bad(128, 2, "hang_small")), &watcher).config, "block=64,items=2");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
  ASSERT_EQ(quarantine().size(), 1u);
  EXPECT_EQ(quarantine()[0].verdict, Verdict::hang);
  EXPECT_EQ(quarantine()[0].reached, Reached::verified) << "the largest size was right";
  EXPECT_THAT(watcher.warnings, Contains(HasSubstr("hang: no answer within 400 ms")));
}

TEST_F(SurvivalTest, ADeviceThatStaysBrokenStopsTuningAndWhatIsMeasuredIsKept) {
  TuneRequest first = request();
  first.buckets = {1024};
  run(first);
  TuneRequest r = request(bad(128, 2, "break"));
  r.buckets = {1024, 16384};
  auto report = tune(r);
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(report.error().message, HasSubstr("the device does not work any more, so tuning stops"));
  EXPECT_THAT(report.error().message, HasSubstr("cannot run a known kernel"));
  EXPECT_THAT(report.error().message, HasSubstr("wrote 0 instead of"));
  EXPECT_EQ(measured_rows(), 16);
  ASSERT_EQ(quarantine().size(), 1u) << "the culprit is known";
  EXPECT_EQ(quarantine()[0].key.config, "block=128,items=2");

  // Repaired: the next call goes on and leaves the culprit alone.
  std::filesystem::remove(broken_);
  auto rest = tune(r);
  ASSERT_TRUE(rest.ok()) << rest.error().message;
  EXPECT_EQ(rest->stages[0].buckets[1].config, "block=64,items=2");
}

TEST_F(SurvivalTest, ADiskThatIsFullForAWhileCostsNothing) {
  store_.reset();
  open(set_fault_plan({}));
  Watcher watcher;
  watcher.measured = [](int64_t done) {
    if (done == 3) set_fault_plan({.fail_at = 0});
    if (done == 9) set_fault_plan({});
  };
  EXPECT_EQ(run(request(bad(64, 1, "fault")), &watcher).config, "block=128,items=2");
  EXPECT_THAT(watcher.warnings, Contains(HasSubstr("results cannot be stored")));
  store_.reset();
  open();
  EXPECT_EQ(measured_rows(), 15);
  EXPECT_EQ(quarantine().size(), 1u);
  EXPECT_TRUE(run(request()).from_cache);
}

TEST_F(SurvivalTest, ADiskThatStaysFullKeepsWhatWasStoredBefore) {
  store_.reset();
  open(set_fault_plan({}));
  Watcher watcher;
  watcher.measured = [](int64_t done) {
    if (done == 8) set_fault_plan({.fail_at = 0});
  };
  EXPECT_EQ(run(request(), &watcher).config, "block=128,items=2")
      << "the report is right, it is only not stored";
  set_fault_plan({});
  store_.reset();
  open();
  const int64_t stored = measured_rows();
  EXPECT_GE(stored, 7);
  EXPECT_LT(stored, 16);
  Watcher rest;
  int64_t before = 0, measured = 0;
  rest.measured = [&](int64_t done) {  // those that the store knows count at once
    measured += done == before + 1;
    before = done;
  };
  EXPECT_EQ(run(request(), &rest).config, "block=128,items=2");
  EXPECT_EQ(measured, 16 - stored);
}

TEST_F(SurvivalTest, ClocksAreWatchedAndStoredWithEachTime) {
  ::setenv("RTJIT_NVML", RTJIT_FAKE_LIBNVML, 1);
  ::setenv("RTJIT_FAKE_NVML_CLOCKS", "1980", 1);
  run(request());
  const TuningRow row = rows("block=128,items=2").at(0);
  EXPECT_THAT(row.policy, HasSubstr("median of 4 to 12 rounds"));
  EXPECT_THAT(row.policy, HasSubstr("rtjit "));
  EXPECT_THAT(row.policy, HasSubstr("sets of arguments"));
  EXPECT_THAT(row.policy, HasSubstr("power limit 700 W"));
  EXPECT_THAT(row.policy, HasSubstr("SM clock 1,980 MHz"));
  EXPECT_THAT(row.policy, Not(HasSubstr("dropped")));
}

TEST_F(SurvivalTest, SamplesAtALowClockAreDropped) {
  ::setenv("RTJIT_NVML", RTJIT_FAKE_LIBNVML, 1);
  // Two readings per sample, 16 candidates per round, the first of which warms up: the second falls into a
  // dip.
  std::string clocks;
  for (int i = 0; i < 32; ++i) clocks += "1980,";
  for (int i = 0; i < 32; ++i) clocks += "-1200,";
  ::setenv("RTJIT_FAKE_NVML_CLOCKS", (clocks + "1980").c_str(), 1);
  run(request());
  RowKey pattern;
  pattern.bucket = 1024;
  int dropped = 0;
  const std::vector<TuningRow> all = *store_->rows(pattern);
  for (const TuningRow& row : all) {
    if (row.policy.find("disturbed samples dropped") == std::string::npos) continue;
    ++dropped;
    EXPECT_EQ(row.samples, 3) << "of four";
  }
  EXPECT_EQ(dropped, 4) << "those that left after three rounds had no sample to spare";
}

}  // namespace
}  // namespace rtjit::test
