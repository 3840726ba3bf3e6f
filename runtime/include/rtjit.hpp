// librtjit for C++17: the C interface of rtjit.h with RAII and exceptions. Header-only.
//
//   rtjit::Library library;
//   rtjit::Kernel moe = library.open("moe_mxfp4", "preset=gpt-oss-20b");
//   moe.launch(stream, {rtjit::tensor("x", x, RTJIT_BF16, {tokens, 2880}), ...}, &weights, workspace,
//   workspace_bytes);
//
// What rtjit.h says of ownership, threads and lifetimes holds here. A launch that succeeds allocates nothing.
#ifndef RTJIT_HPP_
#define RTJIT_HPP_

#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "rtjit.h"

namespace rtjit {

// Any status but RTJIT_OK; what() is the whole story.
class Error : public std::runtime_error {
 public:
  Error(rtjit_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  rtjit_status status() const noexcept { return status_; }

 private:
  rtjit_status status_;
};

// Throws unless the status is RTJIT_OK.
inline void check(rtjit_status status) {
  if (status != RTJIT_OK) throw Error(status, rtjit_last_error());
}

// A tensor argument. Without strides: dense row-major. Strides are in elements.
inline rtjit_tensor tensor(const char* name, const void* data, rtjit_dtype dtype,
                           std::initializer_list<int64_t> shape,
                           std::initializer_list<int64_t> strides = {}) {
  if (shape.size() > 4 || (strides.size() != 0 && strides.size() != shape.size())) {
    throw Error(RTJIT_INVALID_ARGUMENT,
                std::string(name) + ": at most 4 dimensions, and as many strides or none");
  }
  rtjit_tensor result{};
  result.name = name;
  result.data = const_cast<void*>(data);
  result.dtype = dtype;
  for (int64_t dimension : shape) result.shape[result.rank++] = dimension;
  int index = 0;
  for (int64_t stride : strides) result.stride[index++] = stride;
  return result;
}

// What Library is opened with. Every field may be left as it is.
struct LibraryOptions {
  std::string database;
  std::vector<std::string> read_only, template_paths;
  int device = 0;
  void (*log)(void* user, int32_t level, const char* message) = nullptr;
  void* log_user = nullptr;
  std::string trusted_keys;
};

struct OpenOptions {
  rtjit_miss_policy miss_policy = RTJIT_MISS_NEAREST;
  int64_t max_bucket = 0;
  std::vector<std::string> configs;
};

// Packed weights; does not own the device memory they lie in.
class Weights {
 public:
  rtjit_weights* get() const noexcept { return weights_.get(); }

 private:
  friend class Kernel;
  struct Free {
    void operator()(rtjit_weights* weights) const { rtjit_weights_free(weights); }
  };
  explicit Weights(rtjit_weights* weights) : weights_(weights) {}
  std::unique_ptr<rtjit_weights, Free> weights_;
};

// A launch decided ahead. Independent of the kernel it came from.
class Frozen {
 public:
  void launch(void* stream) const { check(rtjit_frozen_launch(frozen_.get(), stream)); }
  // With other addresses, in the order of freeze()'s arguments.
  void launch_at(void* stream, std::initializer_list<void*> data) const {
    check(rtjit_frozen_launch_at(frozen_.get(), data.begin(), data.size(), stream));
  }
  void launch_at(void* stream, void* const* data, size_t count) const {
    check(rtjit_frozen_launch_at(frozen_.get(), data, count, stream));
  }
  rtjit_frozen* get() const noexcept { return frozen_.get(); }

 private:
  friend class Kernel;
  struct Free {
    void operator()(rtjit_frozen* frozen) const { rtjit_frozen_free(frozen); }
  };
  explicit Frozen(rtjit_frozen* frozen) : frozen_(frozen) {}
  std::unique_ptr<rtjit_frozen, Free> frozen_;
};

class Kernel {
 public:
  size_t workspace_size(int64_t bucket_value) const {
    size_t bytes = 0;
    check(rtjit_kernel_workspace_size(get(), bucket_value, &bytes));
    return bytes;
  }
  size_t packed_size() const {
    size_t bytes = 0;
    check(rtjit_kernel_packed_size(get(), &bytes));
    return bytes;
  }
  std::string layout() const { return rtjit_kernel_layout(get()); }
  std::string problem() const { return rtjit_kernel_problem(get()); }
  std::string provenance(int64_t bucket_value) const { return rtjit_kernel_provenance(get(), bucket_value); }

