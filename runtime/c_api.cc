// The C interface over Context and KernelHandle. Checks every pointer, turns errors into status codes, lets
// no exception out.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <type_traits>

#include "base/text.h"
#include "runtime/c_api_objects.h"

namespace rtjit {
namespace {

thread_local std::string last_error;

static_assert(int{RTJIT_E8M0} == static_cast<int>(DType::e8m0) &&
              int{RTJIT_BF16} == static_cast<int>(DType::bf16) &&
              int{RTJIT_U8} == static_cast<int>(DType::u8) && int{RTJIT_F64} == static_cast<int>(DType::f64));
static_assert(int{RTJIT_INTERNAL} == static_cast<int>(ErrorCode::internal) + 1 &&
              int{RTJIT_INVALID_ARGUMENT} == static_cast<int>(ErrorCode::invalid_argument) + 1 &&
              int{RTJIT_DEVICE_FAULT} == static_cast<int>(ErrorCode::device_fault) + 1 &&
              int{RTJIT_COMPILER_TOO_OLD} == static_cast<int>(ErrorCode::compiler_too_old) + 1);

rtjit_status status_of(ErrorCode code) { return static_cast<rtjit_status>(static_cast<int>(code) + 1); }

// The number in an enum that C code filled in. Reading it as the enum would be undefined where it is none of
// its values.
template <typename Enum>
int raw(const Enum& value) {
  static_assert(sizeof(Enum) == sizeof(int));
  int number;
  std::memcpy(&number, &value, sizeof number);
  return number;
}

Error null_argument(const char* name) {
  return make_error(ErrorCode::invalid_argument, "{}: null, a pointer is required", name);
}

// The caller's options as this library knows them. Structures only grow at their end: what a program built
// with an older header does not have is zero, and what one built with a newer header has more must be zero.
// `first_size`: that of the oldest header.
template <typename Options>
Result<Options> whole_options(const Options* given, size_t first_size) {
  Options options{};
  options.struct_size = sizeof(Options);
  if (given == nullptr) return options;
  const size_t size = given->struct_size;
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  const auto has_unknown = [&] {
    return std::any_of(bytes + sizeof(Options), bytes + size, [](unsigned char byte) { return byte != 0; });
  };
  // A size beyond this is not that of a structure but of one that was never set.
  constexpr size_t kLargest = 4096;
  if (size < first_size || size > kLargest || (size > sizeof(Options) && has_unknown())) {
    return make_error(
        ErrorCode::invalid_argument,
        "options->struct_size: {}, this library expects {} (set it to sizeof the structure, and build with "
        "the rtjit.h of version {} or older)",
        size, sizeof(Options), rtjit_version());
  }
  std::memcpy(&options, given, std::min(size, sizeof(Options)));
  return options;
}

std::vector<std::string> texts(const char* const* list) {
  std::vector<std::string> result;
  for (; list != nullptr && *list != nullptr; ++list) result.emplace_back(*list);
  return result;
}

// A caller's tensors as the library's, on the stack.
class TensorList {
 public:
  Status read(const char* what, const rtjit_tensor* tensors, size_t count) {
    if (tensors == nullptr && count > 0) return null_argument(what);
    if (count > kMaxPlanPointers) {
      return make_error(ErrorCode::invalid_argument, "count: {} tensors, allowed are at most {}", count,
                        kMaxPlanPointers);
    }
    for (size_t i = 0; i < count; ++i) {
      const rtjit_tensor& from = tensors[i];
      TensorArg& to = *new (&storage_[i * sizeof(TensorArg)]) TensorArg;
      if (from.name == nullptr) {
        return make_error(ErrorCode::invalid_argument, "{}[{}].name: null, the argument's name is required",
                          what, i);
      }
      int dtype = raw(from.dtype);
      if (dtype < RTJIT_U8 || dtype > RTJIT_E8M0) {
        return make_error(ErrorCode::invalid_argument, "{}: dtype {}, not a value of rtjit_dtype", from.name,
                          dtype);
      }
      to.name = from.name;
      to.dtype = static_cast<DType>(dtype);
      to.data = reinterpret_cast<DevicePtr>(from.data);
      to.rank = from.rank;
      for (size_t d = 0; d < 4; ++d) {
        to.shape[d] = from.shape[d];
        to.stride[d] = from.stride[d];
      }
    }
    count_ = count;
    return {};
  }
  std::span<const TensorArg> list() const {
    return {std::launder(reinterpret_cast<const TensorArg*>(storage_)), count_};
  }

