// rtjit verify-pack with and without a device: what it says of results, and its exit code.
#include <gmock/gmock.h>

#include "tests/tools/command_fixture.h"
#include "tests/tuner/pack_rig.h"

namespace rtjit {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class VerifyPackCommand : public CommandTest {
 protected:
  static std::string write(test::PackRig& rig, bool with_ptx = true) {
    auto path = rig.write(with_ptx);
    EXPECT_TRUE(path.ok()) << (path.ok() ? "" : path.error().message);
    return path.ok() ? *path : "";
  }
  ProcessOutcome verify(const std::string& pack, std::vector<std::string> rest = {},
                        std::vector<std::pair<std::string, std::string>> environment = {}) {
    std::vector<std::string> arguments = {"verify-pack", pack, "--templates",
                                          test::PackRig::template_folder()};
    arguments.insert(arguments.end(), rest.begin(), rest.end());
    return run(std::move(arguments), std::move(environment));
  }
  // Where the double of the driver, or none, is found instead of this machine's.
  std::vector<std::pair<std::string, std::string>> fake_gpu(const char* count) {
    const std::string driver = folder_ + "/driver";
    std::filesystem::create_directories(driver);
    if (!std::filesystem::exists(driver + "/libcuda.so.1"))
      std::filesystem::create_symlink(RTJIT_FAKE_LIBCUDA, driver + "/libcuda.so.1");
    return {{"LD_LIBRARY_PATH", driver}, {"RTJIT_FAKE_CUDA_DEVICES", count}};
  }
};

TEST_F(VerifyPackCommand, ResultsAreCheckedWhereTheyCanBe) {
  auto rig = test::PackRig::create("sm_90a");
  ASSERT_TRUE(rig.ok()) << rig.error().message;
  const std::string right = write(**rig);
  const auto good = verify(right, {"--emulate", "--json"});
  EXPECT_EQ(good.exit.code, 0) << good.error_output;
  const auto report = nlohmann::json::parse(good.output);
  EXPECT_EQ(report["ok"], true);
  EXPECT_EQ(report["results_checked"], true);
  EXPECT_EQ(report["results_on"], "the emulator, as sm_90a");
  ASSERT_EQ(report["results"].size(), 3u);
  EXPECT_EQ(report["results"][0]["part"], "packing");
  EXPECT_EQ(report["results"][2]["bucket"], 64);
  EXPECT_EQ(report["results"][2]["verdict"], "ok");
  EXPECT_EQ(report["results"][2]["rel_l2_limit"], 1e-6);
  EXPECT_GT(report["results"][2]["compared"], 0);

  // Without a device the rest is checked, and the output says what was not.
  const auto no_gpu = fake_gpu("0");
  const auto unchecked = verify(right, {}, no_gpu);
  EXPECT_EQ(unchecked.exit.code, 0) << unchecked.error_output;
  EXPECT_THAT(unchecked.output, HasSubstr("results    not checked: no GPU can be used: "));
  EXPECT_EQ(nlohmann::json::parse(verify(right, {"--json"}, no_gpu).output)["results_checked"], false);
  for (const std::vector<std::string>& demand :
       {std::vector<std::string>{"--require-results"}, std::vector<std::string>{"--device", "0"}}) {
    const auto refused = verify(right, demand, no_gpu);
    EXPECT_EQ(refused.exit.code, 1);
    EXPECT_THAT(refused.error_output, HasSubstr("not all results could be checked"));
    auto as_json = demand;
    as_json.push_back("--json");
    EXPECT_EQ(nlohmann::json::parse(verify(right, as_json, no_gpu).output)["ok"], false);
  }
  EXPECT_THAT(verify(right, {"--no-results"}).output, HasSubstr("results    not checked: --no-results"));
  EXPECT_EQ(verify(right, {"--no-results", "--require-results"}).exit.code, 2);

  // The double of the driver offers an sm_90a that runs nothing: the device is at fault, not the pack.
  const auto dead = verify(right, {}, fake_gpu("1"));
  EXPECT_EQ(dead.exit.code, 0) << dead.output;
  EXPECT_THAT(dead.output,
              AllOf(HasSubstr("not checked: packed_scale width=96: the device cannot run a known kernel"),
                    Not(HasSubstr("bad:"))));

  const std::string without_ptx = write(**rig, /*with_ptx=*/false);
  const auto no_ptx = verify(without_ptx, {"--emulate"});
  EXPECT_EQ(no_ptx.exit.code, 1);
  EXPECT_THAT(no_ptx.output, AllOf(HasSubstr("rtjit pack --with-ptx"), Not(HasSubstr("bad:"))));
  const auto no_compiler = verify(write(**rig), {"--emulate"}, {{"RTJIT_NVRTC", folder_ + "/none.so"}});
  EXPECT_EQ(no_compiler.exit.code, 1);
  EXPECT_THAT(no_compiler.output, AllOf(HasSubstr("NVRTC was not found"), Not(HasSubstr("bad:"))));

  ASSERT_TRUE((*rig)->spoil("scale::blocked", "raised[i] * turned", "2 * raised[i] * turned").ok());
  const std::string wrong = write(**rig);
  const auto bad = verify(wrong, {"--emulate"});
  EXPECT_EQ(bad.exit.code, 1);
  EXPECT_THAT(bad.output,
              AllOf(HasSubstr("bad: packed_scale width=96 bucket 4 (raise=only:;scale=blocked:block="),
                    HasSubstr("bad: packed_scale width=96 bucket 64 "), HasSubstr("wrong: out has")));
  EXPECT_THAT(bad.error_output, HasSubstr("must not be used: 2 findings"));
  const auto findings = nlohmann::json::parse(verify(wrong, {"--emulate", "--json"}).output);
  EXPECT_EQ(findings["ok"], false);
  EXPECT_EQ(findings["results"][1]["verdict"], "wrong");
  EXPECT_EQ(findings["results"][0]["verdict"], "ok");
  EXPECT_EQ(verify(wrong, {}, no_gpu).exit.code, 0);  // only running it shows it
}

TEST_F(VerifyPackCommand, APackForAnotherTargetIsNotRunOnThisGpu) {
  auto rig = test::PackRig::create("sm_120a");
  ASSERT_TRUE(rig.ok()) << rig.error().message;
  const std::string pack = write(**rig);
  const auto elsewhere = verify(pack, {}, fake_gpu("1"));
  EXPECT_EQ(elsewhere.exit.code, 0) << elsewhere.error_output;
  EXPECT_THAT(elsewhere.output,
              AllOf(HasSubstr("not checked: the pack is for sm_120a; GPU 0 ("), HasSubstr(") is sm_90a")));
  EXPECT_EQ(verify(pack, {"--device", "0"}, fake_gpu("1")).exit.code, 1);
  EXPECT_THAT(verify(pack, {"--device", "7"}, fake_gpu("1")).output, HasSubstr("not checked: "));
}

// A pack is code: what is not what it should be is not run.
TEST_F(VerifyPackCommand, KernelsOfAPackThatIsNotTrustedAreNotRun) {
  auto rig = test::PackRig::create("sm_90a");
  ASSERT_TRUE(rig.ok()) << rig.error().message;
  ASSERT_TRUE(run({"pack-key", folder_ + "/vendor"}).exit.ok());
  const auto outcome = verify(write(**rig), {"--emulate", "--trust", folder_ + "/vendor.pub", "--json"});
  EXPECT_EQ(outcome.exit.code, 1);
  const auto report = nlohmann::json::parse(outcome.output);
  EXPECT_THAT(report["findings"][0].get<std::string>(), HasSubstr("is not signed"));
  EXPECT_EQ(report["results"].size(), 0u);
  EXPECT_EQ(report["results_not_checked"][0], "kernels of a pack with findings are not run");
}

}  // namespace
}  // namespace rtjit
