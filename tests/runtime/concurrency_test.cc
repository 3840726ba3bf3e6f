// Many threads on one library, and captures beside threads that open kernels: what the preset `tsan` is for.
#include <thread>

#include "tests/runtime/fake_cuda_fixture.h"

namespace rtjit::testing {
namespace {

class ConcurrencyTest : public FakeCudaTest {};

TEST_F(ConcurrencyTest, SixteenThreadsOpenFindFreezeRefreshAndLaunch) {
  fake->record = false;
  WidgetOnGpu widget(open_library(0), 5);
  constexpr int kThreads = 16, kRounds = 4, kLaunches = 25;
  std::atomic<int> failures{0}, launches{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const auto expect = [&](bool good) { failures += !good; };
      for (int round = 0; round < kRounds; ++round) {
        rtjit_kernel *own = nullptr, *found = nullptr;
        const std::string problem = fmt::format("width={}", t % 2 == 0 ? 64 : 128);
        expect(rtjit_kernel_open(widget.library, "widget", problem.c_str(), nullptr, &own) == RTJIT_OK);
        expect(rtjit_kernel_find(widget.library, "widget", problem.c_str(), &found) == RTJIT_OK);
        rtjit_kernel_close(found);
        rtjit_frozen* frozen = nullptr;
        expect(widget.freeze(&frozen) == RTJIT_OK);
        if (t % 4 == 1) expect(rtjit_kernel_refresh(widget.kernel) == RTJIT_OK);
        for (int i = 0; i < kLaunches; ++i) {
          expect(widget.launch() == RTJIT_OK);
          expect(rtjit_frozen_launch(frozen, nullptr) == RTJIT_OK);
          launches += 4;
          expect(rtjit_kernel_provenance(widget.kernel, i)[0] != '\0');
        }
        // An error of this thread stays this thread's.
        size_t bytes = 0;
        expect(rtjit_kernel_workspace_size(own, -1 - t, &bytes) == RTJIT_INVALID_ARGUMENT);
        std::this_thread::yield();
        expect(std::string(rtjit_last_error()) == fmt::format("tokens: {}, allowed is 0 or more", -1 - t));
        rtjit_frozen_free(frozen);
        rtjit_kernel_close(own);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(fake->launches_on[0], launches + 1);  // and one that packed
}

// A program that captures globally (CUDA's default) forbids other threads to allocate or to load modules.
// Opening and refreshing kernels must not break its capture, nor fail.
TEST_F(ConcurrencyTest, ACaptureSurvivesThreadsThatOpenKernels) {
  fake->record = false;
  WidgetOnGpu widget(open_library(0), 5);
  ASSERT_EQ(widget.launch(), RTJIT_OK) << rtjit_last_error();
  void* driver = ::dlopen(RTJIT_FAKE_LIBCUDA, RTLD_NOW);
  const auto begin = reinterpret_cast<int (*)(void*, int)>(::dlsym(driver, "cuStreamBeginCapture_v2"));
  const auto end = reinterpret_cast<int (*)(void*, void**)>(::dlsym(driver, "cuStreamEndCapture"));
  std::atomic<bool> stop{false};
  std::atomic<int> opened{0}, failures{0};
  std::thread opener([&] {
    while (!stop) {
      rtjit_kernel* kernel = nullptr;
      failures += rtjit_kernel_open(widget.library, "widget", "width=128", nullptr, &kernel) != RTJIT_OK;
      failures += rtjit_kernel_refresh(widget.kernel) != RTJIT_OK;
      auto block = widget.device.allocate(64);
      failures += !block.ok();
      if (block.ok()) widget.device.free(*block);
      rtjit_kernel_close(kernel);
      ++opened;
    }
  });
  int stream = 0, captured = 0;
  for (int modes = 0; modes < 2 || opened < 3; ++modes) {
    ASSERT_EQ(begin(&stream, modes % 2), 0);  // global, thread-local
    const int before = opened;
    for (int i = 0; i < 100; ++i) ASSERT_EQ(widget.launch(&stream), RTJIT_OK) << rtjit_last_error();
    rtjit_frozen* frozen = nullptr;
    ASSERT_EQ(widget.freeze(&frozen, &stream), RTJIT_OK) << rtjit_last_error();
    ASSERT_EQ(rtjit_frozen_launch(frozen, &stream), RTJIT_OK);
    while (opened < before + 2) std::this_thread::yield();  // a whole opening fell into the capture
    void* graph = nullptr;
    EXPECT_EQ(end(&stream, &graph), 0) << "the capture was broken";
    EXPECT_EQ(fake->captured_launches, 202);
    rtjit_frozen_free(frozen);
    ++captured;
  }
  stop = true;
  opener.join();
  EXPECT_EQ(failures, 0);
  EXPECT_GE(captured, 2);
}

// The double does break captures: otherwise the test above could not fail.
TEST_F(ConcurrencyTest, TheDoubleBreaksCapturesAsTheDriverDoes) {
  WidgetOnGpu widget(open_library(0), 5);
  void* driver = ::dlopen(RTJIT_FAKE_LIBCUDA, RTLD_NOW);
  const auto begin = reinterpret_cast<int (*)(void*, int)>(::dlsym(driver, "cuStreamBeginCapture_v2"));
  const auto end = reinterpret_cast<int (*)(void*, void**)>(::dlsym(driver, "cuStreamEndCapture"));
  int stream = 0;
  void* graph = nullptr;
  ASSERT_EQ(begin(&stream, 0), 0);
  std::thread([&] { EXPECT_FALSE(widget.device.synchronize(nullptr).ok()); }).join();
  EXPECT_EQ(end(&stream, &graph), 901);
}

TEST_F(ConcurrencyTest, NoLaunchWaitsForTheDevice) {
  WidgetOnGpu widget(open_library(0), 5);
  rtjit_frozen* frozen = nullptr;
  const int waits = fake->synchronizations;
  ASSERT_EQ(widget.freeze(&frozen), RTJIT_OK) << rtjit_last_error();
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(widget.launch(), RTJIT_OK);
    ASSERT_EQ(rtjit_frozen_launch(frozen, nullptr), RTJIT_OK);
  }
  EXPECT_EQ(fake->synchronizations, waits);
  rtjit_frozen_free(frozen);
}

}  // namespace
}  // namespace rtjit::testing
