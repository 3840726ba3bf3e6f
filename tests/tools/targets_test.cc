#include <chrono>

#include "tests/tools/command_fixture.h"

namespace rtjit {
namespace {

class TargetsCommand : public CommandTest {};

TEST_F(TargetsCommand, ListsEveryTargetWithItsLimits) {
  const auto targets = json({"targets"});
  ASSERT_GE(targets.size(), 20u);
  for (const auto& target : targets) {
    if (target["target"] != "sm_121a") continue;
    EXPECT_EQ(target["smem_per_block"], 101376);
    EXPECT_EQ(target["features"]["tma.tile.scatter4"], false);
    return;
  }
  FAIL() << "sm_121a is missing";
}

TEST_F(TargetsCommand, ShowsOneTarget) {
  const auto outcome = run({"targets", "sm_100a"});
  EXPECT_TRUE(outcome.exit.ok());
  EXPECT_NE(outcome.output.find("232,448 B per block"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("tma.tile.scatter4"), std::string::npos);
}

TEST_F(TargetsCommand, AnUnknownTargetIsAnErrorThatListsTheKnownOnes) {
  for (const char* name : {"sm_99", "banana"}) {
    const auto outcome = run({"targets", name});
    EXPECT_EQ(outcome.exit.code, 2);
    EXPECT_EQ(outcome.output, "");
    EXPECT_NE(outcome.error_output.find(name), std::string::npos);
    EXPECT_NE(outcome.error_output.find("sm_121a"), std::string::npos) << outcome.error_output;
  }
}

TEST_F(TargetsCommand, ProbeAgreesWithTheBuiltInTable) {
  const auto started = std::chrono::steady_clock::now();
  const auto report = json({"targets", "--probe"});
  EXPECT_TRUE(report["differences"].empty()) << report["differences"];
  EXPECT_EQ(report["from_cache"], false);
  EXPECT_GE(report["cells"].size(), 40u);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  RecordProperty("seconds", std::to_string(seconds));
  EXPECT_EQ(json({"targets", "--probe"})["from_cache"], true);
}

}  // namespace
}  // namespace rtjit