  Weights pack_weights(void* stream, std::initializer_list<rtjit_tensor> inputs, void* packed,
                       size_t packed_bytes) const {
    rtjit_weights* weights = nullptr;
    check(rtjit_kernel_pack_weights(get(), inputs.begin(), inputs.size(), packed, packed_bytes, stream,
                                    &weights));
    return Weights(weights);
  }
  Weights adopt_weights(const std::string& packed_layout, void* packed, size_t packed_bytes) const {
    rtjit_weights* weights = nullptr;
    check(rtjit_weights_adopt(get(), packed_layout.c_str(), packed, packed_bytes, &weights));
    return Weights(weights);
  }

  // `weights` may be null for a template that packs none.
  void launch(void* stream, std::initializer_list<rtjit_tensor> arguments, const Weights* weights = nullptr,
              void* workspace = nullptr, size_t workspace_bytes = 0) const {
    launch(stream, arguments.begin(), arguments.size(), weights, workspace, workspace_bytes);
  }
  void launch(void* stream, const rtjit_tensor* arguments, size_t count, const Weights* weights = nullptr,
              void* workspace = nullptr, size_t workspace_bytes = 0) const {
    check(rtjit_kernel_launch(get(), weights == nullptr ? nullptr : weights->get(), arguments, count,
                              workspace, workspace_bytes, stream));
  }

  // `stream`: one that it will be launched on.
  Frozen freeze(void* stream, std::initializer_list<rtjit_tensor> arguments, const Weights* weights = nullptr,
                void* workspace = nullptr, size_t workspace_bytes = 0) {
    return freeze(stream, arguments.begin(), arguments.size(), weights, workspace, workspace_bytes);
  }
  Frozen freeze(void* stream, const rtjit_tensor* arguments, size_t count, const Weights* weights = nullptr,
                void* workspace = nullptr, size_t workspace_bytes = 0) {
    rtjit_frozen* frozen = nullptr;
    check(rtjit_kernel_freeze(get(), weights == nullptr ? nullptr : weights->get(), arguments, count,
                              workspace, workspace_bytes, stream, &frozen));
    return Frozen(frozen);
  }

  // Takes newer winners over. Not on a thread whose stream is being captured.
  void refresh() { check(rtjit_kernel_refresh(get())); }
  bool is_tuning() const noexcept { return rtjit_kernel_is_tuning(get()) != 0; }

  rtjit_kernel* get() const noexcept { return kernel_.get(); }

 private:
  friend class Library;
  struct Close {
    void operator()(rtjit_kernel* kernel) const { rtjit_kernel_close(kernel); }
  };
  explicit Kernel(rtjit_kernel* kernel) : kernel_(kernel) {}
  std::unique_ptr<rtjit_kernel, Close> kernel_;
};

class Library {
 public:
  explicit Library(const LibraryOptions& options = {}) {
    std::vector<const char*> read_only = pointers(options.read_only),
                             paths = pointers(options.template_paths);
    rtjit_library_options c{};
    c.struct_size = sizeof(c);
    c.database = options.database.empty() ? nullptr : options.database.c_str();
    c.read_only = read_only.data();
    c.template_paths = paths.data();
    c.device = options.device;
    c.log = options.log;
    c.log_user = options.log_user;
    c.trusted_keys = options.trusted_keys.empty() ? nullptr : options.trusted_keys.c_str();
    rtjit_library* library = nullptr;
    check(rtjit_library_open(&c, &library));
    library_.reset(library);
  }
  // Takes over a library that was opened through the C interface.
  explicit Library(rtjit_library* library) : library_(library) {}

  Kernel open(const std::string& template_name, const std::string& problem,
              const OpenOptions& options = {}) const {
    std::vector<const char*> configs = pointers(options.configs);
    rtjit_open_options c{};
    c.struct_size = sizeof(c);
    c.miss_policy = options.miss_policy;
    c.max_bucket = options.max_bucket;
    c.configs = configs.data();
    rtjit_kernel* kernel = nullptr;
    check(rtjit_kernel_open(get(), template_name.c_str(), problem.c_str(), &c, &kernel));
    return Kernel(kernel);
  }

  // Another reference to a kernel that is open in this library. Throws (RTJIT_NOT_FOUND) when it is not.
  Kernel find(const std::string& template_name, const std::string& problem) const {
    rtjit_kernel* kernel = nullptr;
    check(rtjit_kernel_find(get(), template_name.c_str(), problem.c_str(), &kernel));
    return Kernel(kernel);
  }

  rtjit_library* get() const noexcept { return library_.get(); }

 private:
  static std::vector<const char*> pointers(const std::vector<std::string>& texts) {
    std::vector<const char*> result;
    for (const std::string& text : texts) result.push_back(text.c_str());
    result.push_back(nullptr);
    return result;
  }
  struct Close {
    void operator()(rtjit_library* library) const { rtjit_library_close(library); }
  };
  std::unique_ptr<rtjit_library, Close> library_;
};

}  // namespace rtjit

#endif  // RTJIT_HPP_
