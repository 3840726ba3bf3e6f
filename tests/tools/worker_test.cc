// The measuring worker on its own: what `tune` starts.
#include <gmock/gmock.h>

#include "tests/tools/command_fixture.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

class WorkerCommand : public CommandTest {
 protected:
  // What it answers to one line.
  nlohmann::json ask(const std::vector<std::string>& options, const std::string& line) {
    ProcessOptions process;
    process.arguments = {RTJIT_COMMAND, "worker"};
    process.arguments.insert(process.arguments.end(), options.begin(), options.end());
    auto outcome = run_process(process, Milliseconds(60'000), line + "\n");
    EXPECT_TRUE(outcome.ok()) << (outcome.ok() ? "" : outcome.error().message);
    if (!outcome.ok()) return nullptr;
    EXPECT_TRUE(outcome->exit.ok()) << outcome->exit.describe();
    return nlohmann::json::parse(outcome->output, nullptr, false);
  }
};

TEST_F(WorkerCommand, StandsInForAGpu) {
  const nlohmann::json answer = ask({"--emulate", "sm_90a"}, R"({"op":"hello","device":0})");
  EXPECT_EQ(answer["ok"], true) << answer;
  EXPECT_EQ(answer["target"], "sm_90a");
  EXPECT_EQ(answer["emulated"], true);
}

TEST_F(WorkerCommand, RefusesATargetThatItDoesNotKnow) {
  const nlohmann::json answer = ask({"--emulate", "sm_1"}, R"({"op":"hello","device":0})");
  EXPECT_EQ(answer["ok"], false) << answer;
  EXPECT_THAT(answer["message"].get<std::string>(), HasSubstr("sm_1"));
}

TEST_F(WorkerCommand, AnswersWhatItCannotRead) {
  EXPECT_EQ(ask({"--emulate", "sm_90a"}, "nonsense")["ok"], false);
  EXPECT_EQ(ask({"--emulate", "sm_90a"}, R"({"op":"probe","binary":"x"})")["message"],
            "the worker has no device yet");
}

}  // namespace
}  // namespace rtjit
