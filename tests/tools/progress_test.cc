// What a long verb shows while it works: a bar with an ETA on a terminal, plain lines in a log.
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <regex>

#include "tests/tools/command_fixture.h"

namespace rtjit {
namespace {

class ProgressShown : public CommandTest {
 protected:
  std::vector<std::string> tune() const {
    return {"tune",     "scale_add", "--templates", RTJIT_SOURCE_DIR "/tests/data/templates/scale_add",
            "--target", "sm_120a",   "--tokens",    "1024"};
  }

  // All that the command writes to a terminal of so many columns.
  std::string on_terminal(std::vector<std::string> arguments, unsigned short columns) {
    arguments.insert(arguments.begin(), RTJIT_COMMAND);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const std::string cache = folder_ + "/terminal.db";
    winsize size{};
    size.ws_row = 24;
    size.ws_col = columns;
    int terminal = -1;
    const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
    if (child == 0) {
      setenv("RTJIT_CACHE", cache.c_str(), 1);
      execv(argv[0], argv.data());
      _exit(127);
    }
    EXPECT_GT(child, 0);
    std::string text;
    char buffer[4096];
    for (ssize_t got; (got = read(terminal, buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<size_t>(got));
    close(terminal);
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0) << text;
    return text;
  }
};

TEST_F(ProgressShown, ABarWithEtaThatFitsTheTerminal) {
  constexpr size_t kColumns = 76;
  const std::string text = on_terminal({"tune", "gemm_fp8_block", "--target", "sm_120a", "--problem",
                                        "n=64,k=128", "--tokens", "4", "--strategy", "exhaustive"},
                                       kColumns);
  const std::string begin = "\r\033[K";
  int drawn = 0;
  for (size_t at = text.find(begin); at != std::string::npos; at = text.find(begin, at + 1)) {
    const size_t from = at + begin.size();
    EXPECT_LT(text.find_first_of("\r\n", from) - from, kColumns);
    ++drawn;
  }
  EXPECT_GT(drawn, 5);
  EXPECT_TRUE(std::regex_search(text, std::regex(R"(compiling +\[#+\.+\] [0-9]+/42  ETA [0-9])"))) << text;
  EXPECT_TRUE(std::regex_search(text, std::regex(R"(compiling +\[#{28}\] 42/42  [0-9.]+ s)"))) << text;
}

TEST_F(ProgressShown, PlainLinesInALog) {
  const ProcessOutcome outcome = run(tune());
  EXPECT_TRUE(outcome.exit.ok());
  EXPECT_EQ(outcome.error_output.find_first_of("\r\033"), std::string::npos) << outcome.error_output;
  EXPECT_NE(outcome.error_output.find("compiling (9)\n"), std::string::npos) << outcome.error_output;
  EXPECT_NE(outcome.error_output.find("compiling done in"), std::string::npos) << outcome.error_output;
  EXPECT_NE(outcome.output.find("rejected of 17 configs: constraint 1\n"), std::string::npos)
      << outcome.output;
  EXPECT_NE(outcome.output.find("static 1"), std::string::npos) << outcome.output;

  std::vector<std::string> explain = tune();
  explain[0] = "explain";
  explain.push_back("--json");
  const ProcessOutcome explained = run(explain, {{"RTJIT_CACHE", folder_ + "/other.db"}});
  EXPECT_NE(explained.error_output.find("compiling (16)\n"), std::string::npos) << explained.error_output;
  EXPECT_EQ(nlohmann::json::parse(explained.output).size(), 17u);
  const ProcessOutcome again = run(explain, {{"RTJIT_CACHE", folder_ + "/other.db"}});
  EXPECT_EQ(again.error_output.find("compiling"), std::string::npos) << again.error_output;
}

}  // namespace
}  // namespace rtjit
