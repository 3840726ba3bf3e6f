#include "tuner/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "emulator/emulated_device.h"
#include "tests/tuner/scale_add.h"
#include "tuner/explain.h"

namespace rtjit {
namespace {

using testing::Contains;
using testing::HasSubstr;

class Recorder : public TuneObserver {
 public:
  void on_phase(TunePhase phase, int64_t total) override { phases[phase] = total; }
  void on_progress(TunePhase phase, int64_t done, int64_t total) override {
    EXPECT_LE(done, total);
    progress[phase] = done;
    if (phase == TunePhase::compile && stop_after > 0 && done >= stop_after) stop = true;
  }
  void on_rejected(Verdict verdict, int64_t count) override { rejected[verdict] = count; }
  void on_best(const std::string&, int64_t bucket, const std::string&, const std::string& config, double,
               Knowledge) override {
    best[bucket] = config;
  }
  std::map<TunePhase, int64_t> phases, progress;
  std::map<Verdict, int64_t> rejected;
  std::map<int64_t, std::string> best;
  int64_t stop_after = 0;
  std::atomic<bool> stop = false;
};

class SessionTest : public testing::Test {
 protected:
  void SetUp() override {
    registry_ = test::scale_add_registry();
    tmpl_ = *registry_->find("scale_add");
    folder_ =
        std::filesystem::temp_directory_path() / fmt::format("rtjit_session_{}_{}", getpid(), counter_++);
    std::filesystem::create_directories(folder_);
    store_ = test::open_store((folder_ / "cache.db").string());
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  TuneRequest request(const std::string& misbehaviour = "") {
    TuneRequest r;
    r.tmpl = tmpl_;
    r.problem = *make_problem(*tmpl_, {{"a", "1.5"}});
    r.target = *Target::parse("sm_90a");
    r.store = store_.get();
    r.search.configs = 16;  // all of them
    r.compiler = test::counting_compiler(&compilers_opened_);
    r.emulator = [misbehaviour](const Target& target) -> Result<std::unique_ptr<Device>> {
      return test::make_fake_device(target.name(), test::parse_misbehaviour(misbehaviour), true);
    };
    return r;
  }
  // Measured by this very program, started as a worker.
  TuneRequest measured(const std::string& misbehaviour = "") {
    TuneRequest r = request();
    r.device = test::fake_device_info("sm_90a");
    r.buckets = {1024};
    r.emulator = nullptr;
    r.worker_command = {"/proc/self/exe", "worker", misbehaviour};
    r.template_folders = {test::scale_add_folder()};
    r.search.name = "exhaustive";
    r.search.samples = 3;
    r.limits.candidate_limit = std::chrono::milliseconds(400);
    return r;
  }
  TuneReport run(const TuneRequest& r, TuneObserver* observer = nullptr) {
    auto report = tune(r, observer);
    EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message);
    return report.ok() ? *report : TuneReport();
  }
  std::vector<TuningRow> rows(int64_t bucket, const std::string& config) {
    RowKey pattern;
    pattern.config = config;
    pattern.bucket = bucket;
    return *store_->rows(pattern);
  }
  std::vector<WinnerRow> winners() {
    WinnerRow pattern;
    pattern.bucket = -1;
    return *store_->winners(pattern);
  }

