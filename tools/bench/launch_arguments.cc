#include "tools/bench/launch_arguments.h"

namespace rtjit {
namespace {

rtjit_dtype c_dtype(DType dtype) { return static_cast<rtjit_dtype>(dtype); }

}  // namespace

Result<std::vector<rtjit_tensor>> make_arguments(Device& device, const KernelHandle& handle, int64_t tokens,
                                                 ArgumentSpec::Role role) {
  const LaunchPlan& plan = handle.pipeline(tokens).plan();
  std::vector<int64_t> values = plan.base_values();
  for (const LaunchScalar& scalar : handle.source().scalars) {
    // Strides are bound by dense tensors; the bucket scalar is what was asked for.
    if (int slot = plan.scalar_slot(scalar.name); slot >= 0) values[static_cast<size_t>(slot)] = tokens;
  }
  std::vector<rtjit_tensor> result;
  for (size_t i = 0; i < handle.source().arguments.size(); ++i) {
    const ArgumentSpec& spec = handle.source().arguments[i];
    const auto& shape = plan.argument_shapes()[i];
    const auto required = shape.required.evaluate(values);
    if (spec.role != role || !required || *required == 0) continue;
    rtjit_tensor& tensor = result.emplace_back();
    tensor = {spec.name.c_str(),
              nullptr,
              c_dtype(accepted_dtypes(spec, handle.problem()).front()),
              static_cast<int32_t>(shape.shape.size()),
              {},
              {}};
    size_t bytes = static_cast<size_t>(bytes_of(accepted_dtypes(spec, handle.problem()).front()));
    for (size_t d = 0; d < shape.shape.size(); ++d) {
      const auto dimension = shape.shape[d].evaluate(values);
      if (!dimension) return make_error(ErrorCode::internal, "{}: its shape has no value", spec.name);
      tensor.shape[d] = *dimension;
      bytes *= static_cast<size_t>(*dimension);
    }
    auto memory = device.allocate(bytes);
    if (!memory) return memory.error();
    if (Status status = device.fill(*memory, 0, bytes, nullptr); !status) return status.error();
    tensor.data = reinterpret_cast<void*>(*memory);
  }
  return result;
}

}  // namespace rtjit
