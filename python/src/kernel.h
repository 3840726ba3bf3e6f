// Kernels and packed weights: Python's arguments become rtjit_tensor, and everything else is the library's.
#pragma once

#include <nanobind/nanobind.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "memory.h"
#include "tensor.h"

namespace rtjit::python {

class ArgumentReader;
class Kernel;
struct Span;

// Packed weights. Keeps the memory they lie in, and the kernel.
class Weights {
 public:
  Weights(std::shared_ptr<Kernel> kernel, rtjit_weights* weights, nb::object memory);
  ~Weights();
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;

  rtjit_weights* get() const { return weights_; }
  const std::shared_ptr<Kernel>& kernel() const { return kernel_; }
  nb::object memory() const { return memory_; }

 private:
  std::shared_ptr<Kernel> kernel_;
  rtjit_weights* weights_;
  nb::object memory_;
};

// A keyword argument by another name than a tensor's.
struct CallOptions {
  nb::handle packed, workspace, stream;
};

class Kernel : public std::enable_shared_from_this<Kernel> {
 public:
  struct Argument {
    rtjit_argument_info info;
    nb::str name;  // interned, so that keywords compare by address
  };

  Kernel(std::shared_ptr<Library> library, const std::string& template_name, const std::string& problem,
         const rtjit_open_options& options);
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  rtjit_kernel* get() const { return kernel_; }
  const std::shared_ptr<Library>& library() const { return library_; }
  const std::vector<Argument>& arguments() const { return arguments_; }

  size_t workspace_size(int64_t bucket_value) const;
  size_t packed_size() const;
  std::string layout() const { return api().kernel_layout(kernel_); }
  std::string problem() const { return api().kernel_problem(kernel_); }
  std::string provenance(int64_t value) const { return api().kernel_provenance(kernel_, value); }
  void refresh();
  // Makes sure that launches on the stream with the bucket scalar up to the value find their workspace.
  void reserve(int64_t bucket_value, nb::handle stream);
  // What the call gave, else the kernel's own for the stream.
  Span workspace(const ArgumentReader& reader, void* stream);

  std::shared_ptr<Weights> pack_weights(const nb::args& positional, const nb::kwargs& named);
  std::shared_ptr<Weights> adopt_weights(const std::string& layout, nb::object packed);
  // The written argument, for chaining.
  nb::object launch(const nb::args& positional, const nb::kwargs& named, const Weights* packed);

 private:
  const CApi& api() const { return library_->api(); }
  Memory& workspace_for(void* stream, size_t bytes);

  std::shared_ptr<Library> library_;
  rtjit_kernel* kernel_ = nullptr;
  std::vector<Argument> arguments_;
  // By stream: launches on one stream follow each other and may share. What was outgrown is kept, because
  // captured graphs hold its address.
  std::map<void*, std::vector<std::unique_ptr<Memory>>> workspaces_;
};

// The stream that the object stands for: None (`fallback`), a number, torch.cuda.Stream, cupy's,
// __cuda_stream__.
void* stream_of(nb::handle object, void* fallback);

}  // namespace rtjit::python
