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
  EXPECT_NE(find(report, "cache")["found"].get<std::string>().find(folder_ + "/cache.db: 0 winners"), std::string::npos);
}

TEST_F(DoctorCommand, WhatIsWrongIsNamedWithAdvice) {
  const auto no_compiler = examine(1, {{"RTJIT_NVRTC", folder_ + "/none.so"}});
  EXPECT_EQ(find(no_compiler, "compiler")["state"], "problem");
  EXPECT_NE(find(no_compiler, "compiler")["advice"], "");
  EXPECT_EQ(find(no_compiler, "emulator")["state"], "note");

  const auto no_pack = examine(1, {{"RTJIT_PACKS", folder_ + "/none.rtpack"}});
  EXPECT_NE(find(no_pack, "pack")["found"].get<std::string>().find("none.rtpack: no such file"), std::string::npos);
  EXPECT_EQ(find(no_pack, "compiler")["state"], "ok");

  const auto no_keys = examine(1, {{"RTJIT_TRUST", folder_ + "/none.pub"}});
  EXPECT_EQ(find(no_keys, "trust")["state"], "problem");
}

}  // namespace
}  // namespace rtjit
