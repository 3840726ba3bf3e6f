// Many ranks of one engine start at once on an empty cache.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>

#include "cache/key_locks.h"
#include "tests/runtime/fixture.h"

namespace rtjit::testing {
namespace {

constexpr int kFailed = -1;

class RanksTest : public RuntimeTest {
 protected:
  // Opens the kernel and tells how many configs this process compiled itself.
  int open_and_count(const std::string& database) {
    auto kernel = open_kernel(open_context(database), "widget", "width=64");
    if (kernel == nullptr || !warnings.empty()) return kFailed;
    int all = 0;
    for (const std::string& line : infos) {
      const size_t colon = line.find(": ");
      int compiled = 0;
      if (line.find("configs compiled here") != line.npos && std::sscanf(line.c_str() + colon, ": %d", &compiled) == 1)
        all += compiled;
    }
    return all;
  }

  // A rank as a process; its count comes through the pipe.
  pid_t start_rank(const std::string& database, int report) {
    const pid_t child = fork();
    if (child != 0) return child;
    const int count = open_and_count(database);
    const bool written = write(report, &count, sizeof count) == sizeof count;
    _exit(written && count >= 0 ? 0 : 1);
  }

  TemporaryFolder folder_;
};

TEST_F(RanksTest, SixteenThatMissTheSameBinariesCompileThemOnce) {
  int report[2];
  ASSERT_EQ(pipe(report), 0);
  const auto count_of = [&](int ranks, const std::string& database) {
    std::vector<pid_t> children;
    for (int i = 0; i < ranks; ++i) children.push_back(start_rank(database, report[1]));
    for (const pid_t child : children) {
      int status = 0;
      EXPECT_EQ(waitpid(child, &status, 0), child);
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    int all = 0;
    for (int i = 0; i < ranks; ++i) {
      int count = 0;
      EXPECT_EQ(read(report[0], &count, sizeof count), static_cast<ssize_t>(sizeof count));
      all += count;
    }
    return all;
  };
  const int alone = count_of(1, folder_.file("one.db"));
  EXPECT_GT(alone, 0);
  EXPECT_EQ(count_of(16, folder_.file("sixteen.db")), alone);
  close(report[0]);
  close(report[1]);
}

TEST_F(RanksTest, ALockDiesWithItsHolder) {
  auto store = Store::open({.path = folder_.file("cache.db")});
  ASSERT_TRUE(store.ok());
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t holder = fork();
  if (holder == 0) {
    auto own = Store::open({.path = folder_.file("cache.db")});
    const KeyLocks locks(**own, {"a", "b"}, std::chrono::seconds(5));
    if (!locks.held() || write(ready[1], "x", 1) != 1) _exit(1);
    while (true) pause();
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_FALSE(KeyLocks(**store, {"b"}, std::chrono::milliseconds(20)).held());
  EXPECT_TRUE(KeyLocks(**store, {"another key"}, std::chrono::milliseconds(20)).held());
  kill(holder, SIGKILL);
  waitpid(holder, nullptr, 0);
  EXPECT_TRUE(KeyLocks(**store, {"b", "a"}, std::chrono::seconds(5)).held());
  close(ready[0]);
  close(ready[1]);
}

TEST_F(RanksTest, WithoutAPlaceForLocksLifeGoesOn) {
  auto store = Store::open({.path = ":memory:"});
  ASSERT_TRUE(store.ok());
  EXPECT_FALSE(KeyLocks(**store, {"a"}, std::chrono::seconds(5)).held());
  EXPECT_GT(open_and_count(":memory:"), 0);
}

}  // namespace
}  // namespace rtjit::testing
