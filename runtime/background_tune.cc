#include "runtime/background_tune.h"

#include <pthread.h>
#include <signal.h>

#include "runtime/miss_tune.h"

namespace rtjit {

BackgroundTune::BackgroundTune(std::shared_ptr<const Context> context, std::shared_ptr<const Template> tmpl,
                               Problem problem, std::vector<int64_t> buckets) {
  // The program's signals are for its own threads: a thread inherits the mask of the one that starts it.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // The child dies with the thread that starts it, so that this one must live as long as the child.
  thread_ = std::thread([this, context = std::move(context), tmpl = std::move(tmpl),
                         problem = std::move(problem), buckets = std::move(buckets)] {
    const Status status = tune_on_miss(*context, *tmpl, problem, buckets, &stop_);
    if (status) {
      context->log(
          LogLevel::info,
          fmt::format("{}: tuned in the background; the next freeze or refresh takes it over", tmpl->name));
    } else if (status.error().code != ErrorCode::cancelled) {
      context->log(LogLevel::warning,
                   fmt::format("{}: tuning in the background failed, the configs of the start stay: {}",
                               tmpl->name, status.error().message));
    }
    news_.store(status.ok(), std::memory_order_release);
    running_.store(false, std::memory_order_release);
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

BackgroundTune::~BackgroundTune() {
  stop_ = true;
  thread_.join();
}

}  // namespace rtjit
