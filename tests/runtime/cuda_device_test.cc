// The CUDA device on a double of the driver: what is called, in which order, and what each failure becomes.
#include "runtime/cuda_device.h"

#include <dlfcn.h>
#include <gmock/gmock.h>

#include "tests/runtime/fake_libcuda/fake_libcuda.h"

namespace rtjit {
namespace {

using testing::FakeCuda;
using ::testing::HasSubstr;

class CudaDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    void* library = ::dlopen(RTJIT_FAKE_LIBCUDA, RTLD_NOW);
    ASSERT_NE(library, nullptr) << ::dlerror();
    fake = reinterpret_cast<FakeCuda* (*)()>(::dlsym(library, "fake_cuda"))();
    reinterpret_cast<void (*)()>(::dlsym(library, "fake_cuda_reset"))();
  }
  std::unique_ptr<Device> open() {
    auto driver = cuda::Driver::open(RTJIT_FAKE_LIBCUDA);
    EXPECT_TRUE(driver.ok());
    auto device = open_cuda_device(*driver, 0);
    EXPECT_TRUE(device.ok()) << (device.ok() ? "" : device.error().message);
    return device.ok() ? std::move(*device) : nullptr;
  }
  Binary binary(const std::string& symbol = "kernel_symbol") {
    Binary result;
    result.key = "key";
    result.cubin = "cubin";
    result.compiler = "nvrtc 13.0";
    result.kernels.push_back({"kernel<1>", symbol, {}});
    return result;
  }
  FakeCuda* fake = nullptr;
};

TEST_F(CudaDeviceTest, NoDriverIsUnavailableWithAdvice) {
  auto driver = cuda::Driver::open("/no/such/libcuda.so.1");
  ASSERT_FALSE(driver.ok());
  EXPECT_EQ(driver.error().code, ErrorCode::unavailable);
  EXPECT_THAT(driver.error().message, HasSubstr("/no/such/libcuda.so.1"));
  EXPECT_THAT(driver.error().message, HasSubstr("install NVIDIA's driver"));
}

TEST_F(CudaDeviceTest, ADriverThatLacksFunctionsIsTooOld) {
  auto driver = cuda::Driver::open("libm.so.6");
  ASSERT_FALSE(driver.ok());
  EXPECT_EQ(driver.error().code, ErrorCode::driver_too_old);
  EXPECT_THAT(driver.error().message, HasSubstr("too old: it has no cuInit"));
  EXPECT_THAT(driver.error().message, HasSubstr("update NVIDIA's driver to 520 or later"));
}

// What goes wrong before anything runs: each cause has its own status, and says what to do.
TEST_F(CudaDeviceTest, EachReasonWhyAGpuCannotBeOpenedHasItsStatus) {
  const auto start = [&](int code) {
    fake->init_result = code;
    auto driver = cuda::Driver::open(RTJIT_FAKE_LIBCUDA);
    return driver.ok() ? Error{ErrorCode::internal, "it opened"} : driver.error();
  };
  const auto open_context = [&](int code) {
    fake->init_result = 0;
    fake->fail_context = code;
    auto device = open_cuda_device(*cuda::Driver::open(RTJIT_FAKE_LIBCUDA), 0);
    return device.ok() ? Error{ErrorCode::internal, "it opened"} : device.error();
  };
  for (int code : {36, 803, 804}) {
    EXPECT_EQ(start(code).code, ErrorCode::driver_too_old) << code;
    EXPECT_THAT(start(code).message, HasSubstr("update NVIDIA's driver")) << code;
  }
  EXPECT_EQ(start(802).code, ErrorCode::gpu_bad_state);
  EXPECT_THAT(start(802).message, HasSubstr("fabric manager"));
  EXPECT_EQ(start(34).code, ErrorCode::unavailable);
  for (int code : {46, 214, 700, 999}) {
    const Error error = open_context(code);
    EXPECT_EQ(error.code, ErrorCode::gpu_bad_state) << code;
    EXPECT_THAT(error.message, HasSubstr("opening a context on device 0")) << code;
    EXPECT_THAT(error.message, HasSubstr("nvidia-smi --gpu-reset")) << code;
    EXPECT_THAT(error.message, ::testing::Not(HasSubstr("start a new process"))) << code;
  }
  EXPECT_EQ(open_context(2).code, ErrorCode::out_of_memory);
}

