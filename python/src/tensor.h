// Python objects as tensors: DLPack (its C functions where a type has them), __cuda_array_interface__, or our
// own Memory.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "dlpack_abi.h"
#include "rtjit.h"

namespace rtjit::python {

namespace nb = nanobind;

// What an object turned out to be. Borrowed: valid while the object and `keep` live.
struct TensorView {
  void* data = nullptr;
  int32_t rank = 0;
  int64_t shape[4], stride[4];
  int dtype = -1;  // rtjit_dtype; -1: a type that the library has no name for
  int item_bytes = 0;
  dlpack::Device device{dlpack::kCuda, 0};
  bool any_device = false;  // memory of the library itself
  bool read_only = false;
  const dlpack::Exchange* exchange = nullptr;
  nb::object keep;
};

// A tensor whose elements are to be taken as another type of the same size: rtjit.tensor(array,
// dtype="bf16").
struct TypedTensor {
  nb::object source;
  int dtype = -1;
};

// Raises rtjit.InvalidArgument that names the argument where the object is no tensor.
void read_tensor(const char* name, nb::handle object, TensorView* view);

// The name of the object's type, for messages.
std::string kind_of(nb::handle object);

// -1 where there is no such type.
int dtype_from_name(const std::string& name);
const char* dtype_name(int dtype);
std::string dtype_names();  // all of them, for messages

}  // namespace rtjit::python
