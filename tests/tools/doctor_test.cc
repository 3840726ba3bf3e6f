#include <filesystem>

#include "tests/tools/command_fixture.h"

namespace rtjit {
namespace {

class DoctorCommand : public CommandTest {
 protected:
  // The check of that name.
  static nlohmann::json find(const nlohmann::json& report, const std::string& name) {
    for (const auto& check : report["checks"])
      if (check["check"] == name) return check;
    ADD_FAILURE() << "no check " << name << " in " << report;
    return nlohmann::json::object();
  }
  nlohmann::json examine(int exit_code, std::vector<std::pair<std::string, std::string>> environment = {}) {
    const auto outcome = run({"doctor", "--json"}, std::move(environment));
    EXPECT_EQ(outcome.exit.code, exit_code) << outcome.output << outcome.error_output;
    return nlohmann::json::parse(outcome.output);
  }
};

TEST_F(DoctorCommand, AWorkingEnvironmentHasNoProblem) {
  const auto report = examine(0);
  EXPECT_EQ(report["ok"], true);
  EXPECT_EQ(find(report, "compiler")["state"], "ok");
  EXPECT_EQ(find(report, "emulator")["found"], "a probe kernel ran on an emulated sm_90a");
  EXPECT_NE(find(report, "cache")["found"].get<std::string>().find(folder_ + "/cache.db: 0 winners"),
            std::string::npos);
}

TEST_F(DoctorCommand, WhatIsWrongIsNamedWithAdvice) {
  const auto no_compiler = examine(1, {{"RTJIT_NVRTC", folder_ + "/none.so"}});
  EXPECT_EQ(find(no_compiler, "compiler")["state"], "problem");
  EXPECT_NE(find(no_compiler, "compiler")["advice"], "");
  EXPECT_EQ(find(no_compiler, "emulator")["state"], "note");

  const auto no_pack = examine(1, {{"RTJIT_PACKS", folder_ + "/none.rtpack"}});
  EXPECT_NE(find(no_pack, "pack")["found"].get<std::string>().find("none.rtpack: no such file"),
            std::string::npos);
  EXPECT_EQ(find(no_pack, "compiler")["state"], "ok");

  const auto no_keys = examine(1, {{"RTJIT_TRUST", folder_ + "/none.pub"}});
  EXPECT_EQ(find(no_keys, "trust")["state"], "problem");
}

// The double of the driver stands in for libcuda.so.1: each cause is a check of its own kind, with the status
// that an engine would get.
TEST_F(DoctorCommand, WhyTheGpuCannotBeUsedIsNamedByItsStatus) {
  const std::string driver = folder_ + "/driver";
  std::filesystem::create_directories(driver);
  std::filesystem::create_symlink(RTJIT_FAKE_LIBCUDA, driver + "/libcuda.so.1");
  const auto gpu = [&](int exit_code, const char* init, const char* devices) {
    return find(examine(exit_code, {{"LD_LIBRARY_PATH", driver},
                                    {"RTJIT_FAKE_CUDA_INIT", init},
                                    {"RTJIT_FAKE_CUDA_DEVICES", devices}}),
                "GPU");
  };
  const auto starts_with = [](const nlohmann::json& check, const std::string& status) {
    return check["found"].get<std::string>().starts_with(status + ": ");
  };
  const auto none = gpu(0, "0", "0");
  EXPECT_EQ(none["state"], "note");
  EXPECT_TRUE(starts_with(none, "no_gpu")) << none;
  EXPECT_NE(none["found"].get<std::string>().find("CUDA_VISIBLE_DEVICES"), std::string::npos) << none;
  const auto old = gpu(1, "803", "1");
  EXPECT_EQ(old["state"], "problem");
  EXPECT_TRUE(starts_with(old, "driver_too_old")) << old;
  EXPECT_NE(old["found"].get<std::string>().find("update NVIDIA's driver"), std::string::npos);
  const auto bad = gpu(1, "802", "1");
  EXPECT_EQ(bad["state"], "problem");
  EXPECT_TRUE(starts_with(bad, "gpu_bad_state")) << bad;
}

// The compiler is there, and too old for anything, for this GPU's target, or too new for the driver.
TEST_F(DoctorCommand, VersionsThatDoNotFitAreNamedByTheirStatus) {
  const std::string driver = folder_ + "/driver";
  std::filesystem::create_directories(driver);
  std::filesystem::create_symlink(RTJIT_FAKE_LIBCUDA, driver + "/libcuda.so.1");
  const auto starts_with = [](const nlohmann::json& check, const std::string& status) {
    return check["found"].get<std::string>().starts_with(status + ": ");
  };
  const auto old = find(examine(1, {{"RTJIT_NVRTC", RTJIT_FAKE_LIBNVRTC}}), "compiler");
  EXPECT_EQ(old["state"], "problem");
  EXPECT_TRUE(starts_with(old, "compiler_too_old")) << old;
  EXPECT_NE(old["found"].get<std::string>().find("12.8 or later is needed"), std::string::npos) << old;
  EXPECT_NE(old["advice"].get<std::string>().find("install a newer toolkit"), std::string::npos) << old;

  const auto gpu = find(examine(1, {{"LD_LIBRARY_PATH", driver},
                                    {"RTJIT_FAKE_CUDA_VERSION", "12020"},
                                    {"RTJIT_FAKE_CUDA_LOAD", "222"}}),
                        "GPU 0");
  EXPECT_EQ(gpu["state"], "problem");
  EXPECT_NE(gpu["found"].get<std::string>().find("does not run: driver_too_old: "), std::string::npos) << gpu;
  EXPECT_NE(gpu["found"].get<std::string>().find("one for CUDA 12.2, older than the compiler"),
            std::string::npos)
      << gpu;

  const auto tune =
      run({"tune", "gemm_fp8_block", "--problem", "n=64,k=128", "--target", "sm_89", "--tokens", "1"},
          {{"RTJIT_NVRTC", RTJIT_FAKE_LIBNVRTC}});
  EXPECT_EQ(tune.exit.code, 1);
  EXPECT_NE(tune.error_output.find("NVRTC is too old"), std::string::npos) << tune.error_output;
}

}  // namespace
}  // namespace rtjit
