#include "frozen.h"

#include <cstring>

namespace rtjit::python {
namespace {

std::string shape_text(const rtjit_tensor& tensor) {
  std::string text;
  for (int32_t i = 0; i < tensor.rank; ++i) text += (i > 0 ? ", " : "") + std::to_string(tensor.shape[i]);
  return "[" + text + "]";
}

// The stride of a dimension, also where zeros stand for dense; 0 where it does not matter.
int64_t stride_of(const rtjit_tensor& tensor, int32_t dimension) {
  if (tensor.shape[dimension] < 2) return 0;
  bool dense = true;
  for (int32_t i = 0; i < tensor.rank; ++i) dense = dense && tensor.stride[i] == 0;
  if (!dense) return tensor.stride[dimension];
  int64_t stride = 1;
  for (int32_t i = dimension + 1; i < tensor.rank; ++i) stride *= tensor.shape[i];
  return stride;
}

void check_alike(const rtjit_tensor& came, const rtjit_tensor& frozen) {
  const std::string name = frozen.name;
  if (came.dtype != frozen.dtype) {
    raise_invalid_argument(name + ": dtype " + dtype_name(came.dtype) + ", was frozen with " +
                           dtype_name(frozen.dtype) + "; freeze again for other types");
  }
  bool same = came.rank == frozen.rank;
  for (int32_t i = 0; same && i < came.rank; ++i) same = came.shape[i] == frozen.shape[i];
  if (!same) {
    raise_invalid_argument(name + ": shape " + shape_text(came) + ", was frozen with " + shape_text(frozen) +
                           "; freeze again for other shapes");
  }
  for (int32_t i = 0; i < came.rank; ++i) {
    if (stride_of(came, i) == stride_of(frozen, i)) continue;
    raise_invalid_argument(name + ": stride " + std::to_string(i) + " is " +
                           std::to_string(stride_of(came, i)) + ", was frozen with " +
                           std::to_string(stride_of(frozen, i)) + "; freeze again for other strides");
  }
}

const rtjit_tensor* find(const ArgumentReader& reader, const char* name) {
  for (size_t i = 0; i < reader.count(); ++i) {
    if (std::strcmp(reader.tensors()[i].name, name) == 0) return &reader.tensors()[i];
  }
  return nullptr;
}

}  // namespace

Frozen::Frozen(std::shared_ptr<Kernel> kernel, std::shared_ptr<Weights> packed, const nb::args& positional,
               const nb::kwargs& named)
    : kernel_(std::move(kernel)),
      packed_(std::move(packed)),
      positional_(nb::borrow(positional)),
      named_(nb::borrow(named)),
      reader_(*kernel_, /*packing=*/false) {
  reader_.read(positional, named);
  if (const nb::handle given = reader_.options().packed; given.is_valid() && !given.is_none()) {
    packed_ = weights_of(given);
  }
  stream_ = reader_.stream();
  const Span workspace = kernel_->workspace(reader_, stream_);
  check(api(),
        api().kernel_freeze(kernel_->get(), packed_ == nullptr ? nullptr : packed_->get(), reader_.tensors(),
                            reader_.count(), workspace.data, workspace.bytes, stream_, &frozen_));
}

Frozen::~Frozen() { api().frozen_free(frozen_); }

void* Frozen::address_in(const ArgumentReader& given, const rtjit_tensor& frozen) const {
  const rtjit_tensor* came = find(given, frozen.name);
  if (came == nullptr) {
    raise_invalid_argument(std::string(frozen.name) +
                           ": missing; a frozen launch takes all tensors that it was frozen with, or none");
  }
  check_alike(*came, frozen);
  return came->data;
}

nb::object Frozen::launch(const nb::args& positional, const nb::kwargs& named) {
  ArgumentReader given(*kernel_, /*packing=*/false);
  given.read(positional, named);
  if (given.options().packed.is_valid() || given.options().workspace.is_valid()) {
    raise_invalid_argument(
        "packed and workspace are those that the launch was frozen with; freeze again for others");
  }
  const Library& library = *kernel_->library();
  if (given.count() == 0) {
    void* stream = reader_.stream(given.options().stream, stream_);
    reader_.copy_in();
    check(api(), run(library, [&] { return api().frozen_launch(frozen_, stream); }));
    reader_.copy_back();
    return reader_.written().is_valid() ? reader_.written() : nb::none();
  }
  for (size_t i = 0; i < given.count(); ++i) {
    const char* name = given.tensors()[i].name;
    if (find(reader_, name) != nullptr) continue;
    raise_invalid_argument(std::string(name) + ": was not given when the launch was frozen");
  }
  void* addresses[ArgumentReader::kMost];
  for (size_t i = 0; i < reader_.count(); ++i) addresses[i] = address_in(given, reader_.tensors()[i]);
  void* stream = given.stream(given.options().stream, stream_);
  check(api(),
        run(library, [&] { return api().frozen_launch_at(frozen_, addresses, reader_.count(), stream); }));
  given.copy_back();
  return given.written().is_valid() ? given.written() : nb::none();
}

}  // namespace rtjit::python
