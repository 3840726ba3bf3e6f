// The miss policy `background`: serve now, tune in a child, switch over when the engine freezes next. The
// tool is a script.
#include "runtime/background_tune.h"

#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "tests/runtime/fixture.h"

namespace rtjit::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class BackgroundTuneTest : public RuntimeTest {
 protected:
  static constexpr DevicePtr kWorkspace = 0x100000, kPacked = 0x200000;

  void TearDown() override { ::unsetenv("RTJIT_TOOL"); }
  void use_tool(const std::string& script) {
    const std::string tool = folder_.file("tool");
    std::ofstream(tool) << "#!/bin/sh\necho $$ \"$@\" > " << folder_.file("started.new") << "\nmv "
                        << folder_.file("started.new") << " " << folder_.file("started") << "\n"
                        << script << "\n";
    std::filesystem::permissions(tool, std::filesystem::perms::owner_all);
    ::setenv("RTJIT_TOOL", tool.c_str(), 1);
  }
  // What the script wrote when it began: its process and its arguments.
  std::pair<pid_t, std::string> started() {
    pid_t pid = 0;
    std::string arguments;
    EXPECT_TRUE(eventually([&] { return std::filesystem::exists(folder_.file("started")); }));
    std::ifstream file(folder_.file("started"));
    file >> pid;
    std::getline(file, arguments);
    return {pid, arguments};
  }
  template <typename Condition>
  static bool eventually(Condition&& condition) {
    for (int i = 0; i < 3000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  std::unique_ptr<KernelHandle> open_in_background() {
    OpenOptions open;
    open.miss_policy = MissPolicy::background;
    return open_kernel(open_context(folder_.file("cache.db")), "widget", "width=64", open);
  }
  void put_winner(const KernelHandle& handle, int64_t bucket) {
    WinnerRow winner;
    winner.template_name = "widget";
    winner.template_hash = handle.source().content_hash;
    winner.problem = handle.problem().canonical();
    winner.stage = "main";
    winner.bucket = bucket;
    winner.target = "sm_90a";
    winner.sku = device->info().sku_fingerprint();
    winner.variant = "tiled";
    winner.config = "tile=64,threads_x=64";
    winner.knowledge = Knowledge::measured;
    winner.verified = true;
    winner.time_us = 12.34;
    ASSERT_TRUE(handle.context().store().put_winner(winner).ok());
  }
  // The kernel that a frozen launch of 7 tokens would launch.
  std::string frozen_kernel(KernelHandle& handle) {
    const std::vector<TensorArg> arguments = {tensor("x", DType::bf16, {7, 64}),
                                              tensor("ids", DType::i32, {7, 2}),
                                              tensor("out", DType::f32, {7, 64})};
    auto frozen = handle.freeze(arguments, kPacked, handle.packed_bytes(), kWorkspace, 1 << 20, nullptr);
    EXPECT_TRUE(frozen.ok()) << (frozen.ok() ? "" : frozen.error().message);
    device->launches.clear();
    EXPECT_TRUE((*frozen)->launch(nullptr).ok());
    return fmt::format("{} B", device->launches.at(1).config.dynamic_smem);
  }
  TemporaryFolder folder_;
};

TEST_F(BackgroundTuneTest, ServesAtOnceAndSwitchesOverAtTheNextFreeze) {
  use_tool("while [ ! -e " + folder_.file("go") + " ]; do sleep 0.05; done");
  auto handle = open_in_background();
  ASSERT_NE(handle, nullptr);
  EXPECT_TRUE(handle->tuning());
  EXPECT_THAT(started().second,
              HasSubstr("tune widget --problem width=64,bias=none,alpha=0.5 --tokens 1,16,256 --db"));
  EXPECT_THAT(handle->provenance(7), HasSubstr("(default)"));
  EXPECT_EQ(frozen_kernel(*handle), "16384 B");
  put_winner(*handle, 16);
  EXPECT_EQ(frozen_kernel(*handle), "16384 B") << "not before tuning has ended";
  std::ofstream(folder_.file("go")) << "\n";
  ASSERT_TRUE(eventually([&] { return !handle->tuning(); }));
  EXPECT_THAT(handle->provenance(7), HasSubstr("(default)")) << "nothing changes by itself";
  device->capturing = true;
  EXPECT_EQ(frozen_kernel(*handle), "16384 B") << "never during capture";
  device->capturing = false;
  EXPECT_EQ(frozen_kernel(*handle), "65536 B");
  EXPECT_THAT(handle->provenance(7), HasSubstr("measured on this device model"));
}

TEST_F(BackgroundTuneTest, WhatIsKnownIsNotTuned) {
  use_tool("exit 0");
  {
    auto handle = open_kernel(open_context(folder_.file("cache.db")), "widget", "width=64");
    ASSERT_NE(handle, nullptr);
    for (int64_t bucket : {1, 16, 256}) put_winner(*handle, bucket);
  }
  auto handle = open_in_background();
  ASSERT_NE(handle, nullptr);
  EXPECT_FALSE(handle->tuning());
  EXPECT_FALSE(std::filesystem::exists(folder_.file("started")));
}

TEST_F(BackgroundTuneTest, OnlyTheMissedBucketsAreTuned) {
  use_tool("exit 0");
  {
    auto handle = open_kernel(open_context(folder_.file("cache.db")), "widget", "width=64");
    put_winner(*handle, 16);
  }
  auto handle = open_in_background();
  ASSERT_NE(handle, nullptr);
  EXPECT_THAT(started().second, HasSubstr("--tokens 1,256 "));
}

TEST_F(BackgroundTuneTest, ClosingTheKernelEndsTheChild) {
  use_tool("sleep 1000");
  auto handle = open_in_background();
  ASSERT_NE(handle, nullptr);
  const pid_t child = started().first;
  ASSERT_EQ(::kill(child, 0), 0);
  const auto begin = std::chrono::steady_clock::now();
  handle.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  EXPECT_NE(::kill(child, 0), 0);
}

TEST_F(BackgroundTuneTest, AFailureIsSaidAndTheKernelGoesOn) {
  use_tool("echo no luck >&2; exit 3");
  auto handle = open_in_background();
  ASSERT_NE(handle, nullptr);
  ASSERT_TRUE(eventually([&] { return !handle->tuning(); }));
  EXPECT_EQ(frozen_kernel(*handle), "16384 B");
  handle.reset();
  EXPECT_THAT(warnings,
              Contains(HasSubstr("tuning in the background failed, the configs of the start stay")));
  EXPECT_THAT(warnings, Contains(HasSubstr("no luck")));
}

TEST_F(BackgroundTuneTest, WithoutAPlaceToTuneIntoItSaysSo) {
  use_tool("exit 0");
  OpenOptions open;
  open.miss_policy = MissPolicy::background;
  auto handle = open_kernel(open_context(), "widget", "width=64", open);
  ASSERT_NE(handle, nullptr);
  ASSERT_TRUE(eventually([&] { return !handle->tuning(); }));
  handle.reset();
  EXPECT_THAT(warnings, Contains(HasSubstr("there is nowhere to tune into")));
}

}  // namespace
}  // namespace rtjit::testing
