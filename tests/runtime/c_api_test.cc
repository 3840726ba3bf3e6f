// The C interface on the fake device: statuses, messages, lifetimes, and what a launch must not do.
#include <atomic>
#include <cstddef>
#include <cstring>
#include <thread>

#include "rtjit.h"
#include "runtime/c_api_objects.h"
#include "tests/runtime/allocation_counter.h"
#include "tests/runtime/fixture.h"

namespace rtjit::testing {
namespace {

using ::testing::HasSubstr;

rtjit_tensor tensor_named(const char* name, rtjit_dtype dtype, std::vector<int64_t> shape) {
  rtjit_tensor result{};
  result.name = name;
  result.data = reinterpret_cast<void*>(0x10000);
  result.dtype = dtype;
  result.rank = static_cast<int32_t>(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) result.shape[i] = shape[i];
  return result;
}

class CApiTest : public RuntimeTest {
 protected:
  void SetUp() override {
    library = make_library(open_context());
    ASSERT_EQ(rtjit_kernel_open(library, "widget", "width=64", nullptr, &kernel), RTJIT_OK)
        << rtjit_last_error();
    arguments = {tensor_named("x", RTJIT_BF16, {5, 64}), tensor_named("ids", RTJIT_I32, {5, 2}),
                 tensor_named("out", RTJIT_F32, {5, 64})};
    w = tensor_named("w", RTJIT_U8, {64, 32});
    ASSERT_EQ(rtjit_kernel_pack_weights(kernel, &w, 1, kPacked, 2048, nullptr, &weights), RTJIT_OK);
    device->launches.clear();
  }
  void TearDown() override {
    rtjit_weights_free(weights);
    rtjit_kernel_close(kernel);
    rtjit_library_close(library);
  }
  rtjit_status launch() {
    return rtjit_kernel_launch(kernel, weights, arguments.data(), arguments.size(), kWorkspace, 1 << 20,
                               nullptr);
  }
  void* const kPacked = reinterpret_cast<void*>(0x200000);
  void* const kWorkspace = reinterpret_cast<void*>(0x100000);
  rtjit_library* library = nullptr;
  rtjit_kernel* kernel = nullptr;
  rtjit_weights* weights = nullptr;
  rtjit_tensor w{};
  std::vector<rtjit_tensor> arguments;
};

TEST(CApi, VersionAndNames) {
  EXPECT_STREQ(rtjit_version(), "0.1.0");
  EXPECT_STREQ(rtjit_status_name(RTJIT_OK), "ok");
  EXPECT_STREQ(rtjit_status_name(RTJIT_INVALID_ARGUMENT), "invalid_argument");
  EXPECT_STREQ(rtjit_status_name(RTJIT_INTERNAL), "internal");
  EXPECT_STREQ(rtjit_status_name(static_cast<rtjit_status>(77)), "unknown");
}

// What compiled programs rely on. A number here never changes; new fields and values come after the last.
TEST(CApi, TheBinaryInterfaceIsFrozen) {
  EXPECT_EQ(sizeof(rtjit_tensor), 88u);
  EXPECT_EQ(offsetof(rtjit_tensor, data), 8u);
  EXPECT_EQ(offsetof(rtjit_tensor, dtype), 16u);
  EXPECT_EQ(offsetof(rtjit_tensor, rank), 20u);
  EXPECT_EQ(offsetof(rtjit_tensor, shape), 24u);
  EXPECT_EQ(offsetof(rtjit_tensor, stride), 56u);
  EXPECT_EQ(offsetof(rtjit_library_options, database), 8u);
  EXPECT_EQ(offsetof(rtjit_library_options, read_only), 16u);
  EXPECT_EQ(offsetof(rtjit_library_options, template_paths), 24u);
  EXPECT_EQ(offsetof(rtjit_library_options, device), 32u);
  EXPECT_EQ(offsetof(rtjit_library_options, log), 40u);
  EXPECT_EQ(offsetof(rtjit_library_options, log_user), 48u);
  EXPECT_EQ(offsetof(rtjit_library_options, trusted_keys), 56u);
  EXPECT_EQ(offsetof(rtjit_open_options, miss_policy), 8u);
  EXPECT_EQ(offsetof(rtjit_open_options, max_bucket), 16u);
  EXPECT_EQ(offsetof(rtjit_open_options, configs), 24u);
  EXPECT_EQ(int{RTJIT_U8}, 0);
  EXPECT_EQ(int{RTJIT_E8M0}, 10);
  EXPECT_EQ(int{RTJIT_MISS_NEAREST}, 0);
  EXPECT_EQ(int{RTJIT_MISS_BACKGROUND}, 4);
  const char* const statuses[] = {"ok",
                                  "invalid_argument",
                                  "unsupported",
                                  "not_found",
                                  "unavailable",
                                  "compile_failed",
                                  "timeout",
                                  "device_fault",
                                  "out_of_memory",
                                  "io",
                                  "corrupt",
                                  "read_only",
                                  "cancelled",
                                  "internal",
                                  "driver_too_old",
                                  "no_gpu",
                                  "gpu_bad_state",
                                  "no_compiler",
                                  "compiler_too_old",
                                  "unknown"};
  for (int i = 0; i < 20; ++i) EXPECT_STREQ(rtjit_status_name(static_cast<rtjit_status>(i)), statuses[i]);
}

TEST_F(CApiTest, SizesLayoutAndProvenance) {
  size_t bytes = 0;
  ASSERT_EQ(rtjit_kernel_workspace_size(kernel, 10, &bytes), RTJIT_OK);
  EXPECT_EQ(bytes, 10u * 64 * 4);
  ASSERT_EQ(rtjit_kernel_packed_size(kernel, &bytes), RTJIT_OK);
  EXPECT_EQ(bytes, 2048u);
  EXPECT_STREQ(rtjit_kernel_layout(kernel), "widget/1 width=64,bias=none");
  EXPECT_THAT(rtjit_kernel_provenance(kernel, 3), HasSubstr("main: tiled tile=16,threads_x=64"));
  EXPECT_EQ(rtjit_kernel_refresh(kernel), RTJIT_OK);
}

TEST_F(CApiTest, AMissingAndAnOldCompilerHaveAStatusEach) {
  const auto open = [&](const char* nvrtc) {
    ::setenv("RTJIT_NVRTC", nvrtc, 1);
    rtjit_library* empty = make_library(open_context());  // nothing is in its cache
    rtjit_kernel* none = nullptr;
    const rtjit_status status = rtjit_kernel_open(empty, "widget", "width=64", nullptr, &none);
    rtjit_kernel_close(none);
    rtjit_library_close(empty);
    ::unsetenv("RTJIT_NVRTC");
    return status;
  };
  EXPECT_EQ(open("/no/such/libnvrtc.so"), RTJIT_NO_COMPILER);
  EXPECT_THAT(rtjit_last_error(), HasSubstr("NVRTC was not found"));
  EXPECT_THAT(rtjit_last_error(), HasSubstr("pip install nvidia-cuda-nvrtc"));
  EXPECT_EQ(open(RTJIT_FAKE_LIBNVRTC), RTJIT_COMPILER_TOO_OLD);
  EXPECT_THAT(rtjit_last_error(), HasSubstr("version 12.2 is too old, 12.8 or later is needed"));
}

// As docs/adding-a-template.md calls it.
TEST_F(CApiTest, ATemplateOfOnesOwnOpensByItsName) {
  rtjit_kernel* own = nullptr;
  ASSERT_EQ(rtjit_kernel_open(library, "scale_add", "a=2.5", NULL, &own), RTJIT_OK) << rtjit_last_error();
  rtjit_kernel_close(own);
}

TEST_F(CApiTest, ALaunchAllocatesNothingAndDoesNotWait) {
  ASSERT_EQ(launch(), RTJIT_OK) << rtjit_last_error();
  device->launches.clear();
  int waits = device->waits, loads = device->loads;
  rtjit_status status = RTJIT_OK;
  int allocations = -1;
  {
    AllocationCounter counter;
    for (int i = 0; i < 20 && status == RTJIT_OK; ++i) status = launch();
    allocations = counter.count();
  }
  ASSERT_EQ(status, RTJIT_OK) << rtjit_last_error();
  EXPECT_EQ(allocations, 0);
  EXPECT_EQ(device->launches.size(), 40u);
  EXPECT_EQ(device->waits, waits);
  EXPECT_EQ(device->loads, loads);
  AllocationCounter counter;
  std::string long_enough_to_need_memory(100, 'x');
  EXPECT_EQ(counter.count(), 1);  // it does count
}

TEST_F(CApiTest, TheFirstLaunchOfAThreadAllocatesNothingEither) {
  std::atomic<int> seen{-1};
  std::thread([&] {
    AllocationCounter counter;
    if (launch() == RTJIT_OK) seen = counter.count();
  }).join();
  EXPECT_EQ(seen, 0);
}

TEST_F(CApiTest, ManyThreadsLaunchAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  // The fake's record is not thread-safe; a launch of no tokens goes all the way to where it would launch.
  for (auto& argument : arguments) argument.shape[0] = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) failures += launch() != RTJIT_OK;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

TEST_F(CApiTest, EveryNullIsNamed) {
  size_t bytes = 0;
  rtjit_kernel* out = nullptr;
  rtjit_weights* packed = nullptr;
  auto expect = [](rtjit_status status, const char* name) {
    EXPECT_EQ(status, RTJIT_INVALID_ARGUMENT);
    EXPECT_EQ(std::string(rtjit_last_error()), std::string(name) + ": null, a pointer is required");
  };
  expect(rtjit_library_open(nullptr, nullptr), "library");
  expect(rtjit_kernel_open(nullptr, "widget", "width=64", nullptr, &out), "library");
  expect(rtjit_kernel_open(library, nullptr, "width=64", nullptr, &out), "template_name");
  expect(rtjit_kernel_open(library, "widget", nullptr, nullptr, &out), "problem");
  expect(rtjit_kernel_open(library, "widget", "width=64", nullptr, nullptr), "kernel");
  expect(rtjit_kernel_workspace_size(nullptr, 1, &bytes), "kernel");
  expect(rtjit_kernel_workspace_size(kernel, 1, nullptr), "bytes");
  expect(rtjit_kernel_packed_size(nullptr, &bytes), "kernel");
  expect(rtjit_kernel_packed_size(kernel, nullptr), "bytes");
  expect(rtjit_kernel_pack_weights(nullptr, &w, 1, kPacked, 2048, nullptr, &packed), "kernel");
  expect(rtjit_kernel_pack_weights(kernel, nullptr, 1, kPacked, 2048, nullptr, &packed), "inputs");
  expect(rtjit_kernel_pack_weights(kernel, &w, 1, nullptr, 2048, nullptr, &packed), "packed");
  expect(rtjit_kernel_pack_weights(kernel, &w, 1, kPacked, 2048, nullptr, nullptr), "weights");
  expect(rtjit_weights_adopt(nullptr, "", kPacked, 2048, &packed), "kernel");
  expect(rtjit_weights_adopt(kernel, nullptr, kPacked, 2048, &packed), "layout");
  expect(rtjit_weights_adopt(kernel, rtjit_kernel_layout(kernel), nullptr, 2048, &packed), "packed");
  expect(rtjit_weights_adopt(kernel, rtjit_kernel_layout(kernel), kPacked, 2048, nullptr), "weights");
  expect(rtjit_kernel_launch(nullptr, weights, nullptr, 0, nullptr, 0, nullptr), "kernel");
  expect(rtjit_kernel_launch(kernel, weights, nullptr, 3, nullptr, 0, nullptr), "arguments");
  expect(rtjit_kernel_refresh(nullptr), "kernel");
  rtjit_frozen* frozen = nullptr;
  expect(rtjit_kernel_freeze(nullptr, weights, nullptr, 0, nullptr, 0, nullptr, &frozen), "kernel");
  expect(rtjit_kernel_freeze(kernel, weights, nullptr, 0, nullptr, 0, nullptr, nullptr), "frozen");
  expect(rtjit_kernel_freeze(kernel, weights, nullptr, 3, nullptr, 0, nullptr, &frozen), "arguments");
  expect(rtjit_frozen_launch(nullptr, nullptr), "frozen");
  expect(rtjit_frozen_launch_at(nullptr, nullptr, 0, nullptr), "frozen");
  expect(rtjit_kernel_find(nullptr, "widget", "width=64", &out), "library");
  expect(rtjit_kernel_find(library, nullptr, "width=64", &out), "template_name");
  expect(rtjit_kernel_find(library, "widget", nullptr, &out), "problem");
  expect(rtjit_kernel_find(library, "widget", "width=64", nullptr), "kernel");
  EXPECT_STREQ(rtjit_kernel_problem(nullptr), "");
  EXPECT_EQ(rtjit_kernel_is_tuning(nullptr), 0);
  EXPECT_STREQ(rtjit_kernel_layout(nullptr), "");
  EXPECT_STREQ(rtjit_kernel_provenance(nullptr, 1), "");
  rtjit_kernel_close(nullptr);
  rtjit_library_close(nullptr);
  rtjit_weights_free(nullptr);
  EXPECT_EQ(out, nullptr);
  EXPECT_EQ(packed, nullptr);
}

TEST_F(CApiTest, ProgramsBuiltWithOlderAndNewerHeadersGoOnWorking) {
  struct Newer {
    rtjit_open_options known;
    void* unknown[2];
  } newer{};
  newer.known.struct_size = sizeof newer;
  newer.known.max_bucket = 64;
  rtjit_kernel* other = nullptr;
  EXPECT_EQ(rtjit_kernel_open(library, "widget", "width=64", &newer.known, &other), RTJIT_OK)
      << rtjit_last_error();
  rtjit_kernel_close(other);
  newer.unknown[1] = &newer;  // asks for something that this library does not know
  EXPECT_EQ(rtjit_kernel_open(library, "widget", "width=64", &newer.known, &other), RTJIT_INVALID_ARGUMENT);

  // The structure of version 0.1.0 ended before trusted_keys; what follows it in memory is not ours to read.
  rtjit_library_options older{};
  std::memset(reinterpret_cast<char*>(&older) + offsetof(rtjit_library_options, trusted_keys), 0xff,
              sizeof older - offsetof(rtjit_library_options, trusted_keys));
  older.struct_size = offsetof(rtjit_library_options, trusted_keys);
  older.device = 1000;
  rtjit_library* none = nullptr;
  const rtjit_status status = rtjit_library_open(&older, &none);
  EXPECT_NE(status, RTJIT_OK);  // there are not that many GPUs, or none at all
  EXPECT_THAT(rtjit_last_error(), ::testing::Not(HasSubstr("struct_size")));
}

TEST_F(CApiTest, MistakesHaveAStatusAndAMessage) {
  auto message = [](rtjit_status status, rtjit_status expected) {
    EXPECT_EQ(status, expected) << rtjit_last_error();
    return std::string(rtjit_last_error());
  };
  rtjit_kernel* out = nullptr;
  EXPECT_THAT(message(rtjit_kernel_open(library, "gadget", "", nullptr, &out), RTJIT_NOT_FOUND),
              HasSubstr("gadget"));
  EXPECT_THAT(message(rtjit_kernel_open(library, "widget", "width=7", nullptr, &out), RTJIT_INVALID_ARGUMENT),
              HasSubstr("width"));
  rtjit_open_options options{};
  EXPECT_THAT(
      message(rtjit_kernel_open(library, "widget", "width=64", &options, &out), RTJIT_INVALID_ARGUMENT),
      HasSubstr("options->struct_size: 0, this library expects"));
  options.struct_size = sizeof options;
  options.miss_policy = static_cast<rtjit_miss_policy>(9);
  EXPECT_EQ(message(rtjit_kernel_open(library, "widget", "width=64", &options, &out), RTJIT_INVALID_ARGUMENT),
            "options->miss_policy: 9, allowed are 0 to 4");
  options.miss_policy = RTJIT_MISS_FAIL;
  EXPECT_THAT(message(rtjit_kernel_open(library, "widget", "width=64", &options, &out), RTJIT_NOT_FOUND),
              HasSubstr("run `rtjit tune widget"));
  rtjit_library_options library_options{};
  rtjit_library* other = nullptr;
  EXPECT_THAT(message(rtjit_library_open(&library_options, &other), RTJIT_INVALID_ARGUMENT),
              HasSubstr("options->struct_size"));
  library_options.struct_size = 12;
  EXPECT_THAT(message(rtjit_library_open(&library_options, &other), RTJIT_INVALID_ARGUMENT),
              HasSubstr("options->struct_size: 12"));
  size_t bytes = 0;
  EXPECT_EQ(message(rtjit_kernel_workspace_size(kernel, -1, &bytes), RTJIT_INVALID_ARGUMENT),
            "tokens: -1, allowed is 0 or more");

  rtjit_weights* packed = nullptr;
  EXPECT_EQ(message(rtjit_kernel_pack_weights(kernel, &w, 1, kPacked, 2047, nullptr, &packed),
                    RTJIT_INVALID_ARGUMENT),
            "packed_bytes: 2,047, 2,048 are needed");
  void* crooked = reinterpret_cast<void*>(0x200010);
  EXPECT_EQ(message(rtjit_kernel_pack_weights(kernel, &w, 1, crooked, 2048, nullptr, &packed),
                    RTJIT_INVALID_ARGUMENT),
            "packed: pointer 0x200010, must be aligned to 256 bytes");
  EXPECT_EQ(message(rtjit_weights_adopt(kernel, "other/1", kPacked, 2048, &packed), RTJIT_INVALID_ARGUMENT),
            "layout: \"other/1\", this kernel needs \"widget/1 width=64,bias=none\"; they differ in the "
            "packed format");
  std::swap(weights, packed);
  EXPECT_EQ(
      message(launch(), RTJIT_INVALID_ARGUMENT),
      "weights: null; widget needs packed weights: call rtjit_kernel_pack_weights or rtjit_weights_adopt");
  std::swap(weights, packed);

  arguments[0].dtype = static_cast<rtjit_dtype>(42);
  EXPECT_EQ(message(launch(), RTJIT_INVALID_ARGUMENT), "x: dtype 42, not a value of rtjit_dtype");
  arguments[0].dtype = RTJIT_F16;
  arguments[0].name = nullptr;
  EXPECT_EQ(message(launch(), RTJIT_INVALID_ARGUMENT),
            "arguments[0].name: null, the argument's name is required");
  arguments[0].name = "x";
  arguments[2].rank = 99;
  EXPECT_EQ(message(launch(), RTJIT_INVALID_ARGUMENT), "out: rank 99, allowed are 0 to 4");
  arguments[2].rank = 2;
  std::vector<rtjit_tensor> many(200, arguments[0]);
  EXPECT_EQ(
      message(rtjit_kernel_launch(kernel, weights, many.data(), many.size(), kWorkspace, 1 << 20, nullptr),
              RTJIT_INVALID_ARGUMENT),
      "count: 200 tensors, allowed are at most 96");
  EXPECT_TRUE(device->launches.empty());
  device->fail_launch = true;
  EXPECT_EQ(message(launch(), RTJIT_DEVICE_FAULT), "the fake faults");
}

TEST_F(CApiTest, WeightsOfAnotherProblemAreRefused) {
  rtjit_kernel* other = nullptr;
  ASSERT_EQ(rtjit_kernel_open(library, "widget", "width=128", nullptr, &other), RTJIT_OK)
      << rtjit_last_error();
  std::vector<rtjit_tensor> wide = {tensor_named("x", RTJIT_BF16, {5, 128}),
                                    tensor_named("ids", RTJIT_I32, {5, 2}),
                                    tensor_named("out", RTJIT_F32, {5, 128})};
  EXPECT_EQ(rtjit_kernel_launch(other, weights, wide.data(), 3, kWorkspace, 1 << 20, nullptr),
            RTJIT_INVALID_ARGUMENT);
  EXPECT_STREQ(rtjit_last_error(),
               "weights: packed as \"widget/1 width=64,bias=none\", this kernel needs \"widget/1 "
               "width=128,bias=none\"; they differ in width (64, here 128)");
  rtjit_kernel_close(other);
  rtjit_weights* adopted = nullptr;
  ASSERT_EQ(rtjit_weights_adopt(kernel, rtjit_kernel_layout(kernel), kPacked, 2048, &adopted), RTJIT_OK);
  std::swap(adopted, weights);
  EXPECT_EQ(launch(), RTJIT_OK);
  rtjit_weights_free(adopted);
}

// What packing does not read may differ: one packed copy serves several kernels.
TEST_F(CApiTest, WeightsServeAKernelThatDiffersInWhatPackingDoesNotRead) {
  rtjit_kernel* other = nullptr;
  ASSERT_EQ(rtjit_kernel_open(library, "widget", "width=64,alpha=2.5", nullptr, &other), RTJIT_OK)
      << rtjit_last_error();
  EXPECT_STREQ(rtjit_kernel_layout(other), rtjit_kernel_layout(kernel));
  EXPECT_EQ(
      rtjit_kernel_launch(other, weights, arguments.data(), arguments.size(), kWorkspace, 1 << 20, nullptr),
      RTJIT_OK)
      << rtjit_last_error();
  rtjit_kernel_close(other);
}

TEST_F(CApiTest, AnOpenKernelIsFoundByWhatItWasOpenedFor) {
  rtjit_kernel* found = nullptr;
  EXPECT_STREQ(rtjit_kernel_problem(kernel), "width=64,bias=none,alpha=0.5");
  for (const char* problem : {"width=64", "width=64,bias=none,alpha=0.5"}) {
    ASSERT_EQ(rtjit_kernel_find(library, "widget", problem, &found), RTJIT_OK) << rtjit_last_error();
    EXPECT_EQ(found, kernel);
    rtjit_kernel_close(found);
  }
  EXPECT_EQ(rtjit_kernel_find(library, "widget", "width=128", &found), RTJIT_NOT_FOUND);
  EXPECT_EQ(found, nullptr);
  EXPECT_STREQ(rtjit_last_error(), "widget width=128: not open in this library; rtjit_kernel_open opens it");
  EXPECT_EQ(rtjit_kernel_find(library, "gadget", "width=64", &found), RTJIT_NOT_FOUND);

  // The first of several is the answer while it is open; a reference that was found keeps a kernel open.
  rtjit_kernel* second = nullptr;
  ASSERT_EQ(rtjit_kernel_open(library, "widget", "width=64,bias=none", nullptr, &second), RTJIT_OK);
  ASSERT_EQ(rtjit_kernel_find(library, "widget", "width=64,bias=none,alpha=0.5", &found), RTJIT_OK);
  EXPECT_EQ(found, kernel);
  rtjit_kernel_close(kernel);
  kernel = found;  // still one reference
  EXPECT_EQ(launch(), RTJIT_OK) << rtjit_last_error();
  rtjit_kernel_close(kernel);
  kernel = nullptr;
  EXPECT_EQ(rtjit_kernel_find(library, "widget", "width=64", &found), RTJIT_NOT_FOUND);
  ASSERT_EQ(rtjit_kernel_find(library, "widget", "width=64,bias=none,alpha=0.5", &found), RTJIT_OK);
  EXPECT_EQ(found, second);
  rtjit_kernel_close(second);
  rtjit_kernel_close(found);
  EXPECT_EQ(rtjit_kernel_find(library, "widget", "width=64,bias=none,alpha=0.5", &found), RTJIT_NOT_FOUND);
}

TEST_F(CApiTest, FreezesAndLaunchesWithOtherAddresses) {
  rtjit_frozen* frozen = nullptr;
  ASSERT_EQ(rtjit_kernel_freeze(kernel, weights, arguments.data(), arguments.size(), kWorkspace, 1 << 20,
                                nullptr, &frozen),
            RTJIT_OK)
      << rtjit_last_error();
  device->arguments_to_record = 1;
  EXPECT_EQ(rtjit_frozen_launch(frozen, nullptr), RTJIT_OK);
  void* const data[] = {reinterpret_cast<void*>(0x50000), arguments[1].data, arguments[2].data};
  EXPECT_EQ(rtjit_frozen_launch_at(frozen, data, 3, nullptr), RTJIT_OK);
  ASSERT_EQ(device->launches.size(), 4u);
  EXPECT_EQ(device->launches[0].arguments[0], 0x10000u);
  EXPECT_EQ(device->launches[2].arguments[0], 0x50000u);
  EXPECT_EQ(rtjit_frozen_launch_at(frozen, data, 2, nullptr), RTJIT_INVALID_ARGUMENT);
  EXPECT_EQ(rtjit_kernel_is_tuning(kernel), 0);
  rtjit_frozen_free(frozen);
  rtjit_frozen_free(nullptr);
}

TEST_F(CApiTest, AKernelOutlivesItsLibrary) {
  rtjit_library_close(library);
  library = nullptr;
  EXPECT_EQ(launch(), RTJIT_OK) << rtjit_last_error();
  EXPECT_EQ(rtjit_kernel_refresh(kernel), RTJIT_OK);
}

TEST_F(CApiTest, ErrorsArePerThreadAndStay) {
  size_t bytes = 0;
  ASSERT_EQ(rtjit_kernel_workspace_size(kernel, -1, &bytes), RTJIT_INVALID_ARGUMENT);
  std::string other = "unset";
  std::thread([&] { other = rtjit_last_error(); }).join();
  EXPECT_EQ(other, "");
  ASSERT_EQ(rtjit_kernel_workspace_size(kernel, 1, &bytes), RTJIT_OK);
  EXPECT_STREQ(rtjit_last_error(), "tokens: -1, allowed is 0 or more");
}

}  // namespace
}  // namespace rtjit::testing