TEST_F(CudaDeviceTest, NoGpuIsUnavailable) {
  fake->device_count = 0;
  fake->init_result = cuda::kNoDevice;
  auto driver = cuda::Driver::open(RTJIT_FAKE_LIBCUDA);
  ASSERT_TRUE(driver.ok());
  auto device = open_cuda_device(*driver, 0);
  ASSERT_FALSE(device.ok());
  EXPECT_EQ(device.error().code, ErrorCode::no_gpu);
  EXPECT_THAT(device.error().message, HasSubstr("no GPU"));
}

TEST_F(CudaDeviceTest, WrongOrdinalSaysWhichExist) {
  auto driver = cuda::Driver::open(RTJIT_FAKE_LIBCUDA);
  ASSERT_TRUE(driver.ok());
  auto device = open_cuda_device(*driver, 4);
  ASSERT_FALSE(device.ok());
  EXPECT_EQ(device.error().message, "device 4: there are 1 GPUs, ordinals 0 to 0");
}

TEST_F(CudaDeviceTest, ReadsAttributesAndFindsTheTarget) {
  auto device = open();
  ASSERT_NE(device, nullptr);
  const DeviceInfo& info = device->info();
  EXPECT_EQ(info.target.name(), "sm_90a");
  EXPECT_EQ(info.name, "Fake GPU");
  EXPECT_EQ(info.sm_count, 132);
  EXPECT_TRUE(info.disagreements.empty()) << info.disagreements[0];
  EXPECT_EQ(info.sku_fingerprint(), "sm_90a,sm=132,smem=232448,l2=62914560,bus=6144,mclk=3201");
  EXPECT_EQ(info.facts().sm_count, 132);
  EXPECT_THAT(info.driver_version, HasSubstr("13.0"));
  EXPECT_FALSE(info.emulated);
}

TEST_F(CudaDeviceTest, TheDeviceWinsOverTheTableAndSaysSo) {
  fake->smem_optin = 200000;
  auto device = open();
  ASSERT_NE(device, nullptr);
  EXPECT_EQ(device->info().limits.smem_per_block, 200000);
  EXPECT_EQ(device->info().facts().smem_per_block, 200000);
  ASSERT_EQ(device->info().disagreements.size(), 1u);
  EXPECT_THAT(device->info().disagreements[0],
              HasSubstr("the device reports 200,000, the table says 232,448"));
}

TEST(TargetForCapability, PrefersTheArchitectureSpecificTarget) {
  EXPECT_EQ(target_for_capability(8, 0)->name(), "sm_80");
  EXPECT_EQ(target_for_capability(9, 0)->name(), "sm_90a");
  EXPECT_EQ(target_for_capability(12, 1)->name(), "sm_121a");
  EXPECT_EQ(target_for_capability(12, 9)->name(), "sm_121");
  auto old = target_for_capability(3, 5);
  ASSERT_FALSE(old.ok());
  EXPECT_EQ(old.error().code, ErrorCode::unsupported);
  EXPECT_THAT(old.error().message, HasSubstr("3.5"));
}

TEST_F(CudaDeviceTest, LoadsEagerlyAndLaunchesWithAttributes) {
  auto device = open();
  ASSERT_NE(device, nullptr);
  auto module = device->load(binary());
  ASSERT_TRUE(module.ok());
  EXPECT_EQ(fake->function_loads, 1);
  auto kernel = (*module)->kernel("kernel_symbol");
  ASSERT_TRUE(kernel.ok());
  EXPECT_EQ((*kernel)->registers(), 40);
  EXPECT_EQ((*kernel)->local_bytes(), 16);
  EXPECT_EQ((*kernel)->max_blocks_per_sm(256, 0), 8);
  EXPECT_FALSE((*module)->kernel("other").ok());

  LaunchConfig config;
  config.grid = {4, 5, 6};
  config.block = {128, 1, 1};
  config.dynamic_smem = 77;
  int value = 0;
  void* arguments[] = {&value};
  ASSERT_TRUE(device->launch(**kernel, config, arguments, &value).ok());
  EXPECT_EQ(fake->attribute_count, 0u);
  EXPECT_EQ(fake->grid[2], 6u);
  EXPECT_EQ(fake->dynamic_smem, 77u);
  EXPECT_EQ(fake->stream, &value);
  config.cluster = {2, 1, 1};
  config.pdl = true;
  ASSERT_TRUE(device->launch(**kernel, config, arguments, nullptr).ok());
  EXPECT_EQ(fake->attribute_count, 2u);
  EXPECT_EQ(fake->cluster[0], 2u);
  EXPECT_EQ(fake->pdl, 1);
}

