// Packs whose kernels are run: right ones, wrong ones, and what becomes of a worker that does not survive
// them. tests/device does the same on a GPU.
#include "tuner/pack_results.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "emulator/emulated_device.h"
#include "tests/tuner/pack_rig.h"
#include "tests/tuner/scale_add.h"

namespace rtjit::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(PackResults, WrongKernelsAreFoundOnTheEmulator) {
  auto rig = PackRig::create("sm_90a");
  ASSERT_TRUE(rig.ok()) << rig.error().message;
  const DeviceInfo device = (*make_emulated_device(*Target::parse("sm_90a")))->info();
  expect_wrong_kernels_to_be_found(**rig, device, {"/proc/self/exe", "worker", "--emulate", "sm_90a"});
}

// Winners of scale_add, measured on a fake device where another config is fastest in each bucket: what its
// worker does to a kernel, it does in one bucket only.
class PackWorkerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / fmt::format("rtjit_pack_results_{}", ::getpid());
    std::filesystem::create_directories(folder_);
    auto store = open_store((folder_ / "cache.db").string());
    registry_ = scale_add_registry();
    TuneRequest request;
    request.tmpl = *registry_->find("scale_add");
    request.problem = *make_problem(*request.tmpl, {{"a", "1.5"}});
    request.target = *Target::parse("sm_90a");
    request.device = fake_device_info("sm_90a");
    request.store = store.get();
    request.compiler = counting_compiler(&compilers_opened_);
    request.template_folders = {scale_add_folder()};
    request.search.name = "exhaustive";
    request.search.samples = 3;
    const std::vector<std::pair<int64_t, std::string>> buckets = {{1024, ""}, {16384, "unrolled<128=slow"}};
    for (const auto& [bucket, slow] : buckets) {
      request.buckets = {bucket};
      request.worker_command = {"/proc/self/exe", "worker", slow};
      auto report = tune(request);
      ASSERT_TRUE(report.ok()) << report.error().message;
    }
    auto contents = read_contents(*store);
    ASSERT_TRUE(contents.ok()) << contents.error().message;
    PackRequest wanted{"scale_add", request.tmpl->content_hash, request.problem.canonical(), "a preset", {}};
    auto pack = select_for_pack(*contents, "sm_90a", {wanted}, /*with_ptx=*/false);
    ASSERT_TRUE(pack.ok()) << pack.error().message;
    const Status status = write_pack(*pack, path(), std::nullopt);
    ASSERT_TRUE(status.ok()) << status.error().message;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path() const { return (folder_ / "a.rtpack").string(); }

  Result<PackResults> check(const std::string& misbehaviour) {
    auto info = read_pack(path());
    if (!info) return info.error();
    PackRun run;
    run.device = fake_device_info("sm_90a");
    run.worker_command = {"/proc/self/exe", "worker", misbehaviour};
    run.template_folders = {scale_add_folder()};
    run.compiler = counting_compiler(&compilers_opened_);
    run.limits.candidate_limit = std::chrono::milliseconds(400);
    run.cancel = &cancel_;
    run.progress = [this](int64_t done, int64_t total) { progress_.emplace_back(done, total); };
    return check_pack_results(path(), info->manifest, *registry_, run);
  }
  static std::vector<std::string> verdicts(const PackResults& found) {
    std::vector<std::string> names;
    for (const PackResult& result : found.results) names.emplace_back(to_string(result.outcome.verdict));
    return names;
  }

  std::filesystem::path folder_;
  std::shared_ptr<const TemplateRegistry> registry_;
  std::vector<std::pair<int64_t, int64_t>> progress_;
  int compilers_opened_ = 0;
  std::atomic<bool> cancel_ = false;
};

TEST_F(PackWorkerTest, EveryBucketIsRunWithTheWinnerThatThePackHasForIt) {
  auto found = check("");
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_THAT(verdicts(*found), ElementsAre("ok", "ok"));
  EXPECT_EQ(found->results[0].pipeline, "add=unrolled:block=128,items=2");
  EXPECT_EQ(found->results[1].pipeline, "add=unrolled:block=64,items=2");
  for (const PackResult& result : found->results) {
    EXPECT_EQ(result.label, "a preset");
    EXPECT_EQ(result.problem, "a=1.5");
    EXPECT_EQ(result.rel_l2_limit, 1e-6);
    EXPECT_EQ(result.max_err_limit, 1e-5);
  }
  EXPECT_EQ(progress_.front(), std::pair(int64_t{0}, int64_t{2}));
  EXPECT_EQ(progress_.back(), std::pair(int64_t{2}, int64_t{2}));

  // An oracle that fails is not the pack's fault.
  found = check("reference=fault");
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_THAT(found->results, IsEmpty());
  EXPECT_THAT(found->not_checked, ElementsAre(HasSubstr("the oracle fails in bucket 1024")));

  // What is run is what the manifest was read with: another pack under its name is not.
  PackManifest other = read_pack(path())->manifest;
  other.content_sha256[0] = other.content_sha256[0] == '0' ? '1' : '0';
  found = check_pack_results(path(), other, *registry_, PackRun{});
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::corrupt);

  cancel_ = true;
  found = check("");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::cancelled);
}

// Whatever a kernel does to its worker costs its own bucket; what comes after is not blamed.
TEST_F(PackWorkerTest, AKernelThatTakesItsWorkerDownCostsOneBucket) {
  struct Case {
    const char *misbehaviour, *first, *second, *reason;
  };
  for (const Case& entry :
       {Case{"unrolled<128=exit", "fault", "ok", "exit status 7"},
        Case{"unrolled<128=hang", "hang", "ok", "no answer within 400 ms"},
        Case{"unrolled<128=fault;unrolled<64=past", "fault", "fault", "illegal memory access"},
        Case{"unrolled<128=past", "fault", "ok", "wrote 4 B past the end of out"}}) {
    SCOPED_TRACE(entry.misbehaviour);
    auto found = check(entry.misbehaviour);
    ASSERT_TRUE(found.ok()) << found.error().message;
    EXPECT_THAT(verdicts(*found), ElementsAre(entry.first, entry.second));
    EXPECT_THAT(found->results[0].outcome.reason, HasSubstr(entry.reason));
    EXPECT_THAT(found->not_checked, IsEmpty());
  }
  // A device that does not come back says nothing about the kernels that were not run on it.
  const std::string broken = (folder_ / "broken").string();
  ::setenv("RTJIT_FAKE_BROKEN", broken.c_str(), 1);
  auto found = check("unrolled<128=break");
  ::unsetenv("RTJIT_FAKE_BROKEN");
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_THAT(verdicts(*found), ElementsAre("fault"));
  EXPECT_THAT(found->not_checked,
              ElementsAre(HasSubstr("scale_add a preset: the device does not work any more")));
}

}  // namespace
}  // namespace rtjit::test
