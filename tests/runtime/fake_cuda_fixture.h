// Libraries on the GPUs of the driver's double, with the templates of this folder: the C interface as an
// engine has it.
#pragma once

#include <dlfcn.h>

#include <memory>
#include <string>
#include <vector>

#include "rtjit.h"
#include "runtime/c_api_objects.h"
#include "runtime/cuda_device.h"
#include "tests/runtime/fake_libcuda/fake_libcuda.h"
#include "tests/runtime/fixture.h"

namespace rtjit::testing {

class FakeCudaTest : public RuntimeTest {
 protected:
  void SetUp() override {
    void* library = ::dlopen(RTJIT_FAKE_LIBCUDA, RTLD_NOW);
    ASSERT_NE(library, nullptr) << ::dlerror();
    fake = reinterpret_cast<FakeCuda* (*)()>(::dlsym(library, "fake_cuda"))();
    reinterpret_cast<void (*)()>(::dlsym(library, "fake_cuda_reset"))();
  }
  // All on one database, so that what one of them compiled the others find. Owned by the test.
  rtjit_library* open_library(int ordinal) {
    auto driver = cuda::Driver::open(RTJIT_FAKE_LIBCUDA);
    EXPECT_TRUE(driver.ok());
    auto opened = open_cuda_device(*driver, ordinal);
    EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : opened.error().message);
    auto context_options = options(folder_.file("cache.db"));
    context_options.log = [](LogLevel, const std::string&) {};  // from several threads
    auto context = Context::open(std::move(context_options), std::move(*opened));
    EXPECT_TRUE(context.ok()) << (context.ok() ? "" : context.error().message);
    return make_library(*context);
  }
  FakeCuda* fake = nullptr;

 private:
  TemporaryFolder folder_;
};

inline rtjit_tensor c_tensor(const char* name, void* data, rtjit_dtype dtype, std::vector<int64_t> shape) {
  rtjit_tensor result{};
  result.name = name;
  result.data = data;
  result.dtype = dtype;
  result.rank = static_cast<int32_t>(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) result.shape[i] = shape[i];
  return result;
}

// The template widget on one GPU with memory of its own.
struct WidgetOnGpu {
  WidgetOnGpu(rtjit_library* opened, int64_t tokens) : library(opened), device(opened->context->device()) {
    EXPECT_EQ(rtjit_kernel_open(library, "widget", "width=64", nullptr, &kernel), RTJIT_OK)
        << rtjit_last_error();
    const rtjit_tensor w = c_tensor("w", allocate(2048), RTJIT_U8, {64, 32});
    packed = allocate(2048);
    workspace = allocate(kWorkspaceBytes);
    EXPECT_EQ(rtjit_kernel_pack_weights(kernel, &w, 1, packed, 2048, nullptr, &weights), RTJIT_OK)
        << rtjit_last_error();
    arguments = {c_tensor("x", allocate(1 << 16), RTJIT_BF16, {tokens, 64}),
                 c_tensor("ids", allocate(1 << 16), RTJIT_I32, {tokens, 2}),
                 c_tensor("out", allocate(1 << 16), RTJIT_F32, {tokens, 64})};
  }
  ~WidgetOnGpu() {
    rtjit_weights_free(weights);
    for (DevicePtr block : blocks) device.free(block);
    rtjit_kernel_close(kernel);
    rtjit_library_close(library);
  }
  void* allocate(size_t bytes) {
    auto block = device.allocate(bytes);
    EXPECT_TRUE(block.ok());
    blocks.push_back(*block);
    return reinterpret_cast<void*>(*block);
  }
  rtjit_status launch(void* stream = nullptr) {
    return rtjit_kernel_launch(kernel, weights, arguments.data(), arguments.size(), workspace,
                               kWorkspaceBytes, stream);
  }
  rtjit_status freeze(rtjit_frozen** frozen, void* stream = nullptr) {
    return rtjit_kernel_freeze(kernel, weights, arguments.data(), arguments.size(), workspace,
                               kWorkspaceBytes, stream, frozen);
  }
  static constexpr size_t kWorkspaceBytes = 1 << 16;
  rtjit_library* library;
  Device& device;
  rtjit_kernel* kernel = nullptr;
  rtjit_weights* weights = nullptr;
  void *packed = nullptr, *workspace = nullptr;
  std::vector<rtjit_tensor> arguments;
  std::vector<DevicePtr> blocks;
};

}  // namespace rtjit::testing