  static inline int counter_ = 0;
  std::filesystem::path folder_;
  std::shared_ptr<const TemplateRegistry> registry_;
  std::shared_ptr<const Template> tmpl_;
  std::unique_ptr<Store> store_;
  int compilers_opened_ = 0;
};

TEST_F(SessionTest, AFilterLooksAtMatchingConfigsOnlyAndPublishesNothing) {
  TuneRequest r = request();
  r.filter = *parse_config_filter(*tmpl_, "block=64");
  const TuneReport report = run(r);
  ASSERT_EQ(report.stages.size(), 1u);
  for (const BucketReport& bucket : report.stages[0].buckets) {
    EXPECT_THAT(bucket.config, HasSubstr("block=64,"));
    EXPECT_TRUE(bucket.verified);
    EXPECT_EQ(bucket.candidates, 4);  // items 1, 2, 4, 8
    EXPECT_EQ(bucket.feasible, 4);
  }
  EXPECT_EQ(report.compiled, 7);  // those, two defaults and the oracle
  EXPECT_TRUE(winners().empty());
  EXPECT_EQ(rows(0, "block=64,items=2").size(), 1u);

  // A later run over everything is not answered by it, and one with the filter again not by that.
  const TuneReport whole = run(request());
  EXPECT_FALSE(whole.stages[0].buckets[0].from_cache);
  EXPECT_EQ(whole.stages[0].buckets[0].candidates, 17);
  EXPECT_LT(whole.compiled, 16);
  const std::vector<WinnerRow> before = winners();
  EXPECT_EQ(before.size(), 4u);
  EXPECT_THAT(run(r).stages[0].buckets[3].config, HasSubstr("block=64,"));
  EXPECT_EQ(winners().size(), 4u);
  EXPECT_EQ(winners()[3].config, before[3].config);

  r.filter = *parse_config_filter(*tmpl_, "variant=unrolled,block=512,items=8");  // a constraint forbids it
  const TuneReport none = run(r);
  EXPECT_FALSE(none.stages[0].buckets[0].has_winner);
  r.filter.values = {{"items", "3"}};
  auto unknown = tune(r);
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
}

TEST_F(SessionTest, PredictsVerifiesAndStoresEveryBucket) {
  Recorder recorder;
  TuneReport report = run(request(), &recorder);
  ASSERT_EQ(report.stages.size(), 1u);
  ASSERT_EQ(report.stages[0].buckets.size(), 4u);
  for (const BucketReport& bucket : report.stages[0].buckets) {
    EXPECT_TRUE(bucket.has_winner);
    EXPECT_TRUE(bucket.verified);
    EXPECT_EQ(bucket.verified_on, "emulator, n 5 33");
    EXPECT_EQ(bucket.knowledge, Knowledge::predicted);
    EXPECT_GT(bucket.time_us, 0);
    EXPECT_LE(bucket.time_us, bucket.default_time_us * 1.01);
    EXPECT_GT(bucket.registers, 0);
    EXPECT_EQ(bucket.candidates, 17);
    EXPECT_EQ(bucket.rejected.at(Verdict::constraint), 1);  // block=512,items=8
    EXPECT_EQ(bucket.rejected_by, (std::map<Gate, int>{{Gate::static_checks, 1}}));
    EXPECT_EQ(bucket.feasible, 16);
    EXPECT_FALSE(bucket.why.empty());
    EXPECT_FALSE(bucket.from_cache);
  }
  EXPECT_EQ(report.compiled, 16);
  EXPECT_EQ(recorder.phases[TunePhase::compile], 16);
  EXPECT_EQ(recorder.progress[TunePhase::compile], 16);
  EXPECT_EQ(recorder.rejected[Verdict::constraint], 1);
  EXPECT_EQ(recorder.best.size(), 4u);
  EXPECT_TRUE(report.warnings.empty()) << report.warnings.front();

  EXPECT_EQ(winners().size(), 4u);
  auto rejected = rows(0, "block=512,items=8");
  ASSERT_EQ(rejected.size(), 1u);
  EXPECT_EQ(rejected[0].verdict, Verdict::constraint);
  EXPECT_THAT(rejected[0].reason,
              testing::StartsWith("constraint: a block of more than 2,048 elements leaves SMs idle"));
  for (const WinnerRow& winner : winners()) {
    auto row = rows(winner.bucket, winner.config);
    ASSERT_EQ(row.size(), 1u);
    EXPECT_TRUE(row[0].verified);
    EXPECT_LE(row[0].rel_l2, row[0].rel_l2_limit);
    auto binary = store_->find_binary(row[0].binary_key);
    ASSERT_TRUE(binary.ok());
    EXPECT_NE(*binary, nullptr) << "the winner's binary is stored";
  }
}

TEST_F(SessionTest, SecondCallAnswersFromTheStoreWithoutTheCompiler) {
  TuneReport first = run(request());
  EXPECT_EQ(compilers_opened_, 1);
  TuneReport second = run(request());
  EXPECT_EQ(compilers_opened_, 1);
  EXPECT_EQ(second.compiled, 0);
  EXPECT_LT(second.total_ms, 1000);
  ASSERT_EQ(second.stages[0].buckets.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    const BucketReport &a = first.stages[0].buckets[i], &b = second.stages[0].buckets[i];
    EXPECT_TRUE(b.from_cache);
    EXPECT_EQ(a.config, b.config);
    EXPECT_EQ(a.why, b.why);
    EXPECT_EQ(a.time_us, b.time_us);
    EXPECT_EQ(a.registers, b.registers);
    EXPECT_EQ(a.rejected, b.rejected);
    EXPECT_EQ(a.verified_on, b.verified_on);
  }
}

TEST_F(SessionTest, CancelledRunKeepsWhatItFinishedAndTheNextGoesOn) {
  Recorder recorder;
  recorder.stop_after = 5;
  TuneRequest r = request();
  r.cancel = &recorder.stop;
  TuneReport report = run(r, &recorder);
  EXPECT_TRUE(report.cancelled);
  EXPECT_TRUE(winners().empty());
  EXPECT_GE(report.compiled, 5);
  EXPECT_LT(report.compiled, 16);
  TuneReport rest = run(request());
  EXPECT_FALSE(rest.cancelled);
  EXPECT_EQ(winners().size(), 4u);
  // Undecided configs, plus what must be compiled again because only winners' binaries are stored.
  Recorder progress;
  EXPECT_LE(rest.compiled, 16 - report.compiled + 4);
}

// On a busy machine a compile once took too long: that may cost a config, but not the stage's last resort.
TEST_F(SessionTest, StoredTimeoutIsNotTheLastWordOnTheReference) {
  TuneRequest impatient = request();
  impatient.limits.compile_limit = std::chrono::milliseconds(0);
  auto nothing = tune(impatient, nullptr);
  ASSERT_FALSE(nothing.ok());
  EXPECT_THAT(nothing.error().message, HasSubstr("timeout: compiling took longer than 0 ms"));
  TuneReport report = run(request());
  for (const BucketReport& bucket : report.stages[0].buckets) {
    EXPECT_TRUE(bucket.has_winner);
    EXPECT_GE(bucket.rejected.at(Verdict::timeout), 1) << "at least the first bucket's default config";
    EXPECT_LE(bucket.rejected.at(Verdict::timeout), 15) << "and not the reference";
  }
}

TEST_F(SessionTest, ForceReplacesARefusalOfTheCompiler) {
  TuneRequest impatient = request();
  impatient.limits.compile_limit = std::chrono::milliseconds(0);
  ASSERT_FALSE(tune(impatient, nullptr).ok());
  TuneRequest again = request();
  again.force = true;
  run(again);
  for (const TuningRow& row : rows(0, "block=128,items=1")) EXPECT_EQ(row.verdict, Verdict::ok) << row.reason;
  TuneReport report = run(request());
  EXPECT_TRUE(report.stages[0].buckets[0].from_cache);
  EXPECT_EQ(report.stages[0].buckets[0].variant, "unrolled");
}

TEST_F(SessionTest, WhatAnotherCompilerRefusedIsAskedAgain) {
  TuneRequest impatient = request();
  impatient.limits.compile_limit = std::chrono::milliseconds(0);
  ASSERT_FALSE(tune(impatient, nullptr).ok());
  RowKey everything;
  everything.bucket = -1;
  const auto stored = store_->rows(everything);
  ASSERT_TRUE(stored.ok());
  for (TuningRow row : *stored) {
    if (row.verdict != Verdict::timeout) continue;
    row.compiler = "nvrtc 1.0";
    ASSERT_TRUE(store_->put_row(row).ok());
  }
  TuneReport report = run(request());
  for (const BucketReport& bucket : report.stages[0].buckets) EXPECT_EQ(bucket.variant, "unrolled");
}

TEST_F(SessionTest, AddingBucketsCompilesNothingAgain) {
  TuneRequest r = request();
  r.buckets = {1024};
  run(r);
  TuneReport report = run(request());
  EXPECT_LE(report.compiled, 3);  // winners whose binary was not stored before
  EXPECT_TRUE(report.stages[0].buckets[0].from_cache);
  EXPECT_FALSE(report.stages[0].buckets[1].from_cache);
}

TEST_F(SessionTest, WrongWinnerIsReportedAndTheNextBestTaken) {
  TuneRequest plain = request();
  plain.buckets = {4194304};
  TuneReport expected = run(plain);
  std::string best = expected.stages[0].buckets[0].config;
  // The kernel of the config that should have won computes wrong results now.
  int block = 0, items = 0;
  ASSERT_EQ(std::sscanf(best.c_str(), "block=%d,items=%d", &block, &items), 2) << best;
  TuneRequest broken =
      request(fmt::format("unrolled<{},{}>=wrong;unrolled<{}, {}>=wrong", block, items, block, items));
  broken.buckets = {4194304};
  broken.force = true;
  TuneReport report = run(broken);
  const BucketReport& bucket = report.stages[0].buckets[0];
  EXPECT_TRUE(bucket.has_winner);
  EXPECT_NE(bucket.config, best);
  EXPECT_TRUE(bucket.verified);
  EXPECT_EQ(bucket.rejected.at(Verdict::wrong), 1);
  EXPECT_EQ(bucket.rejected_by.at(Gate::run), 1);
  EXPECT_THAT(report.warnings, Contains(HasSubstr("please report it")));
  auto row = rows(4194304, best);
  ASSERT_EQ(row.size(), 1u);
  EXPECT_EQ(row[0].verdict, Verdict::wrong);
  EXPECT_THAT(row[0].reason, HasSubstr("relative error"));
  // It stays rejected, without being run again.
  TuneReport again = run(request());
  EXPECT_EQ(again.stages[0].buckets[3].rejected.at(Verdict::wrong), 1);
}

TEST_F(SessionTest, EverythingWrongLeavesTheReference) {
  TuneReport report = run(request("unrolled=wrong"));
  for (const BucketReport& bucket : report.stages[0].buckets) {
    EXPECT_EQ(bucket.variant, "reference");
    EXPECT_TRUE(bucket.verified);
  }
}

TEST_F(SessionTest, ZeroEqualsZeroProvesNothing) {
  TuneRequest r = request("unrolled=zero;reference=zero");
  auto report = tune(r);
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(report.error().message, HasSubstr("nothing was compared"));
  EXPECT_TRUE(winners().empty());
}

TEST_F(SessionTest, ASizeOfZeroIsVerifiedByRunningIt) {
  TuneRequest r = request();
  r.limits.emulator_tokens = {0};
  TuneReport report = run(r);
  ASSERT_EQ(report.stages.size(), 1u);
  EXPECT_TRUE(report.stages[0].buckets[0].verified);
  // Among others it proves nothing about these.
  r = request("unrolled=zero;reference=zero");
  r.limits.emulator_tokens = {0, 5};
  r.force = true;
  auto zeros = tune(r);
  ASSERT_FALSE(zeros.ok());
  EXPECT_THAT(zeros.error().message, HasSubstr("nothing was compared"));
}

TEST_F(SessionTest, WithoutDeviceAndEmulatorWinnersAreCompiledOnly) {
  TuneRequest r = request();
  r.emulator = nullptr;
  TuneReport report = run(r);
  EXPECT_FALSE(report.stages[0].buckets[0].verified);
  EXPECT_THAT(report.warnings, Contains(HasSubstr("compiled, not verified")));
  ASSERT_EQ(winners().size(), 4u);
  EXPECT_FALSE(winners()[0].verified);
  // With an emulator the same winners are verified later.
  TuneReport verified = run(request());
  EXPECT_TRUE(verified.stages[0].buckets[0].verified);
  EXPECT_TRUE(winners()[0].verified);
}

TEST_F(SessionTest, TheRealEmulatorVerifies) {
  TuneRequest r = request();
  r.target = *Target::parse("sm_121a");
  r.emulator = [](const Target& target) { return make_emulated_device(target); };
  TuneReport report = run(r);
  for (const BucketReport& bucket : report.stages[0].buckets) {
    EXPECT_TRUE(bucket.verified);
    EXPECT_EQ(bucket.variant, "unrolled");
  }
  EXPECT_TRUE(report.warnings.empty()) << report.warnings.front();
}

TEST_F(SessionTest, ForceLooksAgainButReusesBinaries) {
  run(request());
  TuneRequest r = request();
  r.force = true;
  TuneReport report = run(r);
  EXPECT_FALSE(report.stages[0].buckets[0].from_cache);
  EXPECT_GT(report.reused_binaries, 0);
  EXPECT_LT(report.compiled, 16);
}

TEST_F(SessionTest, VerifyOffPublishesNothing) {
  TuneRequest r = request();
  r.verify = false;
  TuneReport report = run(r);
  EXPECT_TRUE(report.stages[0].buckets[0].has_winner);
  EXPECT_TRUE(winners().empty());
}

TEST_F(SessionTest, BadRequests) {
  TuneRequest r = request();
  r.buckets = {1000};
  EXPECT_EQ(tune(r).error().message,
            "1000 is not a bucket of scale_add; its buckets are 1024, 16384, 262144, 4194304");
  r = measured();
  r.target = *Target::parse("sm_80");
  EXPECT_EQ(tune(r).error().message, "the device is sm_90a, it cannot measure for sm_80");
  r = measured();
  r.worker_command = {"/nowhere/worker"};
  EXPECT_THAT(tune(r).error().message, HasSubstr("/nowhere/worker"));
}

TEST_F(SessionTest, MeasuresAndTakesTheFastest) {
  Recorder recorder;
  TuneReport report = run(measured(), &recorder);
  ASSERT_EQ(report.stages[0].buckets.size(), 1u);
  const BucketReport& bucket = report.stages[0].buckets[0];
  EXPECT_EQ(bucket.config, "block=128,items=2");
  EXPECT_EQ(bucket.knowledge, Knowledge::measured);
  EXPECT_NEAR(bucket.time_us, 100, 1e-6);
  EXPECT_NEAR(bucket.default_time_us, 120, 1e-6);
  EXPECT_EQ(bucket.measured, 16);
  EXPECT_TRUE(bucket.verified);
  EXPECT_EQ(bucket.verified_on, "Fake GPU");
  EXPECT_EQ(bucket.why, "fastest of 16 measured; 20 % ahead of the default");
  auto row = rows(1024, "block=128,items=2");
  ASSERT_EQ(row.size(), 1u);
  EXPECT_EQ(row[0].samples, 3);
  EXPECT_EQ(row[0].key.sku, test::fake_device_info("sm_90a").sku_fingerprint());
  EXPECT_EQ(row[0].device_name, "Fake GPU");
  EXPECT_FALSE(row[0].policy.empty());
  EXPECT_GT(report.phase_ms[TunePhase::setup], 0);
  EXPECT_GT(report.parts_ms["setup"]["start"], 0);
  double parts = 0;
  for (const char* part : {"inputs", "oracle", "candidate", "read results", "guard zones", "compare"}) {
    EXPECT_GT(report.parts_ms["verify"][part], 0) << part;
    parts += report.parts_ms["verify"][part];
  }
  EXPECT_LT(parts, report.phase_ms[TunePhase::verify]);
  EXPECT_GT(report.parts_ms["measure"]["stage"], 0);
  EXPECT_GT(report.parts_ms["measure"]["graph"], 0);

  TuneReport again = run(measured());
  EXPECT_TRUE(again.stages[0].buckets[0].from_cache);
  EXPECT_EQ(again.stages[0].buckets[0].measured, 16);
}

// The default of the two large buckets takes the assembler longer than its limit.
TEST_F(SessionTest, ABucketWaitsForItsOwnCompilesOnly) {
  const std::filesystem::path slow = folder_ / "scale_add";
  std::filesystem::create_directories(slow);
  const std::filesystem::path original = test::scale_add_folder();
  std::filesystem::copy_file(original / "template.toml", slow / "template.toml");
  std::ifstream file(original / "scale_add.cuh");
  std::string source(std::istreambuf_iterator<char>(file), {});
  const std::string unrolled = "  long long first = ";
  ASSERT_NE(source.find(unrolled), std::string::npos);
  source.insert(source.find(unrolled), R"(
  if (kBlock == 256 && kItems == 4) {
    float v = a;
#pragma unroll
    for (int k = 0; k < (kBlock == 256 && kItems == 4 ? 700 : 0); ++k) v = v * v + x[(threadIdx.x + k * k) % n];
    out[threadIdx.x] = v;
  }
)");
  std::ofstream(slow / "scale_add.cuh") << source;
  auto registry = TemplateRegistry::create({slow.string()});
  ASSERT_TRUE(registry.ok()) << registry.error().message;

  class Watcher : public Recorder {
   public:
    void on_best(const std::string& stage, int64_t bucket, const std::string& variant,
                 const std::string& config, double us, Knowledge knowledge) override {
      Recorder::on_best(stage, bucket, variant, config, us, knowledge);
      timeouts[bucket] = rejected[Verdict::timeout];
    }
    std::map<int64_t, int64_t> timeouts;  // that were known when the bucket's winner was
  };
  Watcher watcher;
  TuneRequest r = measured();
  r.tmpl = *(*registry)->find("scale_add");
  r.template_folders = {slow.string()};
  r.buckets = {1024, 262144};
  r.search.name = "model";
  r.search.configs = 1;
  r.limits.compile_limit = std::chrono::milliseconds(1500);
  const TuneReport report = run(r, &watcher);
  ASSERT_EQ(report.stages[0].buckets.size(), 2u);
  EXPECT_EQ(watcher.timeouts[1024], 0);
  EXPECT_EQ(watcher.timeouts[262144], 1);
  EXPECT_EQ(report.stages[0].buckets[1].rejected.at(Verdict::timeout), 1);
  EXPECT_TRUE(report.stages[0].buckets[1].verified);
}

TEST_F(SessionTest, FewMeasuredButAlwaysTheDefault) {
  TuneRequest r = measured();
  r.search.name = "halving";
  r.search.configs = 2;
  TuneReport report = run(r);
  const BucketReport& bucket = report.stages[0].buckets[0];
  EXPECT_LE(bucket.measured, 3);
  EXPECT_LE(report.compiled, 5) << "these, the reference and the probe kernel";
  EXPECT_GT(bucket.default_time_us, 0);
  EXPECT_LE(bucket.time_us, bucket.default_time_us * 1.01);
}

// What a lookup would answer so far is measured too, and stays unless something is clearly faster.
TEST_F(SessionTest, WhatServesSoFarIsKept) {
  run(measured());
  ASSERT_EQ(winners().size(), 1u);
  WinnerRow serves = winners()[0];
  serves.config = "block=64,items=2";  // 116 us
  auto shipped = test::open_store((folder_ / "shipped.db").string());
  ASSERT_TRUE(shipped->put_winner(serves).ok());

  TuneRequest r = measured();
  auto empty = test::open_store((folder_ / "empty.db").string());
  r.store = empty.get();
  r.shipped = shipped.get();
  r.search.name = "halving";
  r.search.configs = 1;
  r.limits.ties.keep = 0.2;
  const BucketReport kept = run(r).stages[0].buckets[0];
  EXPECT_EQ(kept.config, "block=64,items=2");
  EXPECT_FALSE(kept.from_cache) << "shipped winners are measured anew";
  EXPECT_TRUE(kept.verified);
  EXPECT_EQ(kept.measured, 3) << "itself, the default and the one that was asked for";

  r.force = true;
  r.shipped = nullptr;  // by now it is the winner of the run's own store
  EXPECT_EQ(run(r).stages[0].buckets[0].config, "block=64,items=2");
  r.limits.ties.keep = 0.02;
  r.search.name = "exhaustive";
  EXPECT_EQ(run(r).stages[0].buckets[0].config, "block=128,items=2");

  // Of another device model: serves here as well until something is known.
  auto elsewhere = test::open_store((folder_ / "elsewhere.db").string());
  serves.sku = "sm_90a,sm=114,smem=232448,l2=65536,bus=512,mclk=1000";
  ASSERT_TRUE(elsewhere->put_winner(serves).ok());
  auto other = test::open_store((folder_ / "other.db").string());
  r.store = other.get();
  r.shipped = elsewhere.get();
  r.limits.ties.keep = 0.2;
  EXPECT_EQ(run(r).stages[0].buckets[0].config, "block=64,items=2");
  // A prediction is no reason to keep a config.
  auto predicted = test::open_store((folder_ / "predicted.db").string());
  serves.knowledge = Knowledge::predicted;
  ASSERT_TRUE(predicted->put_winner(serves).ok());
  auto another = test::open_store((folder_ / "another.db").string());
  r.store = another.get();
  r.shipped = predicted.get();
  EXPECT_EQ(run(r).stages[0].buckets[0].config, "block=128,items=2");
}

// Each misbehaving kernel costs its own config and nothing else.
struct BadKernel {
  const char* behaviour;
  Verdict verdict;
  const char* reason;
};
class BadKernelTest : public SessionTest, public testing::WithParamInterface<BadKernel> {};

TEST_P(BadKernelTest, CostsOneConfig) {
  const BadKernel& bad = GetParam();
  TuneReport report =
      run(measured(fmt::format("unrolled<128,2>={};unrolled<128, 2>={}", bad.behaviour, bad.behaviour)));
  const BucketReport& bucket = report.stages[0].buckets[0];
  ASSERT_TRUE(bucket.has_winner);
  EXPECT_TRUE(bucket.verified);
  EXPECT_NE(bucket.config, "block=128,items=2");
  EXPECT_NEAR(bucket.time_us, 116, 1e-6) << "the second best, block=64,items=2";
  EXPECT_EQ(bucket.rejected.at(bad.verdict), 1);
  auto row = rows(1024, "block=128,items=2");
  ASSERT_EQ(row.size(), 1u);
  EXPECT_EQ(row[0].verdict, bad.verdict);
  EXPECT_THAT(row[0].reason, HasSubstr(bad.reason));
  EXPECT_FALSE(report.warnings.empty());
}

INSTANTIATE_TEST_SUITE_P(Kinds, BadKernelTest,
                         testing::Values(BadKernel{"wrong", Verdict::wrong, "relative error"},
                                         BadKernel{"last", Verdict::wrong, "wrong: out has"},
                                         BadKernel{"nan", Verdict::wrong, "is nan, must be"},
                                         BadKernel{"unstable", Verdict::wrong, "gave other bits"},
                                         BadKernel{"past", Verdict::fault, "B past the end of out"},
                                         BadKernel{"fault", Verdict::fault, "illegal memory access"},
                                         BadKernel{"refuse", Verdict::launch, "launch: too many resources"},
                                         BadKernel{"exit", Verdict::fault, "exit status 7"},
                                         BadKernel{"hang", Verdict::hang, "hang: no answer within"}),
                         [](const auto& kind) { return std::string(kind.param.behaviour); });

TEST_F(SessionTest, BrokenDeviceStopsWithAClearMessageAndKeepsWhatWasMeasured) {
  auto report = tune(measured("reference=fault"));
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(report.error().message, HasSubstr("illegal memory access"));
}

TEST_F(SessionTest, ExplainListsEveryConfigWithItsSource) {
  ExplainRequest r;
  ScopeRequest scope;
  scope.template_name = "scale_add";
  scope.target = "sm_90a";
  scope.problem = "a=1.5";
  scope.tokens = "1000";
  r.scope = *resolve_scope(*registry_, scope, std::nullopt);
  r.store = store_.get();
  auto before = explain(r);
  ASSERT_TRUE(before.ok()) << before.error().message;
  EXPECT_EQ(before->bucket, 1024);
  ASSERT_EQ(before->entries.size(), 17u);
  EXPECT_EQ(before->entries[0].config, "block=64,items=1");
  EXPECT_EQ(before->entries[0].source, VerdictSource::static_gate);
  EXPECT_FALSE(before->entries[0].registers_compiled);
  EXPECT_EQ(before->entries[0].registers, 18);
  EXPECT_EQ(before->entries[0].registers_limit, 255);
  EXPECT_EQ(before->entries[0].registers_left(), 237);
  EXPECT_EQ(before->entries[0].smem_left(), 232448);
  EXPECT_EQ(before->entries[0].blocks_per_sm, 32) << "2,048 threads of 64, by the predicted registers";
  EXPECT_EQ(before->entries[15].blocks_per_sm, 0);
  EXPECT_EQ(before->entries[15].verdict, Verdict::constraint);
  EXPECT_EQ(before->entries[16].variant, "reference");

  r.compile = true;
  r.compiler = test::counting_compiler(&compilers_opened_);
  auto compiled = explain(r);
  ASSERT_TRUE(compiled.ok());
  EXPECT_EQ(compiled->entries[0].source, VerdictSource::compiled);
  EXPECT_TRUE(compiled->entries[0].registers_compiled);
  EXPECT_GT(compiled->entries[0].blocks_per_sm, 0);
  EXPECT_GT(compiled->entries[0].predicted_us, 0);

  r.compile = false;
  auto stored = explain(r);
  EXPECT_EQ(stored->entries[0].source, VerdictSource::stored);
  EXPECT_EQ(stored->entries[0].registers, compiled->entries[0].registers);

  run(request());
  auto tuned = explain(r);
  int marked = 0;
  for (const ExplainEntry& entry : tuned->entries) {
    marked += entry.is_winner;
    EXPECT_TRUE(entry.verified || !entry.is_winner);
    EXPECT_EQ(entry.is_default, entry.config == "block=128,items=1");
  }
  EXPECT_EQ(marked, 1);
}

}  // namespace
}  // namespace rtjit
