#include "kernel.h"

#include <nanobind/stl/shared_ptr.h>

#include "arguments.h"

namespace rtjit::python {

Weights::Weights(std::shared_ptr<Kernel> kernel, rtjit_weights* weights, nb::object memory)
    : kernel_(std::move(kernel)), weights_(weights), memory_(std::move(memory)) {}

Weights::~Weights() { kernel_->library()->api().weights_free(weights_); }

Kernel::Kernel(std::shared_ptr<Library> library, const std::string& template_name, const std::string& problem,
               const rtjit_open_options& options)
    : library_(std::move(library)) {
  rtjit_status status;
  {
    nb::gil_scoped_release released;  // it may compile
    status = api().kernel_open(library_->get(), template_name.c_str(), problem.c_str(), &options, &kernel_);
  }
  check(api(), status);
  rtjit_argument_info info{};
  info.struct_size = sizeof info;
  while (api().kernel_argument(kernel_, arguments_.size(), &info) == RTJIT_OK) {
    arguments_.push_back({info, nb::steal<nb::str>(PyUnicode_InternFromString(info.name))});
  }
}

Kernel::~Kernel() {
  workspaces_.clear();
  nb::gil_scoped_release released;  // a thread of the library may be logging
  api().kernel_close(kernel_);
}

size_t Kernel::workspace_size(int64_t bucket_value) const {
  size_t bytes = 0;
  check(api(), api().kernel_workspace_size(kernel_, bucket_value, &bytes));
  return bytes;
}

size_t Kernel::packed_size() const {
  size_t bytes = 0;
  check(api(), api().kernel_packed_size(kernel_, &bytes));
  return bytes;
}

void Kernel::refresh() {
  rtjit_status status;
  {
    nb::gil_scoped_release released;
    status = api().kernel_refresh(kernel_);
  }
  check(api(), status);
}

Memory& Kernel::workspace_for(void* stream, size_t bytes) {
  std::vector<std::unique_ptr<Memory>>& grown = workspaces_[stream];
  if (grown.empty() || grown.back()->bytes() < bytes) {
    grown.push_back(std::make_unique<Memory>(library_, bytes));
  }
  return *grown.back();
}

Span Kernel::workspace(const ArgumentReader& reader, void* stream) {
  if (const nb::handle given = reader.options().workspace; given.is_valid() && !given.is_none()) {
    return span_of(*library_, "workspace", given);
  }
  const size_t bytes = workspace_size(reader.bucket_value());
  if (bytes == 0) return {nullptr, 0};
  Memory& memory = workspace_for(stream, bytes);
  return {memory.data(), memory.bytes()};
}

void Kernel::reserve(int64_t bucket_value, nb::handle stream) {
  workspace_for(stream_of(stream, nullptr), workspace_size(bucket_value));
}

std::shared_ptr<Weights> Kernel::pack_weights(const nb::args& positional, const nb::kwargs& named) {
  ArgumentReader reader(*this, /*packing=*/true);
  reader.read(positional, named);
  nb::object memory = nb::borrow(reader.options().packed);
  if (!memory.is_valid() || memory.is_none()) {
    memory = nb::cast(std::make_shared<Memory>(library_, packed_size()));
  }
  Span packed = span_of(*library_, "packed", memory);
  rtjit_weights* weights = nullptr;
  void* stream = reader.stream();
  rtjit_status status;
  {
    nb::gil_scoped_release released;
    status = api().kernel_pack_weights(kernel_, reader.tensors(), reader.count(), packed.data, packed.bytes,
                                       stream, &weights);
  }
  check(api(), status);
  return std::make_shared<Weights>(shared_from_this(), weights, std::move(memory));
}

std::shared_ptr<Weights> Kernel::adopt_weights(const std::string& packed_layout, nb::object packed) {
  Span span = span_of(*library_, "packed", packed);
  rtjit_weights* weights = nullptr;
  check(api(), api().weights_adopt(kernel_, packed_layout.c_str(), span.data, span.bytes, &weights));
  return std::make_shared<Weights>(shared_from_this(), weights, std::move(packed));
}

nb::object Kernel::launch(const nb::args& positional, const nb::kwargs& named, const Weights* packed) {
  ArgumentReader reader(*this, /*packing=*/false);
  reader.read(positional, named);
  std::shared_ptr<Weights> own;
  if (const nb::handle given = reader.options().packed; given.is_valid() && !given.is_none()) {
    own = weights_of(given);
    packed = own.get();
  }
  void* stream = reader.stream();
  const Span workspace = this->workspace(reader, stream);
  check(api(), run(*library_, [&] {
          return api().kernel_launch(kernel_, packed == nullptr ? nullptr : packed->get(), reader.tensors(),
                                     reader.count(), workspace.data, workspace.bytes, stream);
        }));
  reader.copy_back();
  return reader.written().is_valid() ? reader.written() : nb::none();
}

}  // namespace rtjit::python
