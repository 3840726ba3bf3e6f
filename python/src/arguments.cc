#include "arguments.h"

#include <nanobind/stl/shared_ptr.h>

#include <cstring>

namespace rtjit::python {
namespace {

int64_t elements_spanned(const char* name, const TensorView& view) {
  int64_t last = 0, count = 1;
  bool dense = true;
  for (int32_t i = 0; i < view.rank; ++i) dense = dense && view.stride[i] == 0;
  for (int32_t i = 0; i < view.rank; ++i) {
    if (view.shape[i] == 0) return 0;
    if (view.stride[i] < 0) {
      raise_invalid_argument(std::string(name) + ": stride " + std::to_string(i) +
                             " is negative; make it contiguous");
    }
    last += (view.shape[i] - 1) * view.stride[i];
    count *= view.shape[i];
  }
  return dense ? count : last + 1;
}

// Whether the device of the library can reach the tensor as it lies.
bool reaches(const Library& library, const TensorView& view) {
  if (view.any_device) return true;
  if (library.emulated()) return false;
  bool managed = view.device.type == dlpack::kCudaManaged || view.device.type == dlpack::kCudaHost;
  bool here = view.device.id < 0 || view.device.id == library.device().ordinal;
  return managed || (view.device.type == dlpack::kCuda && here);
}

[[noreturn]] void wrong_device(const Library& library, const char* name, const TensorView& view) {
  std::string came = view.device.type == dlpack::kCpu    ? "host memory"
                     : view.device.type == dlpack::kCuda ? "cuda:" + std::to_string(view.device.id)
                                                         : "device type " + std::to_string(view.device.type);
  std::string wanted =
      library.emulated() ? "host memory (the device is emulated)"
                         : "cuda:" + std::to_string(library.device().ordinal) + ", where the library is open";
  raise_invalid_argument(std::string(name) + ": in " + came + ", must be in " + wanted);
}

}  // namespace

void* stream_of(nb::handle object, void* fallback) {
  if (!object.is_valid() || object.is_none()) return fallback;
  nb::object number = nb::borrow(object);
  if (nb::hasattr(object, "__cuda_stream__")) {
    number = object.attr("__cuda_stream__")()[1];
  } else if (nb::hasattr(object, "cuda_stream")) {
    number = object.attr("cuda_stream");
  } else if (nb::hasattr(object, "ptr")) {
    number = object.attr("ptr");
  }
  uintptr_t value = 0;
  if (!nb::try_cast(number, value)) {
    raise_invalid_argument(
        "stream: a " + kind_of(object) +
        "; None, an address as a number, or an object with __cuda_stream__, cuda_stream or ptr is allowed");
  }
  return reinterpret_cast<void*>(value);
}

Span span_of(const Library& library, const char* name, nb::handle object) {
  TensorView view;
  read_tensor(name, object, &view);
  if (!reaches(library, view)) {
    if (library.emulated()) {
      raise_invalid_argument(std::string(name) +
                             ": the device is emulated; leave it out, or use rtjit.Memory");
    }
    wrong_device(library, name, view);
  }
  return {view.data, static_cast<size_t>(elements_spanned(name, view) * view.item_bytes)};
}

std::shared_ptr<Weights> weights_of(nb::handle object) {
  std::shared_ptr<Weights> weights;
  if (!nb::try_cast(object, weights) || weights == nullptr) {
    raise_invalid_argument("packed: what pack_weights or adopt_weights returned is required");
  }
  return weights;
}

const Kernel::Argument* ArgumentReader::find(nb::handle name) const {
  for (const Kernel::Argument& argument : kernel_.arguments()) {
    if (argument.name.ptr() == name.ptr()) return &argument;
  }
  const char* text = nb::borrow<nb::str>(name).c_str();
  for (const Kernel::Argument& argument : kernel_.arguments()) {
    if (std::strcmp(argument.info.name, text) == 0) return &argument;
  }
  return nullptr;
}

void ArgumentReader::read(const nb::args& positional, const nb::kwargs& named) {
  const std::vector<Kernel::Argument>& arguments = kernel_.arguments();
  size_t next = 0;
  for (nb::handle object : positional) {
    while (next < arguments.size() &&
           ((arguments[next].info.packed != 0) != packing_ || arguments[next].info.written != 0)) {
      ++next;
    }
    if (next == arguments.size())
      raise_invalid_argument("more positional arguments than tensors that are read");
    add(&arguments[next], arguments[next].info.name, object);
    ++next;
  }
  for (auto [key, value] : named) {
    if (const Kernel::Argument* argument = find(key)) {
      add(argument, argument->info.name, value);
      continue;
    }
    const char* name = nb::borrow<nb::str>(key).c_str();
    if (std::strcmp(name, "stream") == 0) {
      options_.stream = value;
    } else if (std::strcmp(name, "packed") == 0) {
      options_.packed = value;
    } else if (std::strcmp(name, "workspace") == 0 && !packing_) {
      options_.workspace = value;
    } else {
      add(nullptr, name, value);  // the library knows what is allowed, and says so
    }
  }
}

void ArgumentReader::add(const Kernel::Argument* argument, const char* name, nb::handle object) {
  if (object.is_none()) return;  // an absent optional argument; a required one the library misses
  if (count_ == kMost) raise_invalid_argument("more than 64 tensors");
  TensorView view;
  read_tensor(name, object, &view);
  if (view.dtype < 0) {
    raise_invalid_argument(std::string(name) +
                           ": elements of a type that the library does not know; allowed are " +
                           dtype_names() + " (rtjit.tensor(array, dtype=...) takes raw bits as one of them)");
  }
  const bool written = argument != nullptr && argument->info.written != 0;
  if (written && view.read_only) raise_invalid_argument(std::string(name) + ": is written, but read-only");
  if (written) written_ = nb::borrow(object);
  if (argument != nullptr && argument->info.bucket_dimension >= 0 &&
      argument->info.bucket_dimension < view.rank) {
    bucket_value_ = std::max(bucket_value_, view.shape[argument->info.bucket_dimension]);
  }
  if (view.exchange != nullptr && view.device.type == dlpack::kCuda) exchange_ = view.exchange;
  rtjit_tensor& tensor = tensors_[count_++];
  tensor.name = name;
  tensor.data = view.data;
  tensor.dtype = static_cast<rtjit_dtype>(view.dtype);
  tensor.rank = view.rank;
  for (int32_t i = 0; i < view.rank; ++i) {
    tensor.shape[i] = view.shape[i];
    tensor.stride[i] = view.stride[i];
  }
  if (!reaches(*kernel_.library(), view)) place(name, view, written, &tensor);
  if (view.keep.is_valid()) keep_.push_back(std::move(view.keep));
}

// An emulated device has memory of its own.
void ArgumentReader::place(const char* name, const TensorView& view, bool written, rtjit_tensor* tensor) {
  const Library& library = *kernel_.library();
  if (!library.emulated() || view.device.type != dlpack::kCpu) wrong_device(library, name, view);
  size_t bytes = static_cast<size_t>(elements_spanned(name, view) * view.item_bytes);
  auto memory = std::make_unique<Memory>(kernel_.library(), bytes);
  memory->write(view.data, bytes, 0);
  tensor->data = memory->data();
  copies_.push_back({std::move(memory), view.data, bytes, written});
}

void* ArgumentReader::stream(nb::handle wanted, void* fallback) const {
  void* current = fallback;
  // What the tensors' framework is working on, as its users expect of everything that takes its tensors.
  if (exchange_ != nullptr && (!wanted.is_valid() || wanted.is_none())) {
    if (exchange_->current_stream(dlpack::kCuda, kernel_.library()->device().ordinal, &current) != 0) {
      throw nb::python_error();
    }
  }
  return stream_of(wanted, current);
}

void ArgumentReader::copy_in() {
  for (const Copy& copy : copies_) copy.memory->write(copy.host, copy.bytes, 0);
}

void ArgumentReader::copy_back() {
  for (const Copy& copy : copies_) {
    if (copy.written) copy.memory->read(copy.host, copy.bytes, 0);
  }
}

}  // namespace rtjit::python