 private:
  static_assert(std::is_trivially_destructible_v<TensorArg>);
  // Not an array of TensorArg: clearing 10 KB that a launch does not use would cost more than the launch's
  // formulas.
  alignas(TensorArg) std::byte storage_[kMaxPlanPointers * sizeof(TensorArg)];
  size_t count_ = 0;
};

// What of two layouts is not alike: "width (128, here 64)".
std::string differences(std::string_view came, std::string_view here) {
  const auto format = [](std::string_view layout) { return layout.substr(0, layout.find(' ')); };
  const auto keys = [&](std::string_view layout) {
    auto parsed = parse_key_values(layout.substr(std::min(format(layout).size() + 1, layout.size())));
    return parsed.ok() ? std::move(*parsed) : KeyValues();
  };
  if (format(came) != format(here)) return "the packed format";
  const KeyValues theirs = keys(came);
  std::vector<std::string> found;
  for (const auto& [key, value] : keys(here)) {
    const auto other =
        std::find_if(theirs.begin(), theirs.end(), [&](const auto& c) { return c.first == key; });
    const std::string there = other == theirs.end() ? "missing" : other->second;
    if (there != value) found.push_back(fmt::format("{} ({}, here {})", key, there, value));
  }
  return found.empty() ? "how it is written" : join(found, ", ");
}

Status check_weights(const KernelHandle& handle, const rtjit_weights* weights) {
  if (weights == nullptr) {
    if (handle.packed_bytes() == 0) return {};
    return make_error(
        ErrorCode::invalid_argument,
        "weights: null; {} needs packed weights: call rtjit_kernel_pack_weights or rtjit_weights_adopt",
        handle.source().name);
  }
  if (weights->layout == handle.layout()) return {};
  return make_error(ErrorCode::invalid_argument,
                    "weights: packed as \"{}\", this kernel needs \"{}\"; they differ in {}", weights->layout,
                    handle.layout(), differences(weights->layout, handle.layout()));
}

Status check_packed(const KernelHandle& handle, const void* packed, size_t bytes) {
  int64_t needed = handle.packed_bytes();
  if (packed == nullptr && needed > 0) return null_argument("packed");
  if (static_cast<int64_t>(bytes) < needed) {
    return make_error(ErrorCode::invalid_argument, "packed_bytes: {}, {} are needed", with_thousands(bytes),
                      with_thousands(needed));
  }
  if (reinterpret_cast<uintptr_t>(packed) % 256 != 0) {
    return make_error(ErrorCode::invalid_argument, "packed: pointer {}, must be aligned to 256 bytes",
                      packed);
  }
  return {};
}

Result<OpenOptions> read_open_options(const rtjit_open_options* given) {
  auto from = whole_options(given, sizeof(rtjit_open_options));
  if (!from) return from.error();
  OpenOptions options;
  switch (raw(from->miss_policy)) {
    case RTJIT_MISS_NEAREST:
      options.miss_policy = MissPolicy::nearest;
      break;
    case RTJIT_MISS_DEFAULT:
      options.miss_policy = MissPolicy::use_default;
      break;
    case RTJIT_MISS_TUNE:
      options.miss_policy = MissPolicy::tune;
      break;
    case RTJIT_MISS_FAIL:
      options.miss_policy = MissPolicy::fail;
      break;
    case RTJIT_MISS_BACKGROUND:
      options.miss_policy = MissPolicy::background;
      break;
    default:
      return make_error(ErrorCode::invalid_argument, "options->miss_policy: {}, allowed are 0 to 4",
                        raw(from->miss_policy));
  }
  options.max_bucket = from->max_bucket;
  options.configs = texts(from->configs);
  return options;
}

#define RTJIT_TEXT(number) #number
#define RTJIT_VERSION_TEXT(major, minor, patch) RTJIT_TEXT(major) "." RTJIT_TEXT(minor) "." RTJIT_TEXT(patch)
constexpr const char* kVersion =
    RTJIT_VERSION_TEXT(RTJIT_VERSION_MAJOR, RTJIT_VERSION_MINOR, RTJIT_VERSION_PATCH);

}  // namespace

rtjit_status failed(rtjit_status status, std::string_view message) noexcept {
  try {
    last_error = message;
  } catch (...) {
    last_error.clear();
  }
  return status;
}

rtjit_status finish(const Status& status) noexcept {
  return status.ok() ? RTJIT_OK : failed(status_of(status.error().code), status.error().message);
}

}  // namespace rtjit

using namespace rtjit;  // NOLINT: the functions below are the interface itself

const char* rtjit_version(void) { return kVersion; }

const char* rtjit_status_name(rtjit_status status) {
  int number = raw(status);
  if (number == RTJIT_OK) return "ok";
  if (number < RTJIT_OK || number > RTJIT_COMPILER_TOO_OLD) return "unknown";
  return to_string(static_cast<ErrorCode>(number - 1));
}

const char* rtjit_last_error(void) { return last_error.c_str(); }