TEST_F(CudaDeviceTest, ALaunchNeitherWaitsNorChangesTheCallersContext) {
  auto device = open();
  ASSERT_NE(device, nullptr);
  auto module = device->load(binary());
  ASSERT_TRUE(module.ok());
  const Kernel* kernel = *(*module)->kernel("kernel_symbol");
  int waits = fake->synchronizations, pushes = fake->pushes;
  ASSERT_TRUE(device->launch(*kernel, {}, nullptr, nullptr).ok());
  EXPECT_EQ(fake->synchronizations, waits);
  EXPECT_EQ(fake->pushes, pushes + 1);  // no context was current
  EXPECT_EQ(fake->pops, fake->pushes);
  ASSERT_TRUE(device->make_current().ok());
  ASSERT_TRUE(device->launch(*kernel, {}, nullptr, nullptr).ok());
  EXPECT_EQ(fake->pushes, pushes + 1);  // it was current: nothing to change
}

TEST_F(CudaDeviceTest, SharedMemoryLimitIsRaisedNeverLoweredAndChecked) {
  auto device = open();
  ASSERT_NE(device, nullptr);
  auto module = device->load(binary());
  const Kernel* kernel = *(*module)->kernel("kernel_symbol");
  ASSERT_TRUE(device->prepare(*kernel, 100000).ok());
  EXPECT_EQ(fake->last_smem_limit, 100000);
  ASSERT_TRUE(device->prepare(*kernel, 50000).ok());
  EXPECT_EQ(fake->last_smem_limit, 100000);
  Status over = device->prepare(*kernel, 232448);  // 1,024 B are static
  ASSERT_FALSE(over.ok());
  EXPECT_EQ(over.error().code, ErrorCode::unsupported);
  EXPECT_EQ(over.error().message,
            "shared memory: kernel_symbol needs 233,472 B, Fake GPU allows 232,448 B per block");
}

TEST_F(CudaDeviceTest, FaultsAreTypedAndNamed) {
  auto device = open();
  ASSERT_NE(device, nullptr);
  auto module = device->load(binary());
  const Kernel* kernel = *(*module)->kernel("kernel_symbol");
  fake->fail_launch = 700;
  Status status = device->launch(*kernel, {}, nullptr, nullptr);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::device_fault);
  EXPECT_THAT(status.error().message, HasSubstr("CUDA_ERROR_ILLEGAL_ADDRESS (700): words of the driver"));
  EXPECT_THAT(status.error().message, HasSubstr("the CUDA context is lost"));
  fake->fail_launch = 701;
  EXPECT_EQ(device->launch(*kernel, {}, nullptr, nullptr).error().code, ErrorCode::unsupported);
  auto memory = device->allocate(size_t{1} << 40);
  ASSERT_FALSE(memory.ok());
  EXPECT_EQ(memory.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(memory.error().message, HasSubstr("allocating 1,099,511,627,776 B on Fake GPU"));
}

TEST_F(CudaDeviceTest, FailedLoadsKeepTheLog) {
  auto device = open();
  ASSERT_NE(device, nullptr);
  EXPECT_EQ(device->load(binary("missing")).error().code, ErrorCode::not_found);
  fake->fail_load = 209;
  auto module = device->load(binary());
  ASSERT_FALSE(module.ok());
  EXPECT_EQ(module.error().code, ErrorCode::unsupported);
  EXPECT_THAT(module.error().message, HasSubstr("the loader's log"));
  EXPECT_THAT(module.error().message, HasSubstr("made by nvrtc 13.0"));
}

