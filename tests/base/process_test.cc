#include "base/process.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <thread>

namespace rtjit {
namespace {

using namespace std::chrono_literals;

ProcessOptions shell(std::string script) { return {{"/bin/sh", "-c", std::move(script)}, {}, false}; }

TEST(Process, CollectsOutputErrorAndStatus) {
  auto outcome = run_process(shell("cat; echo two; echo three >&2; exit 3"), 10s, "one\n");
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->output, "one\ntwo\n");
  EXPECT_EQ(outcome->error_output, "three\n");
  EXPECT_EQ(outcome->exit.code, 3);
  EXPECT_EQ(outcome->exit.describe(), "exit status 3");
}

TEST(Process, NamesTheSignal) {
  auto outcome = run_process(shell("kill -SEGV $$"), 10s);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->exit.signal, SIGSEGV);
  EXPECT_NE(outcome->exit.describe().find("signal 11"), std::string::npos);
}

TEST(Process, MissingProgramIsAnErrorAtStart) {
  auto child = ChildProcess::start({{"/no/such/program"}, {}, false});
  ASSERT_FALSE(child.ok());
  EXPECT_EQ(child.error().code, ErrorCode::not_found);
  EXPECT_NE(child.error().message.find("/no/such/program"), std::string::npos);
}

TEST(Process, ProgramsAreFoundInThePath) {
  auto outcome = run_process({{"true"}, {}, false}, 10s);
  ASSERT_TRUE(outcome.ok());
  EXPECT_TRUE(outcome->exit.ok());
}

TEST(Process, EnvironmentIsAddedAndReplaced) {
  ::setenv("RTJIT_PROCESS_TEST", "old", 1);
  ProcessOptions options = shell("echo $RTJIT_PROCESS_TEST $HOME");
  options.environment = {{"RTJIT_PROCESS_TEST", "new"}, {"HOME", "/nowhere"}};
  auto outcome = run_process(options, 10s);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->output, "new /nowhere\n");
  options.environment.emplace_back("RTJIT_PROCESS_TEST", "newest");
  outcome = run_process(options, 10s);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->output, "newest /nowhere\n");
}

TEST(Process, TimeLimitKillsTheWholeGroup) {
  auto child = ChildProcess::start(shell("sleep 60 & echo $!; wait"));
  ASSERT_TRUE(child.ok());
  auto line = (*child)->read_line(10s);
  ASSERT_TRUE(line.ok());
  pid_t grandchild = std::stoi(*line);
  EXPECT_FALSE((*child)->wait(20ms).has_value());
  EXPECT_EQ((*child)->kill().signal, SIGKILL);
  // The grandchild is reaped by init (or stays a zombie without one): it must not run any longer.
  for (int i = 0; i < 200; ++i) {
    if (::kill(grandchild, 0) != 0 && errno == ESRCH) break;
    FILE* stat = ::fopen(("/proc/" + *line + "/stat").c_str(), "r");
    char state = 'Z';
    if (stat != nullptr) {
      if (::fscanf(stat, "%*d %*s %c", &state) != 1) state = 'Z';
      ::fclose(stat);
    }
    if (state == 'Z') break;
    ASSERT_LT(i, 199) << "the grandchild still runs";
    std::this_thread::sleep_for(10ms);
  }
}

TEST(Process, RunReportsTheTimeLimit) {
  auto start = std::chrono::steady_clock::now();
  auto outcome = run_process(shell("sleep 60"), 100ms);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().code, ErrorCode::timeout);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

TEST(Process, LinesBothWays) {
  auto child = ChildProcess::start(shell("while read line; do echo \"<$line>\"; done; printf rest"));
  ASSERT_TRUE(child.ok());
  for (const char* word : {"a", "b b", ""}) {
    ASSERT_TRUE((*child)->write(std::string(word) + "\n", 5s).ok());
    auto line = (*child)->read_line(5s);
    ASSERT_TRUE(line.ok());
    EXPECT_EQ(*line, "<" + std::string(word) + ">");
  }
  auto nothing = (*child)->read_line(20ms);
  ASSERT_FALSE(nothing.ok());
  EXPECT_EQ(nothing.error().code, ErrorCode::timeout);
  (*child)->close_input();
  auto rest = (*child)->read_line(5s);
  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(*rest, "rest");
  auto end = (*child)->read_line(5s);
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().code, ErrorCode::io);
  EXPECT_TRUE((*child)->wait(5s)->ok());
}

TEST(Process, WritingToAnEndedChildIsAnErrorNotASignal) {
  auto child = ChildProcess::start(shell("exit 0"));
  ASSERT_TRUE(child.ok());
  ASSERT_TRUE((*child)->wait(5s).has_value());
  Status written = (*child)->write(std::string(1 << 20, 'x'), 5s);
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().code, ErrorCode::io);
}

TEST(Process, LargeInputAndOutputDoNotBlockEachOther) {
  std::string input(3 << 20, 'y');
  auto outcome = run_process({{"cat"}, {}, false}, 20s, input);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->output, input);
}

TEST(Process, ManyErrorLinesKeepTheLastOnes) {
  auto outcome = run_process(shell("i=0; while [ $i -lt 9000 ]; do echo line $i >&2; i=$((i+1)); done"), 20s);
  ASSERT_TRUE(outcome.ok());
  EXPECT_LE(outcome->error_output.size(), size_t{64} << 10);
  EXPECT_NE(outcome->error_output.find("line 8999\n"), std::string::npos);
}

TEST(Process, TellsHowLongItGotNoProcessor) {
  std::ifstream own("/proc/self/schedstat");
  int64_t ran = 0;
  if (!(own >> ran)) GTEST_SKIP() << "this kernel keeps no /proc/PID/schedstat";
  auto idle = ChildProcess::start(shell("read line"));
  ASSERT_TRUE(idle.ok());
  // Two that want the same processor: each waits for half of the time.
  cpu_set_t before, one;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  int processor = 0;
  while (!CPU_ISSET(processor, &before)) ++processor;
  CPU_ZERO(&one);
  CPU_SET(processor, &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  auto first = ChildProcess::start(shell("while :; do :; done"));
  auto second = ChildProcess::start(shell("while :; do :; done"));
  ::sched_setaffinity(0, sizeof before, &before);
  ASSERT_TRUE(first.ok() && second.ok());
  const auto limit = std::chrono::steady_clock::now() + 30s;
  while (((*first)->starved() < 100ms || (*second)->starved() < 100ms) &&
         std::chrono::steady_clock::now() < limit) {
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_GE((*first)->starved(), 100ms);
  EXPECT_GE((*second)->starved(), 100ms);
  EXPECT_LT((*idle)->starved(), 100ms) << "waiting for something else";
}

TEST(Process, DiesWithTheThreadThatStartedIt) {
  std::unique_ptr<ChildProcess> child;
  std::thread([&] {
    auto started = ChildProcess::start(shell("sleep 60"));
    ASSERT_TRUE(started.ok());
    child = std::move(*started);
  }).join();
  auto exit = child->wait(5s);
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->signal, SIGKILL);
}

}  // namespace
}  // namespace rtjit