rtjit_status rtjit_library_open(const rtjit_library_options* given, rtjit_library** library) {
  if (library != nullptr) *library = nullptr;
  return guarded([&]() -> Status {
    if (library == nullptr) return null_argument("library");
    auto options = whole_options(given, offsetof(rtjit_library_options, trusted_keys));
    if (!options) return options.error();
    ContextOptions context_options;
    if (options->database != nullptr) context_options.database = options->database;
    context_options.read_only = texts(options->read_only);
    if (options->trusted_keys != nullptr) context_options.trusted_keys = options->trusted_keys;
    context_options.template_folders = texts(options->template_paths);
    context_options.device = options->device;
    if (auto log = options->log; log != nullptr) {
      context_options.log = [log, user = options->log_user](LogLevel level, const std::string& message) {
        log(user, static_cast<int32_t>(level), message.c_str());
      };
    }
    auto device = open_library_device(options->device);
    if (!device) return device.error();
    auto context = Context::open(std::move(context_options), std::move(*device));
    if (!context) return context.error();
    *library = make_library(std::move(*context));
    return {};
  });
}

void rtjit_library_close(rtjit_library* library) { delete library; }

rtjit_status rtjit_kernel_open(rtjit_library* library, const char* template_name, const char* problem,
                               const rtjit_open_options* options, rtjit_kernel** kernel) {
  if (kernel != nullptr) *kernel = nullptr;
  return guarded([&]() -> Status {
    if (library == nullptr) return null_argument("library");
    if (template_name == nullptr) return null_argument("template_name");
    if (problem == nullptr) return null_argument("problem");
    if (kernel == nullptr) return null_argument("kernel");
    auto open_options = read_open_options(options);
    if (!open_options) return open_options.error();
    auto handle = KernelHandle::open(library->context, template_name, problem, *open_options);
    if (!handle) return handle.error();
    const std::string canonical = (*handle)->problem().canonical();
    auto opened = std::make_unique<rtjit_kernel>(std::move(*handle), canonical, library->open_kernels);
    library->open_kernels->add(template_name, problem, opened.get());
    library->open_kernels->add(template_name, canonical, opened.get());
    *kernel = opened.release();
    return {};
  });
}

rtjit_status rtjit_kernel_find(rtjit_library* library, const char* template_name, const char* problem,
                               rtjit_kernel** kernel) {
  if (kernel != nullptr) *kernel = nullptr;
  return guarded([&]() -> Status {
    if (library == nullptr) return null_argument("library");
    if (template_name == nullptr) return null_argument("template_name");
    if (problem == nullptr) return null_argument("problem");
    if (kernel == nullptr) return null_argument("kernel");
    *kernel = library->open_kernels->find(template_name, problem);
    if (*kernel != nullptr) return {};
    return make_error(ErrorCode::not_found, "{} {}: not open in this library; rtjit_kernel_open opens it",
                      template_name, problem);
  });
}

void rtjit_kernel_close(rtjit_kernel* kernel) {
  if (kernel != nullptr && kernel->open_kernels->release(kernel)) delete kernel;
}

const char* rtjit_kernel_problem(const rtjit_kernel* kernel) {
  return kernel == nullptr ? "" : kernel->problem.c_str();
}

rtjit_status rtjit_kernel_workspace_size(const rtjit_kernel* kernel, int64_t bucket_value, size_t* bytes) {
  return guarded([&]() -> Status {
    if (kernel == nullptr) return null_argument("kernel");
    if (bytes == nullptr) return null_argument("bytes");
    auto size = kernel->handle->workspace_bytes(bucket_value);
    if (!size) return size.error();
    *bytes = static_cast<size_t>(*size);
    return {};
  });
}

rtjit_status rtjit_kernel_packed_size(const rtjit_kernel* kernel, size_t* bytes) {
  return guarded([&]() -> Status {
    if (kernel == nullptr) return null_argument("kernel");
    if (bytes == nullptr) return null_argument("bytes");
    *bytes = static_cast<size_t>(kernel->handle->packed_bytes());
    return {};
  });
}

const char* rtjit_kernel_layout(const rtjit_kernel* kernel) {
  return kernel == nullptr ? "" : kernel->handle->layout().c_str();
}

rtjit_status rtjit_kernel_pack_weights(const rtjit_kernel* kernel, const rtjit_tensor* inputs, size_t count,
                                       void* packed, size_t packed_bytes, void* stream,
                                       rtjit_weights** weights) {
  if (weights != nullptr) *weights = nullptr;
  return guarded([&]() -> Status {
    if (kernel == nullptr) return null_argument("kernel");
    if (weights == nullptr) return null_argument("weights");
    const KernelHandle& handle = *kernel->handle;
    if (Status status = check_packed(handle, packed, packed_bytes); !status) return status;
    TensorList tensors;
    if (Status status = tensors.read("inputs", inputs, count); !status) return status;
    auto result = std::make_unique<rtjit_weights>();
    result->layout = handle.layout();
    result->data = reinterpret_cast<DevicePtr>(packed);
    result->bytes = static_cast<int64_t>(packed_bytes);
    if (Status status = handle.pack(tensors.list(), result->data, result->bytes, stream); !status)
      return status;
    *weights = result.release();
    return {};
  });
}

