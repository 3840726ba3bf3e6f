// Everything a caller can get wrong about arguments, with the message each gets.
#include <functional>

#include "templates/registry.h"
#include "tests/runtime/fixture.h"

namespace rtjit::testing {
namespace {

using Arguments = std::vector<TensorArg>;

class BindTest : public RuntimeTest {
 protected:
  void SetUp() override {
    context = open_context();
    handle = open_kernel(context, "widget", "width=64,bias=f32");
    ASSERT_NE(handle, nullptr);
    none = open_kernel(context, "widget", "width=64");
    ASSERT_NE(none, nullptr);
  }
  static Arguments good() {
    return {tensor("x", DType::bf16, {5, 64}), tensor("ids", DType::i32, {5, 2}),
            tensor("out", DType::f32, {5, 64})};
  }
  static Arguments weights() { return {tensor("w", DType::u8, {64, 32}), tensor("b", DType::f32, {64})}; }
  std::string bind(const Arguments& arguments, ArgumentSpec::Role role = ArgumentSpec::Role::launch) {
    return bind_on(*handle, arguments, role);
  }
  std::string bind_on(const KernelHandle& on, const Arguments& arguments, ArgumentSpec::Role role) {
    Status status = bind_arguments(on.pipeline(1).plan(), role, arguments, &bound);
    if (status.ok()) return "";
    EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
    return status.error().message;
  }
  Result<LaunchPlan> open_registry_plan() {
    auto tmpl = context->registry().find("moe_mxfp4");
    if (!tmpl) return tmpl.error();
    auto given = parse_key_values("hidden=64,intermediate=64,experts=2,top_k=1,bias=bf16");
    auto problem = context->registry().problem(**tmpl, *given);
    if (!problem) return problem.error();
    return LaunchPlan::create(*tmpl, *problem, {}, device->info().facts(), /*packing=*/true);
  }
  static Arguments bias_arguments(DType dtype) {
    return {tensor("w1", DType::u8, {2, 128, 32}), tensor("s1", DType::u8, {2, 128, 2}),
            tensor("b1", dtype, {2, 128}),         tensor("w2", DType::u8, {2, 64, 32}),
            tensor("s2", DType::u8, {2, 64, 2}),   tensor("b2", dtype, {2, 64})};
  }
  int64_t scalar(const char* name) { return bound.values[static_cast<size_t>(plan().scalar_slot(name))]; }
  const LaunchPlan& plan() { return handle->pipeline(1).plan(); }

