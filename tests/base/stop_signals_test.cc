#include "base/stop_signals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace rtjit {
namespace {

// How a process ends that is sent `signals`, having let some library put a handler of its own in place.
int end_after(int signals) {
  const pid_t child = ::fork();
  if (child == 0) {
    const std::atomic<bool>* stop = stop_on_signals();
    ::signal(SIGINT, [](int) { ::_exit(4); });  // as NVRTC does while it compiles
    for (int i = 0; i < signals; ++i) {
      ::kill(::getpid(), SIGINT);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    for (int i = 0; i < 1000 && !stop->load(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ::_exit(stop->load() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(StopSignals, TheFirstSetsTheFlagWhateverHandlerALibraryInstalls) { EXPECT_EQ(end_after(1), 0); }

TEST(StopSignals, TheSecondEndsTheProcess) { EXPECT_EQ(end_after(2), 128 + SIGINT); }

}  // namespace
}  // namespace rtjit
