// Several GPUs in one process: a kernel of each launches on its own, and memory of another one is refused.
#include <atomic>
#include <thread>

#include "runtime/cuda_device.h"
#include "tests/device/cases/moe_test_case.h"
#include "tests/device/cuda_session.h"

namespace rtjit::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kGpusTokens = 64;

// One GPU with a kernel, its weights, and a stream.
struct OnGpu {
  std::shared_ptr<Context> context;
  std::unique_ptr<CaseOnDevice> on_device;
  std::unique_ptr<KernelHandle> handle;
  GuardedMemory workspace;
  StreamHandle stream = nullptr;

  Status launch() {
    return handle->launch(on_device->launch_arguments(), on_device->packed(), on_device->packed_bytes(),
                          workspace.data(), workspace.bytes(), stream);
  }
  Result<std::vector<unsigned char>> result() {
    if (Status s = context->device().synchronize(stream); !s) return s.error();
    return on_device->output();
  }
  ~OnGpu() {
    if (stream != nullptr) context->device().destroy_stream(stream);
  }
};

class GpusOnDevice : public CudaTest {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    for (int ordinal = 0; ordinal < 8; ++ordinal) {
      auto device = open_cuda_device(ordinal);
      if (!device) break;
      auto gpu = std::make_unique<OnGpu>();
      ContextOptions context;
      context.database = session().database;
      auto opened = Context::open(std::move(context), std::move(*device));
      ASSERT_TRUE(opened.ok()) << opened.error().message;
      gpu->context = *opened;
      gpus.push_back(std::move(gpu));
    }
    if (gpus.size() < 2) GTEST_SKIP() << "this machine has one GPU; the test needs two or more";
    for (auto& gpu : gpus) prepare(*gpu);
  }

  void prepare(OnGpu& gpu) {
    Device& device = gpu.context->device();
    auto created = CaseOnDevice::create(device, make_moe_case({.name = "gpus", .tokens = kGpusTokens}));
    ASSERT_TRUE(created.ok()) << created.error().message;
    gpu.on_device = std::move(*created);
    OpenOptions options;
    options.max_bucket = kGpusTokens;
    auto handle = KernelHandle::open(gpu.context, "moe_mxfp4", gpu.on_device->test().problem, options);
    ASSERT_TRUE(handle.ok()) << handle.error().message;
    gpu.handle = std::move(*handle);
    ASSERT_TRUE(gpu.on_device->pack(*gpu.handle).ok());
    auto workspace = GuardedMemory::allocate(device, *gpu.handle->workspace_bytes(kGpusTokens));
    ASSERT_TRUE(workspace.ok()) << workspace.error().message;
    gpu.workspace = std::move(*workspace);
    auto stream = device.create_stream();
    ASSERT_TRUE(stream.ok()) << stream.error().message;
    gpu.stream = *stream;
  }

  void expect_right(OnGpu& gpu, size_t ordinal) {
    auto output = gpu.result();
    ASSERT_TRUE(output.ok()) << ordinal << ": " << output.error().message;
    EXPECT_EQ(gpu.on_device->test().judge(*output).wrong, "") << ordinal;
  }

  std::vector<std::unique_ptr<OnGpu>> gpus;
};

TEST_F(GpusOnDevice, OneThreadLaunchesOnAllOfThem) {
  for (auto& gpu : gpus) {
    Status status = gpu->launch();
    ASSERT_TRUE(status.ok()) << status.error().message;
  }
  for (size_t i = 0; i < gpus.size(); ++i) expect_right(*gpus[i], i);
}

// Whichever GPU is current in the calling thread.
TEST_F(GpusOnDevice, ManyThreadsLaunchOnAllOfThem) {
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (size_t t = 0; t < gpus.size(); ++t) {
    threads.emplace_back([&, t] {
      (void)gpus[(t + 1) % gpus.size()]->context->device().make_current();
      for (int n = 0; n < 100; ++n) failures += !gpus[t]->launch().ok();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  for (size_t i = 0; i < gpus.size(); ++i) expect_right(*gpus[i], i);
}

TEST_F(GpusOnDevice, MemoryOfAnotherGpuIsRefused) {
  OnGpu &here = *gpus[0], &there = *gpus[1];
  std::vector<TensorArg> arguments = here.on_device->launch_arguments();
  const std::vector<TensorArg> others = there.on_device->launch_arguments();
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::vector<TensorArg> wrong = arguments;
    wrong[i].data = others[i].data;
    Status status = here.handle->launch(wrong, here.on_device->packed(), here.on_device->packed_bytes(),
                                        here.workspace.data(), here.workspace.bytes(), here.stream);
    ASSERT_FALSE(status.ok()) << arguments[i].name;
    EXPECT_EQ(status.error().code, ErrorCode::invalid_argument) << status.error().message;
    EXPECT_THAT(status.error().message, HasSubstr(std::string(arguments[i].name) + ": pointer "));
    EXPECT_THAT(status.error().message, HasSubstr("is memory of GPU 1, this kernel runs on GPU 0"));
  }
  Status status = here.handle->launch(arguments, here.on_device->packed(), here.on_device->packed_bytes(),
                                      there.workspace.data(), there.workspace.bytes(), here.stream);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("workspace"));
  ASSERT_TRUE(here.launch().ok());
  expect_right(here, 0);
}

}  // namespace
}  // namespace rtjit::testing