  std::shared_ptr<Context> context;
  std::unique_ptr<KernelHandle> handle, none;
  BoundArguments bound;
};

TEST_F(BindTest, BindsScalarsPointersAndPresence) {
  Arguments arguments = good();
  arguments[0].stride = {80, 1};
  arguments.push_back(tensor("scale", DType::f32, {64}));
  ASSERT_EQ(bind(arguments), "");
  EXPECT_EQ(scalar("tokens"), 5);
  EXPECT_EQ(scalar("x_stride"), 80);
  EXPECT_EQ(bound.pointers[static_cast<size_t>(plan().pointer_index("scale"))], 0x10000u);
  EXPECT_EQ(bound.values[static_cast<size_t>(plan().item_bytes_slot(1))], 4);
  EXPECT_EQ(bound.values[static_cast<size_t>(plan().given_slot(2))], 1);
  ASSERT_EQ(bind(good()), "");
  EXPECT_EQ(scalar("x_stride"), 64);
  EXPECT_EQ(bound.values[static_cast<size_t>(plan().given_slot(2))], 0);
  EXPECT_EQ(bound.pointers[static_cast<size_t>(plan().pointer_index("scale"))], 0u);
}

TEST_F(BindTest, AcceptsWhatIsHarmless) {
  Arguments arguments = good();
  arguments.push_back(tensor("scale", DType::f32, {64}, {}, 0));  // optional and null: absent
  EXPECT_EQ(bind(arguments), "");
  std::swap(arguments[0], arguments[2]);  // any order
  EXPECT_EQ(bind(arguments), "");
  // One row: frameworks give its stride any value.
  arguments = {tensor("x", DType::bf16, {1, 64}, {3, 1}), tensor("ids", DType::i64, {1, 2}, {99, 1}),
               tensor("out", DType::f32, {1, 64}, {7, 1})};
  EXPECT_EQ(bind(arguments), "");
  EXPECT_EQ(scalar("x_stride"), 64);
  // No rows: null pointers.
  arguments = {tensor("x", DType::bf16, {0, 64}, {}, 0), tensor("ids", DType::i32, {0, 2}, {}, 0),
               tensor("out", DType::f32, {0, 64}, {}, 0)};
  EXPECT_EQ(bind(arguments), "");
  EXPECT_EQ(scalar("tokens"), 0);
  EXPECT_EQ(bind(weights(), ArgumentSpec::Role::pack), "");
}

// An inner dimension of 0: no stride of it means anything, neither the dense one nor a framework's.
TEST_F(BindTest, StridesOfATensorWithoutElementsAreNotLookedAt) {
  auto gemm = open_kernel(context, "gemm_fp8_block", "n=64,k=0");
  ASSERT_NE(gemm, nullptr);
  for (const std::vector<int64_t>& stride : {std::vector<int64_t>{}, {1, 1}, {0, 1}, {7, 7}}) {
    const Arguments arguments = {tensor("a", DType::e4m3, {3, 0}, stride, 0),
                                 tensor("sa", DType::f32, {3, 0}, stride, 0),
                                 tensor("b", DType::e4m3, {64, 0}, stride, 0),
                                 tensor("sb", DType::f32, {1, 0}, {}, 0), tensor("d", DType::bf16, {3, 64})};
    EXPECT_EQ(bind_on(*gemm, arguments, ArgumentSpec::Role::launch), "");
  }
}

TEST_F(BindTest, EveryMistakeIsNamed) {
  struct Case {
    const char* what;
    std::function<void(Arguments&)> spoil;
    const char* message;
  };
  const std::vector<Case> cases = {
      {"unknown name", [](Arguments& a) { a[0].name = "xx"; },
       "xx: no such argument; the arguments here are x, ids, scale, out"},
      {"misspelt", [](Arguments& a) { a.push_back(tensor("scael", DType::f32, {64})); },
       "scael: no such argument, did you mean scale; the arguments here are x, ids, scale, out"},
      {"pack argument",
       [](Arguments& a) {
         a.push_back(tensor("w", DType::u8, {64, 32}));
       },
       "w: is passed when weights are packed; the arguments here are x, ids, scale, out"},
      {"twice", [](Arguments& a) { a.push_back(a[0]); }, "x: passed twice"},
      {"rank too high", [](Arguments& a) { a[0].rank = 5; }, "x: rank 5, allowed are 0 to 4"},
      {"rank negative", [](Arguments& a) { a[0].rank = -1; }, "x: rank -1, allowed are 0 to 4"},
      {"missing", [](Arguments& a) { a.erase(a.begin() + 1); },
       "ids: missing or null; it is required (two numbers per row)"},
      {"null scalar", [](Arguments& a) { a[2] = tensor("out", DType::f32, {}, {}, 0); },
       "out: missing or null; it is required (result)"},
      {"null", [](Arguments& a) { a[2].data = 0; }, "out: null, but its shape [5, 64] has elements"},
      {"dtype", [](Arguments& a) { a[0].dtype = DType::f32; }, "x: dtype f32, allowed are bf16, f16"},
      {"one dtype", [](Arguments& a) { a[2].dtype = DType::bf16; }, "out: dtype bf16, allowed is f32"},
      {"rank", [](Arguments& a) { a[1] = tensor("ids", DType::i32, {10}); },
       "ids: rank 1 (shape [10]), expected rank 2 [tokens, 2]"},
      {"dimension", [](Arguments& a) { a[0].shape[1] = 65; },
       "x: shape [5, 65], expected [tokens, width]: dimension 1 must be 64 with tokens = 5"},
      {"tokens differ", [](Arguments& a) { a[1].shape[0] = 6; },
       "ids: shape [6, 2], expected [tokens, 2]: dimension 0 must be 5 with tokens = 5, x_stride = 64"},
      {"negative", [](Arguments& a) { a[1].shape[1] = -2; }, "ids: shape [5, -2] has a negative dimension"},
      {"too many tokens", [](Arguments& a) { a[0].shape[0] = 4097; },
       "x: dimension 0 is tokens = 4097, allowed is 0 to 4096"},
      {"stride of x",
       [](Arguments& a) {
         a[0].stride = {68, 1};
       },
       "x: stride 0 is x_stride = 68, allowed is 0 to 1048576, a multiple of 8"},
      {"inner stride",
       [](Arguments& a) {
         a[0].stride = {128, 2};
       },
       "x: strides [128, 2] of shape [5, 64]: stride 1 must be 1 with tokens = 5"},
      {"negative stride",
       [](Arguments& a) {
         a[0].stride = {-64, 1};
       },
       "x: stride 0 is x_stride = -64, allowed is 0 to 1048576, a multiple of 8"},
      {"not dense",
       [](Arguments& a) {
         a[2].stride = {128, 1};
       },
       "out: strides [128, 1] of shape [5, 64]: stride 0 must be 64 (dense row-major)"},
      {"pointer", [](Arguments& a) { a[0].data += 2; }, "x: pointer 0x10002, must be aligned to 16 bytes"},
      {"pointer within an element", [](Arguments& a) { a[1].data += 2; },
       "ids: pointer 0x10002, must be aligned to 4 bytes"},
      {"overflow",
       [](Arguments& a) {
         a[1].shape = {5, 2}, a[1].rank = 2, a[0].shape[1] = INT64_MAX;
       },
       "x: shape [5, 9223372036854775807], expected [tokens, width]: dimension 1 must be 64 with tokens = 5"},
      {"optional, wrong shape", [](Arguments& a) { a.push_back(tensor("scale", DType::f32, {63})); },
       "scale: shape [63], expected [width]: dimension 0 must be 64 with tokens = 5, x_stride = 64"},
      {"optional, wrong dtype", [](Arguments& a) { a.push_back(tensor("scale", DType::f64, {64})); },
       "scale: dtype f64, allowed is f32"},
      {"nothing", [](Arguments& a) { a.clear(); }, "x: missing or null; it is required (input)"},
  };
  for (const Case& c : cases) {
    Arguments arguments = good();
    c.spoil(arguments);
    EXPECT_EQ(bind(arguments), c.message) << c.what;
  }
}

TEST_F(BindTest, PackArgumentsFollowTheProblem) {
  auto pack = ArgumentSpec::Role::pack;
  Arguments arguments = weights();
  EXPECT_EQ(bind({arguments[0]}, pack), "b: missing or null; it is required when bias != 'none'");
  EXPECT_EQ(bind_on(*none, {arguments[0]}, pack), "");
  EXPECT_EQ(bind_on(*none, arguments, pack),
            "b: passed, but this problem has none (only when bias != 'none')");
  EXPECT_EQ(bind({tensor("x", DType::bf16, {5, 64})}, pack),
            "x: is passed with a launch; the arguments here are w, b");
}

TEST_F(BindTest, AProblemChoiceFixesTheDtype) {
  auto moe = open_registry_plan();
  ASSERT_TRUE(moe.ok()) << moe.error().message;
  // bias=bf16: f32 is a dtype of b2 in general, but not here.
  Status status = bind_arguments(*moe, ArgumentSpec::Role::pack, bias_arguments(DType::f32), &bound);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message, "b1: dtype f32, allowed is bf16");
  status = bind_arguments(*moe, ArgumentSpec::Role::pack, bias_arguments(DType::bf16), &bound);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

}  // namespace
}  // namespace rtjit::testing
