// Several GPUs in one process: each library launches on its own, and memory of another one is an error, not a
// fault.
#include <thread>

#include "tests/runtime/fake_cuda_fixture.h"

namespace rtjit::testing {
namespace {

using ::testing::HasSubstr;

class GpusTest : public FakeCudaTest, public ::testing::WithParamInterface<int> {
 protected:
  void open_all() {
    fake->device_count = GetParam();
    for (int i = 0; i < GetParam(); ++i) gpus.push_back(std::make_unique<WidgetOnGpu>(open_library(i), 5));
    for (auto& count : fake->launches_on) count = 0;
  }
  std::vector<std::unique_ptr<WidgetOnGpu>> gpus;
};

TEST_P(GpusTest, EachKernelLaunchesOnItsOwnGpu) {
  open_all();
  for (int i = 0; i < GetParam(); ++i) {
    for (int n = 0; n <= i; ++n)
      EXPECT_EQ(gpus[static_cast<size_t>(i)]->launch(), RTJIT_OK) << rtjit_last_error();
  }
  for (int i = 0; i < GetParam(); ++i) EXPECT_EQ(fake->launches_on[i], 2 * (i + 1)) << i;
  EXPECT_EQ(fake->pushes, fake->pops) << "the caller's context is what it was";
}

TEST_P(GpusTest, FrozenLaunchesToo) {
  open_all();
  std::vector<rtjit_frozen*> frozen(gpus.size());
  for (size_t i = 0; i < gpus.size(); ++i)
    ASSERT_EQ(gpus[i]->freeze(&frozen[i]), RTJIT_OK) << rtjit_last_error();
  for (rtjit_frozen* launch : frozen) {
    EXPECT_EQ(rtjit_frozen_launch(launch, nullptr), RTJIT_OK) << rtjit_last_error();
    rtjit_frozen_free(launch);
  }
  for (int i = 0; i < GetParam(); ++i) EXPECT_EQ(fake->launches_on[i], 2) << i;
}

// An engine with a thread per GPU, and one that drives all of them from whatever thread is free.
TEST_P(GpusTest, FromAnyThread) {
  open_all();
  fake->record = false;
  constexpr int kRounds = 50;
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      // This thread has another GPU current, as a framework might leave it.
      (void)gpus[static_cast<size_t>(t) % gpus.size()]->device.make_current();
      for (int n = 0; n < kRounds; ++n) {
        for (auto& gpu : gpus) failures += gpu->launch() != RTJIT_OK;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  for (int i = 0; i < GetParam(); ++i) EXPECT_EQ(fake->launches_on[i], 4 * kRounds * 2) << i;
}

TEST_P(GpusTest, MemoryOfAnotherGpuIsNamed) {
  open_all();
  WidgetOnGpu &here = *gpus[0], &there = *gpus.back();
  const int other = GetParam() - 1;
  const std::string wrong = fmt::format(" is memory of GPU {}, this kernel runs on GPU 0", other);
  const auto expect_refused = [&](const std::string& name) {
    EXPECT_EQ(here.launch(), RTJIT_INVALID_ARGUMENT);
    EXPECT_THAT(rtjit_last_error(), HasSubstr(name + ": pointer "));
    EXPECT_THAT(rtjit_last_error(), HasSubstr(wrong));
    rtjit_frozen* frozen = nullptr;
    EXPECT_EQ(here.freeze(&frozen), RTJIT_INVALID_ARGUMENT);
    EXPECT_THAT(rtjit_last_error(), HasSubstr(name + ": pointer "));
    EXPECT_EQ(frozen, nullptr);
  };
  std::swap(here.arguments[1].data, there.arguments[1].data);
  expect_refused("ids");
  std::swap(here.arguments[1].data, there.arguments[1].data);
  std::swap(here.workspace, there.workspace);
  expect_refused("workspace");
  std::swap(here.workspace, there.workspace);
  std::swap(here.weights, there.weights);
  expect_refused("packed weights");
  std::swap(here.weights, there.weights);

  const rtjit_tensor w = c_tensor("w", there.allocate(2048), RTJIT_U8, {64, 32});
  rtjit_weights* packed = nullptr;
  EXPECT_EQ(rtjit_kernel_pack_weights(here.kernel, &w, 1, here.packed, 2048, nullptr, &packed),
            RTJIT_INVALID_ARGUMENT);
  EXPECT_THAT(rtjit_last_error(), HasSubstr("w: pointer "));
  EXPECT_EQ(rtjit_weights_adopt(here.kernel, rtjit_kernel_layout(here.kernel), there.packed, 2048, &packed),
            RTJIT_INVALID_ARGUMENT);
  EXPECT_THAT(rtjit_last_error(), HasSubstr(wrong));
  EXPECT_EQ(fake->launches_on[0], 0);
  EXPECT_EQ(here.launch(), RTJIT_OK) << rtjit_last_error();
}

TEST_P(GpusTest, HostMemoryIsRefusedWhereKernelsCannotReachIt) {
  open_all();
  alignas(256) static char host[1 << 16];
  gpus[0]->arguments[2].data = host;
  EXPECT_EQ(gpus[0]->launch(), RTJIT_INVALID_ARGUMENT);
  EXPECT_THAT(rtjit_last_error(), HasSubstr("out: pointer "));
  EXPECT_THAT(rtjit_last_error(), HasSubstr("is no memory that the CUDA driver knows; allocate it on GPU 0"));
  gpus.clear();
  fake->pageable_memory_access = 1;
  WidgetOnGpu coherent(open_library(0), 5);
  coherent.arguments[2].data = host;
  EXPECT_EQ(coherent.launch(), RTJIT_OK) << rtjit_last_error();
}

INSTANTIATE_TEST_SUITE_P(TwoAndFour, GpusTest, ::testing::Values(2, 4));

}  // namespace
}  // namespace rtjit::testing