rtjit_status rtjit_weights_adopt(const rtjit_kernel* kernel, const char* layout, void* packed,
                                 size_t packed_bytes, rtjit_weights** weights) {
  if (weights != nullptr) *weights = nullptr;
  return guarded([&]() -> Status {
    if (kernel == nullptr) return null_argument("kernel");
    if (layout == nullptr) return null_argument("layout");
    if (weights == nullptr) return null_argument("weights");
    const KernelHandle& handle = *kernel->handle;
    if (handle.layout() != layout) {
      return make_error(ErrorCode::invalid_argument,
                        "layout: \"{}\", this kernel needs \"{}\"; they differ in {}", layout,
                        handle.layout(), differences(layout, handle.layout()));
    }
    if (Status status = check_packed(handle, packed, packed_bytes); !status) return status;
    if (Status status = handle.check_addresses({}, reinterpret_cast<DevicePtr>(packed), 0); !status)
      return status;
    *weights = new rtjit_weights{handle.layout(), reinterpret_cast<DevicePtr>(packed),
                                 static_cast<int64_t>(packed_bytes)};
    return {};
  });
}

void rtjit_weights_free(rtjit_weights* weights) { delete weights; }

rtjit_status rtjit_kernel_launch(const rtjit_kernel* kernel, const rtjit_weights* weights,
                                 const rtjit_tensor* arguments, size_t count, void* workspace,
                                 size_t workspace_bytes, void* stream) {
  return guarded([&]() -> Status {
    if (kernel == nullptr) return null_argument("kernel");
    const KernelHandle& handle = *kernel->handle;
    if (Status status = check_weights(handle, weights); !status) return status;
    TensorList tensors;
    if (Status status = tensors.read("arguments", arguments, count); !status) return status;
    return handle.launch(tensors.list(), weights == nullptr ? 0 : weights->data,
                         weights == nullptr ? 0 : weights->bytes, reinterpret_cast<DevicePtr>(workspace),
                         static_cast<int64_t>(workspace_bytes), stream);
  });
}

rtjit_status rtjit_kernel_freeze(rtjit_kernel* kernel, const rtjit_weights* weights,
                                 const rtjit_tensor* arguments, size_t count, void* workspace,
                                 size_t workspace_bytes, void* stream, rtjit_frozen** frozen) {
  if (frozen != nullptr) *frozen = nullptr;
  return guarded([&]() -> Status {
    if (kernel == nullptr) return null_argument("kernel");
    if (frozen == nullptr) return null_argument("frozen");
    if (Status status = check_weights(*kernel->handle, weights); !status) return status;
    TensorList tensors;
    if (Status status = tensors.read("arguments", arguments, count); !status) return status;
    auto launch = kernel->handle->freeze(
        tensors.list(), weights == nullptr ? 0 : weights->data, weights == nullptr ? 0 : weights->bytes,
        reinterpret_cast<DevicePtr>(workspace), static_cast<int64_t>(workspace_bytes), stream);
    if (!launch) return launch.error();
    *frozen = new rtjit_frozen{std::move(*launch)};
    return {};
  });
}

rtjit_status rtjit_frozen_launch(const rtjit_frozen* frozen, void* stream) {
  return guarded([&]() -> Status {
    if (frozen == nullptr) return null_argument("frozen");
    return frozen->launch->launch(stream);
  });
}

rtjit_status rtjit_frozen_launch_at(const rtjit_frozen* frozen, void* const* data, size_t count,
                                    void* stream) {
  static_assert(sizeof(void*) == sizeof(DevicePtr));
  return guarded([&]() -> Status {
    if (frozen == nullptr) return null_argument("frozen");
    if (data == nullptr && count > 0) return null_argument("data");
    return frozen->launch->launch(std::span(reinterpret_cast<const DevicePtr*>(data), count), stream);
  });
}

void rtjit_frozen_free(rtjit_frozen* frozen) { delete frozen; }

const char* rtjit_kernel_provenance(const rtjit_kernel* kernel, int64_t bucket_value) {
  return kernel == nullptr ? "" : kernel->handle->provenance(bucket_value).c_str();
}

rtjit_status rtjit_kernel_refresh(rtjit_kernel* kernel) {
  return guarded([&]() -> Status {
    if (kernel == nullptr) return null_argument("kernel");
    return kernel->handle->refresh();
  });
}

int32_t rtjit_kernel_is_tuning(const rtjit_kernel* kernel) {
  return kernel != nullptr && kernel->handle->tuning() ? 1 : 0;
}
