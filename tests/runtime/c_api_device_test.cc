// What bindings ask of the C interface: the device, its memory, the arguments of a kernel.
#include <cstring>

#include "rtjit.h"
#include "runtime/c_api_objects.h"
#include "tests/runtime/fixture.h"

namespace rtjit::testing {
namespace {

using ::testing::HasSubstr;

class CApiDeviceTest : public RuntimeTest {
 protected:
  void SetUp() override {
    library = make_library(open_context());
    ASSERT_EQ(rtjit_kernel_open(library, "widget", "width=64", nullptr, &kernel), RTJIT_OK)
        << rtjit_last_error();
  }
  void TearDown() override {
    rtjit_kernel_close(kernel);
    rtjit_library_close(library);
  }
  rtjit_library* library = nullptr;
  rtjit_kernel* kernel = nullptr;
};

TEST_F(CApiDeviceTest, TheDeviceSaysWhatItIs) {
  rtjit_device_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(rtjit_library_device(library, &info), RTJIT_OK) << rtjit_last_error();
  EXPECT_STREQ(info.target, "sm_90a");
  EXPECT_EQ(info.name, device->info().name);
  EXPECT_EQ(info.sm_count, device->info().sm_count);
  EXPECT_EQ(info.struct_size, sizeof info);

  info.struct_size = 4;
  EXPECT_EQ(rtjit_library_device(library, &info), RTJIT_INVALID_ARGUMENT);
  EXPECT_THAT(rtjit_last_error(), HasSubstr("info->struct_size: 4"));
  EXPECT_EQ(rtjit_library_device(library, nullptr), RTJIT_INVALID_ARGUMENT);
}

TEST_F(CApiDeviceTest, MemoryIsWrittenAndReadBack) {
  void* memory = nullptr;
  ASSERT_EQ(rtjit_memory_allocate(library, 1000, &memory), RTJIT_OK) << rtjit_last_error();
  ASSERT_NE(memory, nullptr);
  const char text[] = "what was written";
  char back[sizeof text] = {};
  EXPECT_EQ(rtjit_memory_write(library, memory, text, sizeof text), RTJIT_OK);
  EXPECT_EQ(rtjit_memory_read(library, back, memory, sizeof text), RTJIT_OK);
  EXPECT_STREQ(back, text);
  EXPECT_EQ(rtjit_memory_read(library, nullptr, memory, 4), RTJIT_INVALID_ARGUMENT);
  EXPECT_THAT(rtjit_last_error(), HasSubstr("host: null"));
  rtjit_memory_free(library, memory);
  rtjit_memory_free(library, nullptr);
  EXPECT_EQ(rtjit_memory_allocate(library, 0, &memory), RTJIT_OK);  // no special case for callers
  rtjit_memory_free(library, memory);
}

TEST_F(CApiDeviceTest, ArgumentsComeInTheOrderOfTheManifest) {
  std::vector<std::string> seen;
  rtjit_argument_info info{};
  info.struct_size = sizeof info;
  for (size_t i = 0; rtjit_kernel_argument(kernel, i, &info) == RTJIT_OK; ++i) {
    seen.push_back(std::string(info.name) + (info.packed ? " packed" : "") +
                   (info.written ? " written" : "") + (info.optional ? " optional" : ""));
    if (seen.back() == "x") {
      EXPECT_EQ(info.rank, 2);
      EXPECT_EQ(info.bucket_dimension, 0);
      EXPECT_TRUE(info.dtypes & 1u << RTJIT_BF16);
    }
  }
  EXPECT_THAT(rtjit_last_error(), HasSubstr("widget has"));
  EXPECT_THAT(seen, ::testing::IsSupersetOf({"x", "ids", "out written", "w packed"}));
  // bias=none: this problem does not want the bias that others need.
  EXPECT_THAT(seen, ::testing::Contains(HasSubstr("optional")));
}

}  // namespace
}  // namespace rtjit::testing
