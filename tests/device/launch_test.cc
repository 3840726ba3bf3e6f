// What a launch on a real stream must do beyond being right: capture, replay, and refuse wrong arguments.
#include "tests/device/cases/moe_test_case.h"
#include "tests/device/cuda_session.h"

namespace rtjit::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kTokens = 33;

class LaunchOnDevice : public CudaTest {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto created = CaseOnDevice::create(device(), make_moe_case({.name = "launch", .tokens = kTokens}));
    ASSERT_TRUE(created.ok()) << created.error().message;
    on_device = std::move(*created);
    OpenOptions options;
    options.max_bucket = kTokens;
    auto opened = KernelHandle::open(context(), "moe_mxfp4", on_device->test().problem, options);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    handle = std::move(*opened);
    ASSERT_TRUE(on_device->pack(*handle).ok());
    auto memory = GuardedMemory::allocate(device(), *handle->workspace_bytes(kTokens));
    ASSERT_TRUE(memory.ok());
    workspace = std::move(*memory);
    auto created_stream = device().create_stream();
    ASSERT_TRUE(created_stream.ok());
    stream = *created_stream;
  }
  void TearDown() override {
    if (stream != nullptr) device().destroy_stream(stream);
  }
  Status launch(const std::vector<TensorArg>& arguments, StreamHandle on) {
    return handle->launch(arguments, on_device->packed(), on_device->packed_bytes(), workspace.data(),
                          workspace.bytes(), on);
  }
  void poison() {
    ASSERT_TRUE(on_device->poison_output(0xFF).ok());
    ASSERT_TRUE(workspace.fill(0xFF).ok());
    ASSERT_TRUE(device().synchronize(nullptr).ok());
  }
  std::vector<unsigned char> eager() {
    poison();
    EXPECT_TRUE(launch(on_device->launch_arguments(), stream).ok());
    EXPECT_TRUE(device().synchronize(stream).ok());
    auto output = on_device->output();
    EXPECT_TRUE(output.ok());
    return *output;
  }
  std::vector<unsigned char> replay(Graph& graph) {
    poison();
    EXPECT_TRUE(graph.replay(stream).ok());
    EXPECT_TRUE(device().synchronize(stream).ok());
    auto output = on_device->output();
    EXPECT_TRUE(output.ok());
    return *output;
  }
  // The same tensors in the same places with what another case draws.
  void take_inputs_of(const check::Case& c) {
    for (const HostArgument& argument : make_moe_case(c).launch) {
      if (argument.output) continue;
      Status status = on_device->replace(argument.name, argument.bytes);
      ASSERT_TRUE(status.ok()) << status.error().message;
    }
  }
  // Refused, with a message that has each of `parts`, and nothing was launched.
  void expect_refused(const std::vector<TensorArg>& arguments, const std::vector<std::string>& parts) {
    poison();
    Status status = launch(arguments, stream);
    ASSERT_FALSE(status.ok()) << parts[0];
    EXPECT_EQ(status.error().code, ErrorCode::invalid_argument) << status.error().message;
    for (const std::string& part : parts) EXPECT_THAT(status.error().message, HasSubstr(part));
    ASSERT_TRUE(device().synchronize(stream).ok());
    auto output = on_device->output();
    ASSERT_TRUE(output.ok());
    EXPECT_EQ(*output, std::vector<unsigned char>(output->size(), 0xFF));
  }
  std::vector<TensorArg> with(const std::string& name, const std::function<void(TensorArg*)>& change) {
    std::vector<TensorArg> arguments = on_device->launch_arguments();
    for (TensorArg& argument : arguments) {
      if (argument.name == name) change(&argument);
    }
    return arguments;
  }

  std::unique_ptr<CaseOnDevice> on_device;
  std::unique_ptr<KernelHandle> handle;
  GuardedMemory workspace;
  StreamHandle stream = nullptr;
};

TEST_F(LaunchOnDevice, ReplayOfACapturedGraphEqualsEagerLaunches) {
  const std::vector<unsigned char> first = eager();
  EXPECT_EQ(on_device->test().judge(first).wrong, "");
  auto graph = device().capture([&](StreamHandle on) { return launch(on_device->launch_arguments(), on); });
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  EXPECT_EQ(replay(**graph), first);
  // Other tokens, other routing, ids of other ranks and NaN weights: nothing of the first run may be baked
  // in.
  const check::Case others[] = {
      {.name = "other", .tokens = kTokens},
      {.name = "one expert", .tokens = kTokens, .ids = check::Case::Ids::one_expert},
      {.name = "skipped", .tokens = kTokens, .ids = check::Case::Ids::some_skipped},
      {.name = "none", .tokens = kTokens, .ids = check::Case::Ids::all_skipped},
  };
  for (const check::Case& other : others) {
    take_inputs_of(other);
    const std::vector<unsigned char> expected = eager();
    EXPECT_NE(expected, first) << other.name;
    EXPECT_EQ(replay(**graph), expected) << other.name;
  }
}

TEST_F(LaunchOnDevice, ManyReplaysGiveTheSameBits) {
  auto graph = device().capture([&](StreamHandle on) { return launch(on_device->launch_arguments(), on); });
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  const std::vector<unsigned char> first = replay(**graph);
  for (int i = 0; i < 50; ++i) ASSERT_EQ(replay(**graph), first) << i;
}

TEST_F(LaunchOnDevice, WrongArgumentsAreRefusedAndNothingRuns) {
  expect_refused(with("x", [](TensorArg* x) { x->dtype = DType::f16; }), {"x", "f16", "bf16"});
  expect_refused(with("x", [](TensorArg* x) { x->shape[1] -= 8; }), {"x"});
  expect_refused(with("x", [](TensorArg* x) { x->data += 2; }), {"x", "16"});
  expect_refused(with("x", [](TensorArg* x) { x->data = 0; }), {"x"});
  expect_refused(with("ids", [](TensorArg* ids) { ids->dtype = DType::f32; }), {"ids", "f32"});
  expect_refused(with("ids", [](TensorArg* ids) { ids->rank = 1; }), {"ids"});
  expect_refused(with("weights", [](TensorArg* weights) { weights->dtype = DType::f64; }),
                 {"weights", "f64"});
  expect_refused(with("out", [](TensorArg* out) { out->name = "result"; }), {"result"});
  std::vector<TensorArg> without_out = on_device->launch_arguments();
  std::erase_if(without_out, [](const TensorArg& argument) { return argument.name == "out"; });
  expect_refused(without_out, {"out"});
  EXPECT_EQ(on_device->test().judge(eager()).wrong, "");
}

TEST_F(LaunchOnDevice, TooLittleMemoryIsRefused) {
  const std::vector<TensorArg> arguments = on_device->launch_arguments();
  Status status = handle->launch(arguments, on_device->packed(), on_device->packed_bytes(), workspace.data(),
                                 workspace.bytes() - 1, stream);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(status.error().message, HasSubstr("workspace"));
  status = handle->launch(arguments, on_device->packed(), on_device->packed_bytes() - 1, workspace.data(),
                          workspace.bytes(), stream);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
  status = handle->launch(arguments, 0, 0, workspace.data(), workspace.bytes(), stream);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace rtjit::testing