// A driver of an earlier toolkit: no config of this compiler would load, which is no verdict on any of them.
TEST_F(CudaDeviceTest, ADriverOlderThanTheCompilerIsTooOld) {
  fake->version = 12020;
  auto device = open();
  ASSERT_NE(device, nullptr);
  for (int code : {200, 209, 222}) {
    fake->fail_load = code;
    auto module = device->load(binary());
    ASSERT_FALSE(module.ok());
    EXPECT_EQ(module.error().code, ErrorCode::driver_too_old) << code;
    EXPECT_THAT(module.error().message, HasSubstr("one for CUDA 12.2"));
    EXPECT_THAT(module.error().message, HasSubstr("update it"));
  }
  fake->fail_load = 2;
  EXPECT_EQ(device->load(binary()).error().code, ErrorCode::out_of_memory);
}

TEST_F(CudaDeviceTest, MemoryGraphsAndTiming) {
  auto device = open();
  ASSERT_NE(device, nullptr);
  auto memory = device->allocate(0);
  ASSERT_TRUE(memory.ok());
  device->free(*memory);
  memory = device->allocate(16);
  ASSERT_TRUE(device->fill(*memory, 7, 16, nullptr).ok());
  char bytes[16] = {};
  ASSERT_TRUE(device->copy_to_host(bytes, *memory, 16).ok());
  EXPECT_EQ(bytes[15], 7);
  ASSERT_TRUE(device->copy_to_device(*memory, "0123456789abcde", 16).ok());
  ASSERT_TRUE(device->copy_to_host(bytes, *memory, 16).ok());
  EXPECT_STREQ(bytes, "0123456789abcde");
  device->free(*memory);

  auto module = device->load(binary());
  const Kernel* kernel = *(*module)->kernel("kernel_symbol");
  auto record = [&](StreamHandle stream) { return device->launch(*kernel, {}, nullptr, stream); };
  auto graph = device->capture(record);
  ASSERT_TRUE(graph.ok());
  EXPECT_EQ(fake->captures, 1);
  EXPECT_EQ(fake->launches, 1);
  ASSERT_TRUE((*graph)->replay(nullptr).ok());
  EXPECT_EQ(fake->graph_launches, 1);
  auto ms = device->elapsed_ms(nullptr, record);
  ASSERT_TRUE(ms.ok());
  EXPECT_DOUBLE_EQ(*ms, 1.5);
  auto failing = [](StreamHandle) { return Status(make_error(ErrorCode::internal, "no")); };
  EXPECT_EQ(device->capture(failing).error().message, "no");
  EXPECT_EQ(device->elapsed_ms(nullptr, failing).error().message, "no");
  EXPECT_EQ(fake->live_events, 0);
  EXPECT_EQ(fake->live_streams, 0);
}

TEST_F(CudaDeviceTest, TensorMaps) {
  auto device = open();
  ASSERT_NE(device, nullptr);
  TensorMapRequest request;
  request.dtype = DType::bf16;
  request.rank = 2;
  request.swizzle = 128;
  TensorMapBytes map;
  ASSERT_TRUE(device->encode_tensor_map(request, &map).ok());
  EXPECT_EQ(fake->tensor_map_dtype, 9);
  EXPECT_EQ(fake->tensor_map_rank, 2u);
  EXPECT_EQ(fake->tensor_map_swizzle, 3);
  request.dtype = DType::e4m3;
  request.swizzle = 0;
  ASSERT_TRUE(device->encode_tensor_map(request, &map).ok());
  EXPECT_EQ(fake->tensor_map_dtype, 0);
  EXPECT_EQ(fake->tensor_map_swizzle, 0);
}

TEST_F(CudaDeviceTest, TheContextOutlivesTheDeviceForItsModules) {
  auto device = open();
  ASSERT_NE(device, nullptr);
  auto module = device->load(binary());
  device.reset();
  EXPECT_EQ(fake->releases, 0);
  module->reset();
  EXPECT_EQ(fake->unloads, 1);
  EXPECT_EQ(fake->releases, 1);
}

}  // namespace
}  // namespace rtjit
