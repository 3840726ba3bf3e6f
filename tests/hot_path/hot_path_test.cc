// What a launch must not do: allocate, lock, read the environment, call the kernel. The driver is a double
// that does none of these itself, so that whatever is seen is the library's.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mutex>
#include <thread>

#include "tests/hot_path/interposed.h"
#include "tests/runtime/fake_cuda_fixture.h"

namespace rtjit::testing {
namespace {

// From now on every system call of this process but the end of it ends it with SIGSYS.
bool forbid_system_calls() {
  sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  const sock_fprog program = {sizeof rules / sizeof rules[0], rules};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// Runs the body in a child that may not call the kernel. Its exit status; 128 and the signal's number after
// one.
template <typename Body>
int without_system_calls(Body&& body) {
  const pid_t child = fork();
  if (child == 0) {
    if (!forbid_system_calls()) _exit(77);
    _exit(body());
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

class HotPathTest : public FakeCudaTest {
 protected:
  void SetUp() override {
    FakeCudaTest::SetUp();
    widget = std::make_unique<WidgetOnGpu>(open_library(0), 200);
    // The first launches also ask the driver about addresses; they are watched in a test of their own.
    for (int i = 0; i < 20; ++i) ASSERT_EQ(widget->launch(), RTJIT_OK) << rtjit_last_error();
    ASSERT_EQ(widget->freeze(&frozen), RTJIT_OK) << rtjit_last_error();
    for (const rtjit_tensor& argument : widget->arguments) data.push_back(argument.data);
  }
  void TearDown() override {
    rtjit_frozen_free(frozen);
    widget.reset();
  }
  // All that an engine does per step.
  int launch_in_every_way(int times) {
    int failures = 0;
    for (int i = 0; i < times; ++i) {
      failures += widget->launch() != RTJIT_OK;
      failures += rtjit_frozen_launch(frozen, nullptr) != RTJIT_OK;
      failures += rtjit_frozen_launch_at(frozen, data.data(), data.size(), nullptr) != RTJIT_OK;
    }
    return failures;
  }
  std::unique_ptr<WidgetOnGpu> widget;
  rtjit_frozen* frozen = nullptr;
  std::vector<void*> data;
};

TEST_F(HotPathTest, ALaunchAllocatesLocksAndReadsNothing) {
  if (!can_watch()) GTEST_SKIP() << "the sanitizer has malloc and the mutexes";
  Watch watch;
  const int failures = launch_in_every_way(50);
  const Watched seen = watch.stop();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(seen.allocations, 0);
  EXPECT_EQ(seen.frees, 0);
  EXPECT_EQ(seen.locks, 0);
  EXPECT_EQ(seen.environment_reads, 0);
}

TEST_F(HotPathTest, NorDoesTheFirstLaunchOfAThread) {
  if (!can_watch()) GTEST_SKIP() << "the sanitizer has malloc and the mutexes";
  Watched seen;
  int failures = 0;
  std::thread([&] {
    (void)widget->device.is_capturing(nullptr);  // the double has thread-local variables of its own
    Watch watch;
    failures = launch_in_every_way(1);
    seen = watch.stop();
  }).join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(seen.allocations + seen.frees + seen.locks + seen.environment_reads, 0);
}

TEST_F(HotPathTest, TheWatchSeesThem) {
  if (!can_watch()) GTEST_SKIP() << "the sanitizer has malloc and the mutexes";
  std::mutex mutex;
  Watch watch;
  { const std::lock_guard lock(mutex); }
  auto* volatile text = new std::string(100, 'x');
  delete text;
  (void)getenv("HOME");
  const Watched seen = watch.stop();
  EXPECT_EQ(seen.locks, 1);
  EXPECT_EQ(seen.allocations, 2);
  EXPECT_EQ(seen.frees, 2);
  EXPECT_EQ(seen.environment_reads, 1);
}

TEST_F(HotPathTest, ALaunchCallsOnlyTheDriver) {
  if (!can_watch()) GTEST_SKIP() << "the sanitizer makes system calls of its own";
  EXPECT_EQ(without_system_calls([&] { return launch_in_every_way(1000); }), 0);
}

TEST_F(HotPathTest, ASystemCallWouldBeSeen) {
  EXPECT_EQ(without_system_calls([] { return static_cast<int>(syscall(SYS_getppid)) * 0; }), 128 + SIGSYS);
}

}  // namespace
}  // namespace rtjit::testing
