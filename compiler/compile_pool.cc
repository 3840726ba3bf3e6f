#include "compiler/compile_pool.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <new>
#include <thread>

#include "base/text.h"
#include "compiler/compile_clock.h"
#include "compiler/nvrtc.h"

namespace rtjit {
namespace {

using Outcome = Result<CompileOutcome>;

// One compile, shared by everyone who asked for its key.
struct Job {
  CompileRequest request;
  std::string key;
  std::promise<Outcome> promise;
  std::shared_future<Outcome> future;
  bool resolved = false;
};

// The compile itself stops at its limit when NVRTC can be interrupted; this much later its thread is given
// up.
constexpr std::chrono::milliseconds kGrace{100};

struct Worker {
  std::thread thread;
};

// One worker's attempt at a job. Made by the thread that compiles.
struct Run {
  std::shared_ptr<Job> job;
  std::shared_ptr<Worker> worker;
  std::shared_ptr<const Nvrtc> nvrtc;
  CompileClock clock;
  std::chrono::nanoseconds left() const { return clock.left(job->request.time_limit + kGrace); }
  bool given_up = false;  // its thread is stuck and has been replaced
};

// So that the watchdog does not spin while a compile that is nearly over its limit gets no processor.
constexpr std::chrono::nanoseconds kShortestSleep = std::chrono::milliseconds(2);

constexpr int kBackgroundNice = 10;  // more than the process's

// Every copy of NVRTC costs address space for good.
constexpr int kMaxCopies = 8;

Outcome timed_out(const Job& job) {
  CompileOutcome outcome;
  outcome.reject = {"timeout",
                    fmt::format("timeout: compiling took longer than {} ms",
                                with_thousands(job.request.time_limit.count())),
                    ""};
  return outcome;
}

}  // namespace

// Shared with the worker threads: one that hangs inside the compiler is detached; it keeps what it needs
// alive and delays nobody. All others are joined, so that none still runs its exit when the process ends.
struct CompilePool::State {
  std::shared_ptr<const Nvrtc> original;
  int threads = 1;
  Priority priority = Priority::normal;

  std::mutex mutex;
  std::condition_variable changed;
  std::shared_ptr<const Nvrtc> nvrtc;  // what new runs use
  int copies = 0;
  std::deque<std::shared_ptr<Job>> waiting;
  std::vector<std::shared_ptr<Run>> running;           // those not given up, in order of their start
  std::map<std::string, std::shared_ptr<Job>> by_key;  // not resolved
  std::vector<std::shared_ptr<Worker>> crew;           // those not given up, whether still at work or not
  int workers = 0;                                     // those not given up that are still at work
  std::thread watchdog;
  bool watching = false, stopping = false;

  // With the mutex held. Later answers of a job than the first are dropped.
  void resolve(Job& job, Outcome outcome) {
    if (job.resolved) return;
    job.resolved = true;
    by_key.erase(job.key);
    job.promise.set_value(std::move(outcome));
  }

  void cancel_waiting() {
    for (const std::shared_ptr<Job>& job : waiting)
      resolve(*job, make_error(ErrorCode::cancelled, "the compile was cancelled before it started"));
    waiting.clear();
  }

  static void start_worker(const std::shared_ptr<State>& state) {
    ++state->workers;
    std::shared_ptr<Worker> worker = state->crew.emplace_back(std::make_shared<Worker>());
    worker->thread = std::thread([state, worker] {
      // On Linux a thread's own; where it is refused, compiles are as important as everything else.
      [[maybe_unused]] const int now = state->priority == Priority::background ? nice(kBackgroundNice) : 0;
      work(*state, worker);
    });
  }

  static Outcome attempt(const Run& run) {
    try {
      return compile(*run.nvrtc, run.job->request);
    } catch (const std::bad_alloc&) {
      return make_error(ErrorCode::out_of_memory, "compiling {}: out of memory", run.job->request.source);
    }
  }

