#include "compiler/compile_pool.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "tests/compiler/nvrtc_fixture.h"
#include "tests/compiler/request_fixture.h"

namespace rtjit {
namespace {

using namespace std::chrono_literals;
using Future = std::shared_future<Result<CompileOutcome>>;

CompileRequest quick_request(int number) {
  return make_request("template <int N> __global__ void add(int* p) { *p += N; }",
                      "add<" + std::to_string(number) + ">");
}

class Pool : public NvrtcTest {};

TEST_F(Pool, CompilesManyRequests) {
  CompilePool pool(nvrtc_, 3);
  EXPECT_EQ(pool.threads(), 3);
  EXPECT_EQ(&pool.nvrtc(), nvrtc_.get());
  std::vector<Future> futures;
  for (int i = 0; i < 30; ++i) futures.push_back(pool.submit(quick_request(i)));
  for (int i = 0; i < 30; ++i) {
    const Result<CompileOutcome>& outcome = futures[i].get();
    ASSERT_TRUE(outcome.ok() && outcome->binary) << i;
    EXPECT_EQ(outcome->binary->kernels[0].name_expression, "add<" + std::to_string(i) + ">");
  }
}

int threads_at_nice(int nice) {
  int count = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    const auto id = static_cast<id_t>(std::stoul(task.path().filename().string()));
    count += getpriority(PRIO_PROCESS, id) == nice;
  }
  return count;
}

TEST_F(Pool, InTheBackgroundItsThreadsGiveWay) {
  const int usual = getpriority(PRIO_PROCESS, 0);
  const int background = std::min(usual + 10, 19), before = threads_at_nice(background);
  CompilePool pool(nvrtc_, 3, CompilePool::Priority::background);
  std::vector<Future> futures;
  for (int i = 0; i < 12; ++i) futures.push_back(pool.submit(quick_request(i)));
  for (const Future& future : futures) EXPECT_NE(future.get()->binary, nullptr);
  EXPECT_EQ(threads_at_nice(background), before + 3);
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), usual) << "and nobody else's";
}

TEST_F(Pool, EqualRequestsShareOneCompile) {
  CompilePool pool(nvrtc_, 2);
  Future blocker_a = pool.submit(slow_request(9)), blocker_b = pool.submit(slow_request(10));
  std::vector<Future> futures;
  for (int i = 0; i < 20; ++i) futures.push_back(pool.submit(quick_request(1)));
  std::set<const Binary*> binaries;
  for (const Future& future : futures) binaries.insert(future.get()->binary.get());
  EXPECT_EQ(binaries.size(), 1u);
  EXPECT_NE(*binaries.begin(), nullptr);
}

TEST_F(Pool, RejectsTravelThroughTheFuture) {
  CompilePool pool(nvrtc_, 1);
  EXPECT_EQ(pool.submit(make_request("__global__ void k() { nonsense; }", "k")).get()->reject.kind,
            "compile");
  EXPECT_FALSE(pool.submit(make_request("#include \"gone.cuh\"", "k")).get().ok());
}

TEST_F(Pool, CancelPendingAnswersWhatHasNotStarted) {
  CompilePool pool(nvrtc_, 1);
  Future running = pool.submit(slow_request(11));
  while (running.wait_for(0s) != std::future_status::ready) {
    Future waiting = pool.submit(quick_request(5));
    pool.cancel_pending();
    const Result<CompileOutcome>& outcome = waiting.get();
    if (!outcome) {
      EXPECT_EQ(outcome.error().code, ErrorCode::cancelled);
      break;
    }
  }
  // A cancelled key can be asked for again.
  EXPECT_TRUE(pool.submit(quick_request(5)).get()->binary);
}

TEST_F(Pool, DestructionAnswersEveryFuture) {
  std::vector<Future> futures;
  {
    CompilePool pool(nvrtc_, 1);
    for (int i = 0; i < 40; ++i) futures.push_back(pool.submit(quick_request(1000 + i)));
  }
  int compiled = 0, cancelled = 0;
  for (const Future& future : futures) {
    ASSERT_EQ(future.wait_for(0s), std::future_status::ready);
    (future.get().ok() ? compiled : cancelled)++;
  }
  EXPECT_EQ(compiled + cancelled, 40);
  EXPECT_GT(cancelled, 0);
}

// A compile that would take hours: its future resolves at the limit, its thread is replaced, the pool's
// destructor does not wait for it, and the process ends with its own status while the compiler still runs. In
// a child process, which takes the hung thread with it.
class PoolHang : public Pool {
 protected:
  int run() {
    auto pool = std::make_unique<CompilePool>(nvrtc_, 2);
    CompileRequest hang = slow_request(20);
    hang.time_limit = 300ms;
    Future hung = pool->submit(hang), same = pool->submit(hang), next = pool->submit(quick_request(77));
    if (hung.get()->reject.reason != "timeout: compiling took longer than 300 ms") return 1;
    if (hung.get()->reject.kind != "timeout" || same.get()->reject.kind != "timeout") return 2;
    if (!next.get().ok() || !next.get()->binary) return 3;  // blocked behind the hung one, and started again
    for (int i = 0; i < 5; ++i)
      if (!pool->submit(quick_request(100 + i)).get()->binary) return 4;
    return 7;
  }
};

TEST_F(PoolHang, IsOneRejectedConfigAndDelaysNobody) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  for (int round = 0; round < 3; ++round) EXPECT_EXIT(std::exit(run()), testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace rtjit
