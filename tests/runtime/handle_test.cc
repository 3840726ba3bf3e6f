// From open to launch on the fake device: real manifests, real compiles, recorded launches.
#include "runtime/handle.h"

#include "compiler/nvrtc.h"
#include "tests/runtime/fixture.h"

namespace rtjit::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class HandleTest : public RuntimeTest {
 protected:
  std::vector<TensorArg> widget_arguments(int64_t tokens) {
    return {tensor("x", DType::bf16, {tokens, 64}, {72, 1}, 0x10000),
            tensor("ids", DType::i64, {tokens, 2}, {}, 0x20000),
            tensor("out", DType::f32, {tokens, 64}, {}, 0x30000)};
  }
  static constexpr DevicePtr kWorkspace = 0x100000, kPacked = 0x200000;
};

TEST_F(HandleTest, LaunchesTheStagesWithTheirArguments) {
  auto handle = open_kernel(open_context(), "widget", "width=64,bias=f32");
  ASSERT_NE(handle, nullptr);
  EXPECT_EQ(handle->packed_bytes(), 2048 + 256);
  EXPECT_EQ(*handle->workspace_bytes(7), 7 * 64 * 4);
  device->arguments_to_record = 7;
  int waits = device->waits;
  Status status = handle->launch(widget_arguments(7), kPacked, 2304, kWorkspace, 1 << 20, device);
  ASSERT_TRUE(status.ok()) << status.error().message;
  ASSERT_EQ(device->launches.size(), 2u);  // finish is for more than 16 tokens
  const FakeLaunch& prepare = device->launches[0];
  EXPECT_THAT(prepare.kernel->symbol, HasSubstr("prepare"));
  EXPECT_THAT(prepare.config.grid, ElementsAre(7, 1, 1));
  EXPECT_EQ(prepare.arguments[0], 0x10000u);
  EXPECT_EQ(static_cast<int32_t>(prepare.arguments[2]), 8);   // ids.item_bytes
  EXPECT_EQ(prepare.arguments[3], 72u);                       // x_stride
  EXPECT_EQ(prepare.arguments[4], 0u);                        // scale is absent
  EXPECT_EQ(prepare.arguments[5], kWorkspace);                // sums
  EXPECT_EQ(static_cast<int32_t>(prepare.arguments[6]), 64);  // width
  const FakeLaunch& tiled = device->launches[1];
  EXPECT_THAT(tiled.kernel->symbol, HasSubstr("tiled"));
  EXPECT_THAT(tiled.config.grid, ElementsAre(2, 2, 1));
  EXPECT_THAT(tiled.config.block, ElementsAre(64, 1, 1));
  EXPECT_EQ(tiled.config.dynamic_smem, 16u * 1024);
  EXPECT_EQ(tiled.arguments[1], kPacked);
  EXPECT_EQ(tiled.arguments[2], kPacked + 2048);
  EXPECT_EQ(tiled.arguments[4], 7u);
  float alpha = 0;
  std::memcpy(&alpha, &tiled.arguments[6], 4);
  EXPECT_EQ(alpha, 0.5f);
  EXPECT_EQ(tiled.stream, device);
  EXPECT_EQ(device->waits, waits);  // a launch never waits for the device

  device->launches.clear();
  ASSERT_TRUE(handle->launch(widget_arguments(17), kPacked, 2304, kWorkspace, 1 << 20, nullptr).ok());
  ASSERT_EQ(device->launches.size(), 3u);
  EXPECT_THAT(device->launches[2].kernel->symbol, HasSubstr("finish"));
}

TEST_F(HandleTest, NoTokensIsSuccessAndNoLaunch) {
  auto handle = open_kernel(open_context(), "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  std::vector<TensorArg> arguments = {tensor("x", DType::bf16, {0, 64}, {}, 0),
                                      tensor("ids", DType::i32, {0, 2}, {}, 0),
                                      tensor("out", DType::f32, {0, 64}, {}, 0)};
  Status status = handle->launch(arguments, kPacked, 2048, 0, 0, nullptr);
  EXPECT_TRUE(status.ok()) << status.error().message;
  EXPECT_TRUE(device->launches.empty());
}

