#include <sys/resource.h>

#include <fstream>
#include <sstream>

#include "base/hash.h"
#include "tests/tools/command_fixture.h"

namespace rtjit {
namespace {

class TargetsCommand : public CommandTest {};

// Processor time of children that have ended: a busy machine does not make it longer.
double children_seconds() {
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

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
  const double before = children_seconds();
  const auto outcome = run({"targets", "--probe", "--json"});
  const auto report = nlohmann::json::parse(outcome.output);
  EXPECT_EQ(outcome.exit.code, report["differences"].empty() ? 0 : 1);
  EXPECT_EQ(report["from_cache"], false);
  EXPECT_GE(report["cells"].size(), 40u);
  const double seconds = children_seconds() - before;
  RecordProperty("seconds", std::to_string(seconds));
  EXPECT_GT(seconds, 0);
  EXPECT_LT(seconds, 20);
  EXPECT_EQ(nlohmann::json::parse(run({"targets", "--probe", "--json"}).output)["from_cache"], true);
  // The table is that of 13.0; another version may say otherwise.
  if (report["compiler"] != "nvrtc 13.0") GTEST_SKIP() << "this is " << report["compiler"];
  EXPECT_TRUE(report["differences"].empty()) << report["differences"];

  // An assembler that answers otherwise: its kept answer with one cell turned, sealed again.
  const std::string path = folder_ + "/features.txt";
  std::stringstream kept;
  kept << std::ifstream(path).rdbuf();
  std::string body = kept.str();
  body.resize(body.size() - 65);
  char& cell = body[body.find("\nsm_121a\t") + 9];
  cell = cell == 'x' ? '.' : 'x';
  std::ofstream(path) << body << sha256_hex(body) << "\n";
  const auto disagreeing = run({"targets", "--probe"});
  EXPECT_EQ(disagreeing.exit.code, 1);
  EXPECT_NE(disagreeing.output.find("the built-in table disagrees:\n  cp.async on sm_121a: "),
            std::string::npos)
      << disagreeing.output;
}

}  // namespace
}  // namespace rtjit
