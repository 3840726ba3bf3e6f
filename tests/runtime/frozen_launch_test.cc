// Launches that were decided ahead, on the fake device: they must launch what a launch would, whatever
// happens meanwhile.
#include "runtime/frozen_launch.h"

#include "tests/runtime/fixture.h"

namespace rtjit::testing {
namespace {

using ::testing::HasSubstr;

class FrozenLaunchTest : public RuntimeTest {
 protected:
  static constexpr DevicePtr kWorkspace = 0x100000, kPacked = 0x200000;

  std::vector<TensorArg> widget_arguments(int64_t tokens) {
    return {tensor("out", DType::f32, {tokens, 64}, {}, 0x30000),
            tensor("x", DType::bf16, {tokens, 64}, {72, 1}, 0x10000),
            tensor("ids", DType::i64, {tokens, 2}, {}, 0x20000)};
  }
  std::unique_ptr<FrozenLaunch> freeze(KernelHandle& handle, const std::vector<TensorArg>& arguments) {
    auto frozen = handle.freeze(arguments, kPacked, handle.packed_bytes(), kWorkspace, 1 << 20, nullptr);
    EXPECT_TRUE(frozen.ok()) << (frozen.ok() ? "" : frozen.error().message);
    return frozen.ok() ? std::move(*frozen) : nullptr;
  }
  std::string refusal(KernelHandle& handle, const std::vector<TensorArg>& arguments) {
    auto frozen = handle.freeze(arguments, kPacked, handle.packed_bytes(), kWorkspace, 1 << 20, nullptr);
    return frozen.ok() ? "accepted" : frozen.error().message;
  }
  // What the device was told, as text.
  std::vector<std::string> launched() {
    std::vector<std::string> result;
    for (const FakeLaunch& launch : device->launches) {
      std::string text =
          fmt::format("{} grid {} block {} cluster {} smem {} pdl {} stream {}", launch.kernel->symbol,
                      fmt::join(launch.config.grid, "x"), fmt::join(launch.config.block, "x"),
                      fmt::join(launch.config.cluster, "x"), launch.config.dynamic_smem, launch.config.pdl,
                      fmt::ptr(launch.stream));
      for (uint64_t value : launch.arguments) text += fmt::format(" {:x}", value);
      result.push_back(text);
    }
    device->launches.clear();
    return result;
  }
};

TEST_F(FrozenLaunchTest, LaunchesWhatALaunchDoes) {
  auto handle = open_kernel(open_context(), "widget", "width=64,bias=f32");
  ASSERT_NE(handle, nullptr);
  for (int64_t tokens : {1, 7, 16, 17, 300}) {
    SCOPED_TRACE(tokens);
    device->arguments_to_record = 1;  // all kernels have that many
    const auto arguments = widget_arguments(tokens);
    Status status = handle->launch(arguments, kPacked, handle->packed_bytes(), kWorkspace, 1 << 20, device);
    ASSERT_TRUE(status.ok()) << status.error().message;
    const auto expected = launched();
    EXPECT_EQ(expected.size(), tokens > 16 ? 3u : 2u);
    auto frozen = freeze(*handle, arguments);
    ASSERT_NE(frozen, nullptr);
    EXPECT_TRUE(device->launches.empty());
    EXPECT_EQ(frozen->launch_count(), expected.size());
    ASSERT_TRUE(frozen->launch(device).ok());
    EXPECT_EQ(launched(), expected);
    ASSERT_TRUE(frozen->launch(device).ok());
    EXPECT_EQ(launched(), expected);
  }
}

TEST_F(FrozenLaunchTest, EveryParameterIsThere) {
  auto handle = open_kernel(open_context(), "widget", "width=64,bias=f32");
  ASSERT_NE(handle, nullptr);
  auto frozen = freeze(*handle, widget_arguments(7));
  ASSERT_NE(frozen, nullptr);
  device->arguments_to_record = 7;
  ASSERT_TRUE(frozen->launch(nullptr).ok());
  ASSERT_EQ(device->launches.size(), 2u);
  const FakeLaunch& prepare = device->launches[0];
  EXPECT_EQ(prepare.arguments[0], 0x10000u);
  EXPECT_EQ(prepare.arguments[1], 0x20000u);
  EXPECT_EQ(static_cast<int32_t>(prepare.arguments[2]), 8);
  EXPECT_EQ(prepare.arguments[3], 72u);
  EXPECT_EQ(prepare.arguments[4], 0u);
  EXPECT_EQ(prepare.arguments[5], kWorkspace);
  const FakeLaunch& tiled = device->launches[1];
  EXPECT_EQ(tiled.arguments[1], kPacked);
  EXPECT_EQ(tiled.arguments[2], kPacked + 2048);
  EXPECT_EQ(tiled.arguments[3], 0x30000u);
  EXPECT_EQ(tiled.arguments[4], 7u);
  float alpha = 0;
  std::memcpy(&alpha, &tiled.arguments[6], 4);
  EXPECT_EQ(alpha, 0.5f);
}

TEST_F(FrozenLaunchTest, TakesOtherAddressesInTheOrderOfTheArguments) {
  auto handle = open_kernel(open_context(), "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  auto frozen = freeze(*handle, widget_arguments(7));
  ASSERT_NE(frozen, nullptr);
  device->arguments_to_record = 7;
  const std::vector<DevicePtr> data = {0x33000, 0x11000, 0x22000};  // out, x, ids
  Status status = frozen->launch(data, nullptr);
  ASSERT_TRUE(status.ok()) << status.error().message;
  ASSERT_EQ(device->launches.size(), 2u);
  EXPECT_EQ(device->launches[0].arguments[0], 0x11000u);
  EXPECT_EQ(device->launches[0].arguments[1], 0x22000u);
  EXPECT_EQ(device->launches[0].arguments[5], kWorkspace);
  EXPECT_EQ(device->launches[1].arguments[3], 0x33000u);
  device->launches.clear();
  ASSERT_TRUE(frozen->launch(nullptr).ok());
  EXPECT_EQ(device->launches[0].arguments[0], 0x10000u) << "the addresses of freeze() stay";

  EXPECT_EQ(frozen->launch(std::vector<DevicePtr>{0x33000}, nullptr).error().message,
            "count: 1 addresses, this launch was frozen with 3 arguments");
  EXPECT_THAT(frozen->launch(std::vector<DevicePtr>{0x33000, 0, 0x22000}, nullptr).error().message,
              HasSubstr("x: null, but it was given when the launch was frozen"));
  EXPECT_EQ(frozen->launch(std::vector<DevicePtr>{0x33000, 0x11008, 0x22000}, nullptr).error().message,
            "x: pointer 0x11008, must be aligned to 16 bytes");
}

TEST_F(FrozenLaunchTest, TensorMapsFollowTheAddress) {
  auto handle = open_kernel(open_context(), "mapped", "width=64");
  ASSERT_NE(handle, nullptr);
  const std::vector<TensorArg> arguments = {tensor("x", DType::bf16, {4, 64}, {}, 0x10000),
                                            tensor("out", DType::f32, {4}, {}, 0x20000)};
  auto frozen = freeze(*handle, arguments);
  ASSERT_NE(frozen, nullptr);
  device->arguments_to_record = 4;
  ASSERT_TRUE(frozen->launch(nullptr).ok());
  ASSERT_TRUE(frozen->launch(std::vector<DevicePtr>{0x40000, 0x50000}, nullptr).ok());
  ASSERT_TRUE(frozen->launch(nullptr).ok());
  ASSERT_EQ(device->launches.size(), 3u);
  for (int i : {0, 2}) {
    EXPECT_EQ(device->launches[i].arguments[0], 0x10000u);
    EXPECT_EQ(device->launches[i].arguments[1], kWorkspace);
    EXPECT_EQ(device->launches[i].arguments[2], 0x20000u);
  }
  EXPECT_EQ(device->launches[1].arguments[0], 0x40000u);
  EXPECT_EQ(device->launches[1].arguments[1], kWorkspace);
  EXPECT_EQ(device->launches[1].arguments[2], 0x50000u);
  EXPECT_EQ(static_cast<int32_t>(device->launches[1].arguments[3]), 4);
}

TEST_F(FrozenLaunchTest, AnOptionalArgumentMustStayWhatItWas) {
  auto handle = open_kernel(open_context(), "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  auto arguments = widget_arguments(7);
  arguments.push_back(tensor("scale", DType::f32, {64}, {}, 0));
  auto frozen = freeze(*handle, arguments);
  ASSERT_NE(frozen, nullptr);
  EXPECT_TRUE(frozen->launch(std::vector<DevicePtr>{0x30000, 0x10000, 0x20000, 0}, nullptr).ok());
  EXPECT_THAT(
      frozen->launch(std::vector<DevicePtr>{0x30000, 0x10000, 0x20000, 0x60000}, nullptr).error().message,
      HasSubstr("scale: given, but it was null"));
}

TEST_F(FrozenLaunchTest, NoTokensIsSuccessAndNoLaunch) {
  auto handle = open_kernel(open_context(), "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  auto frozen = freeze(*handle, widget_arguments(0));
  ASSERT_NE(frozen, nullptr);
  EXPECT_EQ(frozen->launch_count(), 0u);
  EXPECT_TRUE(frozen->launch(nullptr).ok());
  EXPECT_TRUE(frozen->launch(std::vector<DevicePtr>{0x30000, 0x10000, 0x20000}, nullptr).ok());
  EXPECT_TRUE(device->launches.empty());
}

TEST_F(FrozenLaunchTest, MistakesAreToldWhenFreezing) {
  auto handle = open_kernel(open_context(), "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  auto wrong_type = widget_arguments(7);
  wrong_type[0].dtype = DType::bf16;
  EXPECT_THAT(refusal(*handle, wrong_type), HasSubstr("out: dtype bf16"));
  auto too_few = widget_arguments(7);
  too_few.pop_back();
  EXPECT_THAT(refusal(*handle, too_few), HasSubstr("ids: missing"));
  auto small = handle->freeze(widget_arguments(7), kPacked, 2048, kWorkspace, 1000, nullptr);
  ASSERT_FALSE(small.ok());
  EXPECT_EQ(small.error().message, "workspace: 1,000 B given, 1,792 B are needed for tokens = 7");
  device->foreign_address = 0x20000;
  EXPECT_EQ(refusal(*handle, widget_arguments(7)),
            "ids: pointer 0x20000 is memory of GPU 1, this kernel runs on GPU 0");
  device->foreign_address = kWorkspace;
  EXPECT_THAT(refusal(*handle, widget_arguments(7)),
              HasSubstr("workspace: pointer 0x100000 is memory of GPU 1"));
}

TEST_F(FrozenLaunchTest, AFailingLaunchEndsTheSequence) {
  auto handle = open_kernel(open_context(), "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  auto frozen = freeze(*handle, widget_arguments(7));
  device->fail_launch = true;
  EXPECT_EQ(frozen->launch(nullptr).error().code, ErrorCode::device_fault);
}

TEST_F(FrozenLaunchTest, OutlivesItsKernelAndARefresh) {
  auto context = open_context();
  auto handle = open_kernel(context, "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  auto frozen = freeze(*handle, widget_arguments(7));
  ASSERT_TRUE(handle->refresh().ok());
  handle.reset();
  context.reset();
  ASSERT_TRUE(frozen->launch(nullptr).ok());
  EXPECT_EQ(device->launches.size(), 2u);
}

}  // namespace
}  // namespace rtjit::testing
