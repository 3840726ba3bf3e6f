#include "base/stop_signals.h"

#include <pthread.h>
#include <signal.h>

#include <cstdlib>
#include <thread>

namespace rtjit {
namespace {

std::atomic<bool> stop_requested{false};  // as signals belong to the process, so does what they say

void on_signal(int signal) {
  if (stop_requested.exchange(true)) std::_Exit(128 + signal);
}

void wait_for(const sigset_t& signals) {
  while (true) {
    int signal = 0;
    if (::sigwait(&signals, &signal) == 0) on_signal(signal);
  }
}

}  // namespace

const std::atomic<bool>* stop_on_signals() {
  // For threads that were there before, or that unblock signals.
  ::signal(SIGINT, on_signal);
  ::signal(SIGTERM, on_signal);
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals] { wait_for(signals); }).detach();
  return &stop_requested;
}

}  // namespace rtjit
