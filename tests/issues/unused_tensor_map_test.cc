// A kernel took a tensor map that its config does not use (`when` of the map is 0: plain stores instead of
// scatter4), and the launcher asked the device to encode it all the same: every launch failed with "tensor
// map: rank 0".
#include "tests/runtime/fixture.h"

namespace rtjit::testing {
namespace {

class UnusedTensorMap : public RuntimeTest {};

TEST_F(UnusedTensorMap, IsNotEncoded) {
  OpenOptions open;
  open.max_bucket = 1;
  open.configs = {"gemm2=mma:block_m=16,block_n=64,block_k=64,warps=4,stages=3,store=plain"};
  auto handle = open_kernel(open_context(), "moe_mxfp4", "hidden=64,intermediate=64,experts=2,top_k=1", open);
  ASSERT_NE(handle, nullptr);
  std::vector<TensorArg> arguments = {tensor("x", DType::bf16, {1, 64}), tensor("ids", DType::i32, {1, 1}),
                                      tensor("weights", DType::f32, {1, 1}),
                                      tensor("out", DType::bf16, {1, 64})};
  auto packed = device->allocate(static_cast<size_t>(handle->packed_bytes()));
  auto workspace = device->allocate(static_cast<size_t>(*handle->workspace_bytes(1)));
  Status status = handle->launch(arguments, *packed, handle->packed_bytes(), *workspace,
                                 *handle->workspace_bytes(1), nullptr);
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
  EXPECT_EQ(device->launches.size(), 4u);  // align, two GEMMs, combine
}

}  // namespace
}  // namespace rtjit::testing
