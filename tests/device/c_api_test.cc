// The C interface end to end on the GPU: what an engine written in C does.
#include "rtjit.h"
#include "tests/device/cases/moe_test_case.h"
#include "tests/device/cuda_session.h"

namespace rtjit::testing {
namespace {

rtjit_dtype c_dtype(DType dtype) {
  switch (dtype) {
    case DType::u8:
      return RTJIT_U8;
    case DType::i8:
      return RTJIT_I8;
    case DType::i16:
      return RTJIT_I16;
    case DType::i32:
      return RTJIT_I32;
    case DType::i64:
      return RTJIT_I64;
    case DType::bf16:
      return RTJIT_BF16;
    case DType::f16:
      return RTJIT_F16;
    case DType::f32:
      return RTJIT_F32;
    case DType::f64:
      return RTJIT_F64;
    case DType::e4m3:
      return RTJIT_E4M3;
    case DType::e8m0:
      return RTJIT_E8M0;
  }
  return RTJIT_U8;
}

void* pointer(DevicePtr address) { return reinterpret_cast<void*>(static_cast<uintptr_t>(address)); }

// The names belong to the case.
std::vector<rtjit_tensor> c_tensors(const std::vector<TensorArg>& arguments) {
  std::vector<rtjit_tensor> result;
  for (const TensorArg& argument : arguments) {
    rtjit_tensor& tensor = result.emplace_back();
    tensor = {argument.name.data(), pointer(argument.data), c_dtype(argument.dtype), argument.rank, {}, {}};
    std::copy(argument.shape.begin(), argument.shape.end(), tensor.shape);
    std::copy(argument.stride.begin(), argument.stride.end(), tensor.stride);
  }
  return result;
}

class CApiOnDevice : public CudaTest {};

TEST_F(CApiOnDevice, OpensPacksLaunchesAndTellsWhy) {
  auto created = CaseOnDevice::create(
      device(), make_moe_case({.name = "c", .tokens = 40, .ids = check::Case::Ids::some_skipped}));
  ASSERT_TRUE(created.ok()) << created.error().message;
  CaseOnDevice& on_device = **created;

  rtjit_library_options options{};
  options.struct_size = sizeof(options);
  options.database = session().database.c_str();
  rtjit_library* library = nullptr;
  ASSERT_EQ(rtjit_library_open(&options, &library), RTJIT_OK) << rtjit_last_error();
  rtjit_open_options open{};
  open.struct_size = sizeof(open);
  open.max_bucket = 64;
  rtjit_kernel* kernel = nullptr;
  ASSERT_EQ(rtjit_kernel_open(library, "moe_mxfp4", on_device.test().problem.c_str(), &open, &kernel),
            RTJIT_OK)
      << rtjit_last_error();
  rtjit_library_close(library);  // the kernel stays valid

  size_t workspace_bytes = 0, packed_bytes = 0;
  ASSERT_EQ(rtjit_kernel_workspace_size(kernel, 40, &workspace_bytes), RTJIT_OK);
  ASSERT_EQ(rtjit_kernel_packed_size(kernel, &packed_bytes), RTJIT_OK);
  auto workspace = GuardedMemory::allocate(device(), static_cast<int64_t>(workspace_bytes));
  auto packed = GuardedMemory::allocate(device(), static_cast<int64_t>(packed_bytes));
  ASSERT_TRUE(workspace.ok() && packed.ok());
  auto stream = device().create_stream();
  ASSERT_TRUE(stream.ok());

  const std::vector<rtjit_tensor> inputs = c_tensors(on_device.pack_arguments());
  rtjit_weights* weights = nullptr;
  ASSERT_EQ(rtjit_kernel_pack_weights(kernel, inputs.data(), inputs.size(), pointer(packed->data()),
                                      packed_bytes, *stream, &weights),
            RTJIT_OK)
      << rtjit_last_error();
  const std::vector<rtjit_tensor> arguments = c_tensors(on_device.launch_arguments());
  ASSERT_EQ(rtjit_kernel_launch(kernel, weights, arguments.data(), arguments.size(),
                                pointer(workspace->data()), workspace_bytes, *stream),
            RTJIT_OK)
      << rtjit_last_error();
  ASSERT_TRUE(device().synchronize(*stream).ok());
  auto output = on_device.output();
  ASSERT_TRUE(output.ok());
  EXPECT_EQ(on_device.test().judge(*output).wrong, "");
  EXPECT_EQ(*workspace->damage(), "");
  EXPECT_EQ(*packed->damage(), "");
  EXPECT_THAT(rtjit_kernel_provenance(kernel, 40), ::testing::HasSubstr("gemm1: "));

  // Weights that were packed before are taken over by their layout.
  rtjit_weights* adopted = nullptr;
  EXPECT_EQ(rtjit_weights_adopt(kernel, "another layout", pointer(packed->data()), packed_bytes, &adopted),
            RTJIT_INVALID_ARGUMENT);
  EXPECT_THAT(rtjit_last_error(), ::testing::HasSubstr("another layout"));
  ASSERT_EQ(rtjit_weights_adopt(kernel, rtjit_kernel_layout(kernel), pointer(packed->data()), packed_bytes,
                                &adopted),
            RTJIT_OK)
      << rtjit_last_error();
  ASSERT_TRUE(on_device.poison_output(0xFF).ok());
  ASSERT_TRUE(device().synchronize(nullptr).ok());
  EXPECT_EQ(rtjit_kernel_launch(kernel, adopted, arguments.data(), arguments.size(),
                                pointer(workspace->data()), workspace_bytes, *stream),
            RTJIT_OK)
      << rtjit_last_error();
  ASSERT_TRUE(device().synchronize(*stream).ok());
  auto again = on_device.output();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*again, *output);

  std::vector<rtjit_tensor> wrong = arguments;
  wrong[0].dtype = RTJIT_F16;
  EXPECT_EQ(rtjit_kernel_launch(kernel, adopted, wrong.data(), wrong.size(), pointer(workspace->data()),
                                workspace_bytes, *stream),
            RTJIT_INVALID_ARGUMENT);
  EXPECT_THAT(rtjit_last_error(), ::testing::HasSubstr("f16"));
  rtjit_weights_free(adopted);
  rtjit_weights_free(weights);
  rtjit_kernel_close(kernel);
  device().destroy_stream(*stream);
}

}  // namespace
}  // namespace rtjit::testing
