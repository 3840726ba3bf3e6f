// The part of the C interface that bindings and small programs need: the device, its memory, the arguments of
// a kernel.
#include <algorithm>
#include <cstring>

#include "runtime/c_api_objects.h"

namespace rtjit {
namespace {

Status required(const void* pointer, const char* name) {
  if (pointer != nullptr) return {};
  return make_error(ErrorCode::invalid_argument, "{}: null, a pointer is required", name);
}

// Fills the caller's structure as far as it knows it: one built with an older header has a shorter one.
template <typename Info>
Status give(Info* target, Info info, size_t first_size) {
  const size_t size = target->struct_size;
  if (size < first_size || size > sizeof(Info)) {
    return make_error(ErrorCode::invalid_argument, "info->struct_size: {}, this library expects {}", size,
                      sizeof(Info));
  }
  info.struct_size = size;
  std::memcpy(target, &info, size);
  return {};
}

}  // namespace
}  // namespace rtjit

using namespace rtjit;  // NOLINT: the functions below are the interface itself

rtjit_status rtjit_library_device(const rtjit_library* library, rtjit_device_info* info) {
  return guarded([&]() -> Status {
    if (Status status = required(library, "library"); !status) return status;
    if (Status status = required(info, "info"); !status) return status;
    const DeviceInfo& device = library->context->device().info();
    rtjit_device_info result{};
    result.name = device.name.c_str();
    result.target = device.target.name().c_str();
    result.ordinal = device.ordinal;
    result.emulated = device.emulated ? 1 : 0;
    result.sm_count = device.sm_count;
    result.total_memory = device.total_memory;
    return give(info, result, sizeof(rtjit_device_info));
  });
}

rtjit_status rtjit_memory_allocate(rtjit_library* library, size_t bytes, void** memory) {
  if (memory != nullptr) *memory = nullptr;
  return guarded([&]() -> Status {
    if (Status status = required(library, "library"); !status) return status;
    if (Status status = required(memory, "memory"); !status) return status;
    auto pointer = library->context->device().allocate(std::max<size_t>(bytes, 1));
    if (!pointer) return pointer.error();
    *memory = reinterpret_cast<void*>(*pointer);
    return {};
  });
}

void rtjit_memory_free(rtjit_library* library, void* memory) {
  if (library != nullptr && memory != nullptr) {
    library->context->device().free(reinterpret_cast<DevicePtr>(memory));
  }
}

rtjit_status rtjit_memory_write(rtjit_library* library, void* memory, const void* host, size_t bytes) {
  return guarded([&]() -> Status {
    if (Status status = required(library, "library"); !status) return status;
    if (bytes == 0) return {};
    if (Status status = required(memory, "memory"); !status) return status;
    if (Status status = required(host, "host"); !status) return status;
    return library->context->device().copy_to_device(reinterpret_cast<DevicePtr>(memory), host, bytes);
  });
}

rtjit_status rtjit_memory_read(rtjit_library* library, void* host, const void* memory, size_t bytes) {
  return guarded([&]() -> Status {
    if (Status status = required(library, "library"); !status) return status;
    if (bytes == 0) return {};
    if (Status status = required(memory, "memory"); !status) return status;
    if (Status status = required(host, "host"); !status) return status;
    return library->context->device().copy_to_host(host, reinterpret_cast<DevicePtr>(memory), bytes);
  });
}

rtjit_status rtjit_kernel_argument(const rtjit_kernel* kernel, size_t index, rtjit_argument_info* info) {
  return guarded([&]() -> Status {
    if (Status status = required(kernel, "kernel"); !status) return status;
    if (Status status = required(info, "info"); !status) return status;
    const KernelHandle& handle = *kernel->handle;
    const std::vector<ArgumentSpec>& arguments = handle.source().arguments;
    if (index >= arguments.size()) {
      return make_error(ErrorCode::not_found, "index: {}, {} has {} arguments", index, handle.source().name,
                        arguments.size());
    }
    const ArgumentSpec& argument = arguments[index];
    const LaunchPlan& plan = handle.pipeline(0).plan();
    auto needed =
        plan.argument_shapes()[index].required.evaluate_or_error(plan.base_values(), plan.symbols());
    if (!needed) return needed.error().with_context(argument.name);
    rtjit_argument_info result{};
    result.name = argument.name.c_str();
    result.doc = argument.doc.c_str();
    result.packed = argument.role == ArgumentSpec::Role::pack ? 1 : 0;
    result.written = argument.access == ArgumentSpec::Access::write ? 1 : 0;
    result.optional = *needed == 0 ? 1 : 0;
    result.rank = static_cast<int32_t>(argument.shape.size());
    result.bucket_dimension = -1;
    for (const auto& [source, dimension] : handle.bucket_sources()) {
      if (static_cast<size_t>(source) == index) result.bucket_dimension = dimension;
    }
    for (DType dtype : accepted_dtypes(argument, handle.problem())) {
      result.dtypes |= uint32_t{1} << static_cast<int>(dtype);
    }
    return give(info, result, sizeof(rtjit_argument_info));
  });
}