  static void work(State& state, const std::shared_ptr<Worker>& worker) {
    std::unique_lock lock(state.mutex);
    while (true) {
      state.changed.wait(lock, [&] { return state.stopping || !state.waiting.empty(); });
      if (state.waiting.empty()) break;
      auto run = std::make_shared<Run>();
      run->job = state.waiting.front();
      run->worker = worker;
      state.waiting.pop_front();
      if (run->job->resolved) continue;
      run->nvrtc = state.nvrtc;
      state.running.push_back(run);
      state.changed.notify_all();  // the watchdog has one more to watch
      lock.unlock();
      Outcome outcome = attempt(*run);
      lock.lock();
      bool timeout = outcome.ok() && outcome->reject.kind == "timeout";
      if (!run->given_up || !timeout) state.resolve(*run->job, std::move(outcome));
      if (run->given_up) return;  // replaced meanwhile
      std::erase(state.running, run);
      state.changed.notify_all();
    }
    --state.workers;
    state.changed.notify_all();
  }

  // The thread of `late` is stuck in the compiler's front end, which serves one at a time: whoever else is in
  // the same instance is stuck behind it. They start again in a fresh instance; only `late` is rejected.
  static void give_up(const std::shared_ptr<State>& state, const std::shared_ptr<Run>& late) {
    state->resolve(*late->job, timed_out(*late->job));
    bool renewed = false;
    if (state->nvrtc == late->nvrtc && state->copies < kMaxCopies) {
      Result<std::shared_ptr<const Nvrtc>> copy = state->original->fresh_copy();
      renewed = copy.ok();
      if (copy) state->nvrtc = *copy;
      state->copies += renewed;
    }
    std::vector<std::shared_ptr<Run>> stuck = {late};
    for (const std::shared_ptr<Run>& run : state->running) {
      if (run == late || run->nvrtc != late->nvrtc || !renewed) continue;
      stuck.push_back(run);
      state->waiting.push_front(run->job);
    }
    for (const std::shared_ptr<Run>& run : stuck) {
      run->given_up = true;
      run->worker->thread.detach();
      std::erase(state->crew, run->worker);
      std::erase(state->running, run);
      --state->workers;
      start_worker(state);
    }
  }

  // Gives up compiles that are over their limit.
  static void watch(const std::shared_ptr<State>& state) {
    std::unique_lock lock(state->mutex);
    while (!(state->stopping && state->workers == 0)) {
      auto next = std::min_element(state->running.begin(), state->running.end(),
                                   [](const auto& a, const auto& b) { return a->left() < b->left(); });
      if (next == state->running.end()) {
        state->changed.wait(lock);
      } else if (std::chrono::nanoseconds left = (*next)->left(); left.count() <= 0) {
        give_up(state, std::shared_ptr<Run>(*next));
        state->changed.notify_all();
      } else {
        state->changed.wait_for(lock, std::max(left, kShortestSleep));
      }
    }
    state->watching = false;
    state->changed.notify_all();
  }
};

CompilePool::CompilePool(std::shared_ptr<const Nvrtc> nvrtc, int threads, Priority priority)
    : state_(std::make_shared<State>()) {
  state_->priority = priority;
  state_->original = state_->nvrtc = std::move(nvrtc);
  state_->threads = threads > 0 ? threads : std::max(1u, std::thread::hardware_concurrency());
  std::lock_guard lock(state_->mutex);
  for (int i = 0; i < state_->threads; ++i) State::start_worker(state_);
  state_->watching = true;
  state_->watchdog = std::thread([state = state_] { State::watch(state); });
}

CompilePool::~CompilePool() {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->cancel_waiting();
  state_->changed.notify_all();
  state_->changed.wait(lock, [&] { return state_->workers == 0 && !state_->watching; });
  lock.unlock();  // all of them have left their loops
  for (const std::shared_ptr<Worker>& worker : state_->crew) worker->thread.join();
  state_->watchdog.join();
}

std::shared_future<Result<CompileOutcome>> CompilePool::submit(CompileRequest request) {
  auto job = std::make_shared<Job>();
  job->key = binary_key(request, state_->original->version());
  job->request = std::move(request);
  job->future = job->promise.get_future().share();
  std::lock_guard lock(state_->mutex);
  auto [place, is_new] = state_->by_key.emplace(job->key, job);
  if (is_new) {
    state_->waiting.push_back(job);
    state_->changed.notify_all();
  }
  return place->second->future;
}

void CompilePool::cancel_pending() {
  std::lock_guard lock(state_->mutex);
  state_->cancel_waiting();
}

int CompilePool::threads() const { return state_->threads; }
const Nvrtc& CompilePool::nvrtc() const { return *state_->original; }

}  // namespace rtjit