TEST_F(HandleTest, TooLittleMemoryIsNamedWithTheNumbers) {
  auto handle = open_kernel(open_context(), "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  auto launch = [&](DevicePtr packed, int64_t packed_bytes, DevicePtr workspace, int64_t bytes) {
    return handle->launch(widget_arguments(7), packed, packed_bytes, workspace, bytes, nullptr);
  };
  EXPECT_EQ(launch(kPacked, 2048, kWorkspace, 1000).error().message,
            "workspace: 1,000 B given, 1,792 B are needed for tokens = 7");
  EXPECT_EQ(launch(kPacked, 2048, 0, 5000).error().message,
            "workspace: 5,000 B (null) given, 1,792 B are needed for tokens = 7");
  EXPECT_EQ(launch(kPacked, 2047, kWorkspace, 5000).error().message,
            "packed weights: 2,047 B given, 2,048 B are needed for tokens = 7");
  EXPECT_EQ(launch(kPacked, 2048, kWorkspace + 16, 5000).error().message,
            "workspace: pointer 0x100010, must be aligned to 256 bytes");
  EXPECT_TRUE(device->launches.empty());
}

TEST_F(HandleTest, PacksWeights) {
  auto handle = open_kernel(open_context(), "widget", "width=64,bias=f32");
  ASSERT_NE(handle, nullptr);
  device->arguments_to_record = 5;
  std::vector<TensorArg> inputs = {tensor("w", DType::u8, {64, 32}, {}, 0x40000),
                                   tensor("b", DType::f32, {64}, {}, 0x50000)};
  Status status = handle->pack(inputs, kPacked, handle->packed_bytes(), nullptr);
  ASSERT_TRUE(status.ok()) << status.error().message;
  ASSERT_EQ(device->launches.size(), 1u);
  EXPECT_EQ(device->launches[0].arguments[0], 0x40000u);
  EXPECT_EQ(device->launches[0].arguments[3], kPacked + 2048);
  inputs.pop_back();
  EXPECT_EQ(handle->pack(inputs, kPacked, handle->packed_bytes(), nullptr).error().message,
            "b: missing or null; it is required when bias != 'none'");
}

TEST_F(HandleTest, BucketsShareAPipelineWhereTheChoiceIsTheSame) {
  auto handle = open_kernel(open_context(), "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  EXPECT_EQ(&handle->pipeline(1), &handle->pipeline(16));
  EXPECT_NE(&handle->pipeline(16), &handle->pipeline(17));
  EXPECT_EQ(&handle->pipeline(256), &handle->pipeline(4000));
  EXPECT_EQ(handle->provenance(16), "prepare: only (untuned); main: tiled tile=16,threads_x=64 (default)");
}

TEST_F(HandleTest, ADefaultThatDoesNotFitGivesWayToASmallerTileNearby) {
  // 192 KiB of the default for many tokens do not fit sm_120's 99 KiB.
  auto handle = open_kernel(open_context(":memory:", "sm_120a"), "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  EXPECT_THAT(handle->provenance(256), HasSubstr("main: tiled tile=96,threads_x=128 (near the default"));
  EXPECT_THAT(infos, ::testing::Contains(HasSubstr("tile=192,threads_x=128: smem: needs 196,608 B, "
                                                   "sm_120a allows 101,376 B per block")));
}

TEST_F(HandleTest, AVariantThatTheTargetLacksGivesWayToTheReference) {
  auto handle = open_kernel(open_context(":memory:", "sm_75"), "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  EXPECT_EQ(handle->provenance(1), "prepare: only (untuned); main: reference (fallback)");
}

TEST_F(HandleTest, ABinaryThatDoesNotLoadGivesWay) {
  auto context = open_context();
  device->refuse_kernel = "tiled";
  auto handle = open_kernel(context, "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  EXPECT_THAT(handle->provenance(1), HasSubstr("main: reference (fallback)"));
}

TEST_F(HandleTest, NothingLeftIsUnsupportedWithAllReasons) {
  auto context = open_context();
  device->refuse_kernel = "rtjit::widget";
  auto handle = KernelHandle::open(context, "widget", "width=64", {});
  ASSERT_FALSE(handle.ok());
  EXPECT_EQ(handle.error().code, ErrorCode::unsupported);
  EXPECT_THAT(handle.error().message,
              HasSubstr("widget: stage prepare cannot run on Fake sm_90a for bucket 1"));
  EXPECT_THAT(handle.error().message, HasSubstr("only: the fake refuses rtjit::widget::prepare"));
}

TEST_F(HandleTest, MaxBucketLimitsWhatIsOpenedAndLaunched) {
  OpenOptions open;
  open.max_bucket = 10;
  auto handle = open_kernel(open_context(), "widget", "width=64", open);
  ASSERT_NE(handle, nullptr);
  ASSERT_TRUE(handle->launch(widget_arguments(16), kPacked, 2048, kWorkspace, 1 << 20, nullptr).ok());
  EXPECT_EQ(handle->launch(widget_arguments(17), kPacked, 2048, kWorkspace, 1 << 20, nullptr).error().message,
            "tokens = 17: this kernel was opened for at most 10");
  open.max_bucket = -1;
  EXPECT_FALSE(KernelHandle::open(open_context(), "widget", "width=64", open).ok());
}

TEST_F(HandleTest, OverridesAreTakenAsGivenOrRefused) {
  OpenOptions open;
  open.configs = {"main=tiled:tile=32,threads_x=128"};
  auto handle = open_kernel(open_context(), "widget", "width=64", open);
  ASSERT_NE(handle, nullptr);
  EXPECT_THAT(handle->provenance(256), HasSubstr("main: tiled tile=32,threads_x=128 (as given)"));
  auto refused = [&](const char* text) {
    OpenOptions wrong;
    wrong.configs = {text};
    auto result = KernelHandle::open(open_context(), "widget", "width=64", wrong);
    return result.ok() ? std::string("accepted") : result.error().message;
  };
  EXPECT_THAT(refused("main"), HasSubstr("expected stage=variant:key=value"));
  EXPECT_THAT(refused("middle=tiled"), HasSubstr("has no stage middle, its stages are prepare, main"));
  EXPECT_THAT(refused("main=fast"), HasSubstr("no variant fast, its variants are tiled, reference"));
  EXPECT_THAT(refused("main=tiled:tile=17,threads_x=128"), HasSubstr("tile"));
  EXPECT_THAT(refused("main=tiled:tile=7"), HasSubstr("config \"main=tiled:tile=7\""));
}

TEST_F(HandleTest, UnknownTemplatesAndProblemsAreNamed) {
  auto context = open_context();
  EXPECT_EQ(KernelHandle::open(context, "gadget", "width=64", {}).error().code, ErrorCode::not_found);
  EXPECT_THAT(KernelHandle::open(context, "widget", "", {}).error().message, HasSubstr("width"));
  EXPECT_THAT(KernelHandle::open(context, "widget", "width=63", {}).error().message,
              HasSubstr("multiple of 8"));
  EXPECT_THAT(KernelHandle::open(context, "widget", "width", {}).error().message, HasSubstr("problem"));
}

TEST_F(HandleTest, AFilledStoreNeedsNoCompiler) {
  TemporaryFolder folder;
  {
    auto context = open_context(folder.file("cache.db"));
    ASSERT_NE(open_kernel(context, "widget", "width=64"), nullptr);
    EXPECT_TRUE(context->compiler_opened());
  }
  ASSERT_EQ(::setenv("RTJIT_NVRTC", "/no/such/libnvrtc.so", 1), 0);
  auto context = open_context(folder.file("cache.db"));
  auto handle = open_kernel(context, "widget", "width=64");
  ::unsetenv("RTJIT_NVRTC");
  ASSERT_NE(handle, nullptr);
  EXPECT_FALSE(context->compiler_opened());
  EXPECT_TRUE(handle->launch(widget_arguments(100), kPacked, 2048, kWorkspace, 1 << 20, nullptr).ok());
}

TEST_F(HandleTest, AWinnerOfTheStoreIsUsedAndNamed) {
  TemporaryFolder folder;
  auto context = open_context(folder.file("cache.db"));
  auto handle = open_kernel(context, "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  WinnerRow winner;
  winner.template_name = "widget";
  winner.template_hash = handle->source().content_hash;
  winner.problem = handle->problem().canonical();
  winner.stage = "main";
  winner.bucket = 256;
  winner.target = "sm_90a";
  winner.sku = device->info().sku_fingerprint();
  winner.variant = "tiled";
  winner.config = "tile=64,threads_x=64";
  winner.knowledge = Knowledge::measured;
  winner.verified = true;
  winner.time_us = 12.34;
  ASSERT_TRUE(context->store().put_winner(winner).ok());
  EXPECT_THAT(handle->provenance(256), HasSubstr("(default)"));
  const Pipeline* before = &handle->pipeline(256);
  ASSERT_TRUE(handle->refresh().ok());
  EXPECT_NE(&handle->pipeline(256), before);
  EXPECT_THAT(handle->provenance(256),
              HasSubstr("main: tiled tile=64,threads_x=64 (measured on this device model, 12.3 us)"));

  OpenOptions fail;
  fail.miss_policy = MissPolicy::fail;
  auto missing = KernelHandle::open(context, "widget", "width=64", fail);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_THAT(missing.error().message, HasSubstr("rtjit tune widget --problem width=64"));
  OpenOptions use_default;
  use_default.miss_policy = MissPolicy::use_default;
  EXPECT_THAT(open_kernel(context, "widget", "width=64", use_default)->provenance(256),
              HasSubstr("(default)"));
}

// An H100 (SXM: 132 SMs; NVL: the same chip with other memory) without rows of its own starts from what an
// H200 measured.
TEST_F(HandleTest, AnH100StartsFromTheH200sRowsAndSaysSo) {
  TemporaryFolder folder;
  const std::string h200 = "sm_90a,sm=132,smem=232448,l2=62914560,bus=6144,mclk=3201";
  {
    auto handle = open_kernel(open_context(), "widget", "width=64");
    ASSERT_NE(handle, nullptr);
    WinnerRow winner;
    winner.template_name = "widget";
    winner.template_hash = handle->source().content_hash;
    winner.problem = handle->problem().canonical();
    winner.stage = "main";
    winner.bucket = 256;
    winner.target = "sm_90a";
    winner.sku = h200;
    winner.variant = "tiled";
    winner.config = "tile=64,threads_x=64";
    winner.knowledge = Knowledge::measured;
    winner.verified = true;
    winner.time_us = 12.34;
    TuningRow row;
    row.key = {"widget", winner.template_hash, winner.problem, "main", "tiled", winner.config, 256, "sm_90a",
               h200};
    row.knowledge = Knowledge::measured;
    row.verified = true;
    row.time_us = 12.34;
    row.device_name = "NVIDIA H200";
    auto prebuilt = Store::open({.path = folder.file("h200.db")});
    ASSERT_TRUE(prebuilt.ok());
    ASSERT_TRUE((*prebuilt)->put_row(row).ok());
    ASSERT_TRUE((*prebuilt)->put_winner(winner).ok());
  }
  auto fake = std::make_unique<FakeDevice>("sm_90a");  // its L2, bus and memory clock are an H100's
  device = fake.get();
  ASSERT_NE(device->info().sku_fingerprint(), h200);
  auto below = options();
  below.read_only = {folder.file("h200.db")};
  auto context = Context::open(std::move(below), std::move(fake));
  ASSERT_TRUE(context.ok());
  auto handle = open_kernel(*context, "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  EXPECT_THAT(handle->provenance(256), HasSubstr("main: tiled tile=64,threads_x=64 (measured on NVIDIA H200 "
                                                 "(132 SMs); this device has 132, 12.3 us)"));
}

TEST_F(HandleTest, AStoredWinnerThatThisDeviceCannotRunIsPassedOver) {
  auto context = open_context(":memory:", "sm_120a");
  auto handle = open_kernel(context, "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  WinnerRow winner;
  winner.template_name = "widget";
  winner.template_hash = handle->source().content_hash;
  winner.problem = handle->problem().canonical();
  winner.stage = "main";
  winner.bucket = 256;
  winner.target = "sm_120a";
  winner.variant = "tiled";
  winner.config = "tile=128,threads_x=64";
  winner.knowledge = Knowledge::predicted;
  ASSERT_TRUE(context->store().put_winner(winner).ok());
  ASSERT_TRUE(handle->refresh().ok());
  EXPECT_THAT(handle->provenance(256), HasSubstr("tile=96"));
}

TEST_F(HandleTest, AConfigThatFailedWhenItRanIsNotUsed) {
  auto context = open_context();
  auto handle = open_kernel(context, "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  TuningRow row;
  row.key = {"widget",
             handle->source().content_hash,
             handle->problem().canonical(),
             "main",
             "tiled",
             "tile=16,threads_x=64",
             16,
             "sm_90a",
             device->info().sku_fingerprint()};
  row.verdict = Verdict::wrong;
  row.reason = "wrong: rel_l2 0.5";
  ASSERT_TRUE(context->store().put_row(row).ok());
  ASSERT_TRUE(handle->refresh().ok());
  EXPECT_THAT(handle->provenance(16), ::testing::Not(HasSubstr("tile=16,threads_x=64")));
  EXPECT_THAT(handle->provenance(1), HasSubstr("tile=16,threads_x=64"));
}

TEST_F(HandleTest, ARefusalByAnotherCompilerIsNotTheLastWord) {
  auto context = open_context();
  auto handle = open_kernel(context, "widget", "width=64");
  ASSERT_NE(handle, nullptr);
  TuningRow row;
  row.key = {"widget",
             handle->source().content_hash,
             handle->problem().canonical(),
             "main",
             "tiled",
             "tile=16,threads_x=64",
             0,
             "sm_90a",
             device->info().sku_fingerprint()};
  row.verdict = Verdict::compile;
  row.reason = "compile: an internal error";
  row.compiler = (*context->compile_pool())->nvrtc().version();
  ASSERT_TRUE(context->store().put_row(row).ok());
  ASSERT_TRUE(handle->refresh().ok());
  EXPECT_THAT(handle->provenance(1), ::testing::Not(HasSubstr("tile=16,threads_x=64")));
  row.compiler = "nvrtc 1.0";
  ASSERT_TRUE(context->store().put_row(row).ok());
  ASSERT_TRUE(handle->refresh().ok());
  EXPECT_THAT(handle->provenance(1), HasSubstr("tile=16,threads_x=64"));
}

TEST_F(HandleTest, TuningOnAMissRunsTheTool) {
  TemporaryFolder folder;
  std::string tool = folder.file("rtjit"), trace = folder.file("trace");
  {
    FILE* file = ::fopen(tool.c_str(), "w");
    ASSERT_NE(file, nullptr);
    ::fprintf(file, "#!/bin/sh\necho \"$@\" > %s\necho no luck >&2\nexit 3\n", trace.c_str());
    ::fclose(file);
    std::filesystem::permissions(tool, std::filesystem::perms::owner_all);
  }
  ::setenv("RTJIT_TOOL", tool.c_str(), 1);
  OpenOptions open;
  open.miss_policy = MissPolicy::tune;
  auto handle = open_kernel(open_context(folder.file("cache.db")), "widget", "width=64", open);
  ::unsetenv("RTJIT_TOOL");
  ASSERT_NE(handle, nullptr);  // slower than it could be, but it works
  EXPECT_THAT(warnings, ::testing::Contains(HasSubstr("no luck")));
  char line[1000] = {};
  FILE* file = ::fopen(trace.c_str(), "r");
  ASSERT_NE(file, nullptr);
  EXPECT_NE(::fgets(line, sizeof line, file), nullptr);
  ::fclose(file);
  EXPECT_THAT(line, HasSubstr("tune widget --problem width=64,bias=none,alpha=0.5 --tokens 1,16,256 --db " +
                              folder.file("cache.db") + " --device 0"));
}

TEST_F(HandleTest, ScaleAddOpensAndLaunches) {
  auto handle = open_kernel(open_context(), "scale_add", "a=2.5");
  ASSERT_NE(handle, nullptr);
  EXPECT_EQ(handle->packed_bytes(), 0);
  EXPECT_EQ(*handle->workspace_bytes(1 << 22), 0);
  device->arguments_to_record = 5;
  std::vector<TensorArg> arguments = {tensor("x", DType::f32, {1000}), tensor("y", DType::f32, {1000}),
                                      tensor("out", DType::f32, {1000})};
  Status status = handle->launch(arguments, 0, 0, 0, 0, nullptr);
  ASSERT_TRUE(status.ok()) << status.error().message;
  ASSERT_EQ(device->launches.size(), 1u);
  EXPECT_THAT(device->launches[0].config.grid, ElementsAre(8, 1, 1));
  EXPECT_THAT(device->launches[0].config.block, ElementsAre(128, 1, 1));
  EXPECT_EQ(device->launches[0].arguments[3], 1000u);
  EXPECT_EQ(handle->pack({}, 0, 0, nullptr).error().message, "scale_add packs no weights");
}

// The built-in templates with the real compiler: everything that open accepts is there when it returns.
TEST_F(HandleTest, BuiltInTemplatesOpenForTargetsOfEveryKind) {
  struct Case {
    const char *target, *tmpl, *problem;
  };
  for (const Case& c :
       {Case{"sm_80", "moe_mxfp4", "preset=gpt-oss-20b"}, Case{"sm_121a", "moe_mxfp4", "preset=gpt-oss-20b"},
        Case{"sm_90a", "gemm_fp8_block", "n=200,k=304"}}) {
    OpenOptions open;
    open.max_bucket = 1;
    auto handle = open_kernel(open_context(":memory:", c.target), c.tmpl, c.problem, open);
    ASSERT_NE(handle, nullptr) << c.target;
    EXPECT_GE(*handle->workspace_bytes(1), 0);
    EXPECT_THAT(handle->provenance(1), ::testing::Not(HasSubstr("fallback"))) << c.target;
  }
}

TEST_F(HandleTest, UntunedBucketsGetTheVariantThatTheManifestOffersThere) {
  auto context = open_context(":memory:", "sm_90a");
  OpenOptions open;
  open.max_bucket = 8;
  auto handle = open_kernel(context, "moe_mxfp4", "hidden=256,intermediate=256,experts=4,top_k=4", open);
  ASSERT_NE(handle, nullptr);
  EXPECT_THAT(handle->provenance(1), HasSubstr("gemm1: stream"));
  EXPECT_THAT(handle->provenance(4), HasSubstr("gemm1: stream"));
  EXPECT_THAT(handle->provenance(8), HasSubstr("gemm1: wgmma"));
}

TEST_F(HandleTest, ModulesLiveAsLongAsTheirHandles) {
  auto context = open_context();
  {
    auto handle = open_kernel(context, "widget", "width=64");
    ASSERT_NE(handle, nullptr);
    EXPECT_EQ(device->live_modules, 4);  // prepare, two tiles, packing
    EXPECT_EQ(device->loads, 4);         // each binary once, however many buckets use it
  }
  EXPECT_EQ(device->live_modules, 0);
}

}  // namespace
}  // namespace rtjit::testing
