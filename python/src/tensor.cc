#include "tensor.h"

#include <nanobind/stl/string.h>

#include <cstdlib>

#include "c_api.h"
#include "memory.h"

namespace rtjit::python {
namespace {

struct NamedType {
  const char* name;
  int bytes;
};
// By rtjit_dtype.
constexpr NamedType kTypes[] = {{"u8", 1},  {"i8", 1},  {"i16", 2}, {"i32", 4},  {"i64", 8}, {"bf16", 2},
                                {"f16", 2}, {"f32", 4}, {"f64", 8}, {"e4m3", 1}, {"e8m0", 1}};
constexpr int kTypeCount = sizeof kTypes / sizeof kTypes[0];
static_assert(kTypeCount == RTJIT_E8M0 + 1);

int dtype_of(const dlpack::DataType& type) {
  // Two E2M1 codes in a byte are what the kernels call u8.
  if (type.code == dlpack::kE2M1 && type.bits * type.lanes == 8) return RTJIT_U8;
  if (type.lanes != 1) return -1;
  switch (type.code) {
    case dlpack::kUInt:
      return type.bits == 8 ? RTJIT_U8 : -1;
    case dlpack::kInt:
      return type.bits == 8    ? RTJIT_I8
             : type.bits == 16 ? RTJIT_I16
             : type.bits == 32 ? RTJIT_I32
             : type.bits == 64 ? RTJIT_I64
                               : -1;
    case dlpack::kFloat:
      return type.bits == 16 ? RTJIT_F16 : type.bits == 32 ? RTJIT_F32 : type.bits == 64 ? RTJIT_F64 : -1;
    case dlpack::kBfloat:
      return type.bits == 16 ? RTJIT_BF16 : -1;
    case dlpack::kE4M3:
      return RTJIT_E4M3;
    case dlpack::kE8M0:
      return RTJIT_E8M0;
    default:
      return -1;
  }
}

void set_rank(const char* name, int64_t rank, TensorView* view) {
  if (rank < 0 || rank > 4) {
    raise_invalid_argument(std::string(name) + ": " + std::to_string(rank) +
                           " dimensions, at most 4 are allowed");
  }
  view->rank = static_cast<int32_t>(rank);
}

// All-zero strides mean "dense" to the library, but a tensor that was expanded from one element to a
// frameworks.
void refuse_expanded(const char* name, const TensorView& view) {
  bool zero = true, several = false;
  for (int32_t i = 0; i < view.rank; ++i) {
    zero = zero && view.stride[i] == 0;
    several = several || view.shape[i] > 1;
  }
  if (zero && several) {
    raise_invalid_argument(std::string(name) +
                           ": one element expanded to a tensor (all strides are 0); make it contiguous");
  }
}

void read_dlpack(const char* name, const dlpack::Tensor& tensor, TensorView* view) {
  set_rank(name, tensor.rank, view);
  view->data = static_cast<char*>(tensor.data) + tensor.byte_offset;
  view->device = tensor.device;
  view->dtype = dtype_of(tensor.dtype);
  view->item_bytes = (tensor.dtype.bits * tensor.dtype.lanes + 7) / 8;
  for (int32_t i = 0; i < view->rank; ++i) {
    view->shape[i] = tensor.shape[i];
    view->stride[i] = tensor.strides == nullptr ? 0 : tensor.strides[i];
  }
  if (tensor.strides != nullptr) refuse_expanded(name, *view);
}

// The exchange functions of a type. Asked once per type and remembered, because a launch asks for every
// argument: a framework's tensors are of very few types, which live as long as the process.
const dlpack::Exchange* exchange_of(PyTypeObject* type) {
  constexpr int kRemembered = 8;
  static PyTypeObject* types[kRemembered];  // guarded by the GIL; each holds a reference
  static const dlpack::Exchange* exchanges[kRemembered];
  static int count = 0;
  for (int i = 0; i < count; ++i) {
    if (types[i] == type) return exchanges[i];
  }
  const dlpack::Exchange* found = nullptr;
  nb::object capsule =
      nb::getattr(nb::handle(reinterpret_cast<PyObject*>(type)), "__dlpack_c_exchange_api__", nb::none());
  if (PyCapsule_CheckExact(capsule.ptr())) {
    found = static_cast<const dlpack::Exchange*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
    if (found == nullptr) PyErr_Clear();
    if (found != nullptr && (found->header.version.major != 1 || found->tensor_from_object == nullptr)) {
      found = nullptr;
    }
  }
  if (count < kRemembered) {
    Py_INCREF(reinterpret_cast<PyObject*>(type));
    types[count] = type;
    exchanges[count++] = found;
  }
  return found;
}

void read_capsule(const char* name, nb::object capsule, TensorView* view) {
  PyObject* object = capsule.ptr();
  if (PyCapsule_IsValid(object, "dltensor_versioned")) {
    auto* managed =
        static_cast<dlpack::ManagedTensorVersioned*>(PyCapsule_GetPointer(object, "dltensor_versioned"));
    if (managed->version.major != 1) {
      raise_invalid_argument(std::string(name) + ": DLPack version " +
                             std::to_string(managed->version.major) + ", 1 is understood");
    }
    view->read_only = (managed->flags & dlpack::kReadOnly) != 0;
    read_dlpack(name, managed->tensor, view);
  } else if (PyCapsule_IsValid(object, "dltensor")) {
    auto* managed = static_cast<dlpack::ManagedTensor*>(PyCapsule_GetPointer(object, "dltensor"));
    read_dlpack(name, managed->tensor, view);
  } else {
    raise_invalid_argument(std::string(name) + ": __dlpack__ returned no DLPack capsule");
  }
  view->keep = std::move(capsule);  // its destructor gives the tensor back
}

void read_by_dlpack_method(const char* name, nb::handle object, TensorView* view) {
  nb::dict options;
  options["max_version"] = nb::make_tuple(1, 1);
  nb::object device = nb::getattr(object, "__dlpack_device__", nb::none());
  // The launch is ordered by its stream alone: the producer must not synchronise.
  if (!device.is_none() && nb::cast<int>(device()[0]) == dlpack::kCuda) options["stream"] = -1;
  nb::object method = object.attr("__dlpack__");
  nb::object capsule;
  try {
    capsule = method(**options);
  } catch (nb::python_error& error) {
    if (!error.matches(PyExc_TypeError)) throw;
    PyObject_DelItemString(options.ptr(), "max_version");  // a producer older than DLPack 1.0
    capsule = method(**options);
  }
  read_capsule(name, std::move(capsule), view);
}

void read_array_interface(const char* name, const nb::dict& interface, TensorView* view) {
  std::string type = nb::cast<std::string>(interface["typestr"]);
  nb::tuple data = nb::cast<nb::tuple>(interface["data"]);
  nb::tuple shape = nb::cast<nb::tuple>(interface["shape"]);
  view->data = reinterpret_cast<void*>(nb::cast<uintptr_t>(data[0]));
  view->read_only = nb::cast<bool>(data[1]);
  view->device = {dlpack::kCuda, -1};  // the interface does not say which
  int bits = 8 * std::atoi(type.c_str() + 2);
  dlpack::DataType spelled{0, static_cast<uint8_t>(bits), 1};
  spelled.code = type[1] == 'u' ? dlpack::kUInt : type[1] == 'f' ? dlpack::kFloat : dlpack::kInt;
  bool known = type[1] == 'u' || type[1] == 'i' || type[1] == 'f';
  view->dtype = known && type[0] != '>' ? dtype_of(spelled) : -1;
  view->item_bytes = bits / 8;
  set_rank(name, static_cast<int64_t>(shape.size()), view);
  nb::object strides = interface.contains("strides") ? nb::object(interface["strides"]) : nb::none();
  for (int32_t i = 0; i < view->rank; ++i) {
    view->shape[i] = nb::cast<int64_t>(shape[static_cast<size_t>(i)]);
    view->stride[i] = 0;
    if (strides.is_none()) continue;
    int64_t bytes = nb::cast<int64_t>(strides[i]);
    if (view->item_bytes == 0 || bytes % view->item_bytes != 0) {
      raise_invalid_argument(std::string(name) + ": strides are no whole number of elements");
    }
    view->stride[i] = bytes / view->item_bytes;
  }
  if (!strides.is_none()) refuse_expanded(name, *view);
}

}  // namespace

std::string kind_of(nb::handle object) {
  nb::object name = nb::handle(reinterpret_cast<PyObject*>(Py_TYPE(object.ptr()))).attr("__name__");
  return nb::borrow<nb::str>(name).c_str();
}

int dtype_from_name(const std::string& name) {
  for (int i = 0; i < kTypeCount; ++i) {
    if (name == kTypes[i].name) return i;
  }
  return -1;
}

const char* dtype_name(int dtype) {
  return dtype < 0 || dtype >= kTypeCount ? "unknown" : kTypes[dtype].name;
}

std::string dtype_names() {
  std::string names;
  for (const NamedType& type : kTypes) names += std::string(names.empty() ? "" : ", ") + type.name;
  return names;
}

void read_tensor(const char* name, nb::handle object, TensorView* view) {
  if (const dlpack::Exchange* exchange = exchange_of(Py_TYPE(object.ptr()))) {
    dlpack::Tensor tensor;
    if (exchange->tensor_from_object(object.ptr(), &tensor) != 0) throw nb::python_error();
    read_dlpack(name, tensor, view);
    view->exchange = exchange;
    return;
  }
  TypedTensor* typed = nullptr;
  if (nb::try_cast(object, typed) && typed != nullptr) {
    read_tensor(name, typed->source, view);
    if (kTypes[typed->dtype].bytes != view->item_bytes) {
      raise_invalid_argument(std::string(name) + ": elements of " + std::to_string(view->item_bytes) +
                             " bytes cannot be taken as " + dtype_name(typed->dtype));
    }
    view->dtype = typed->dtype;
    return;
  }
  Memory* memory = nullptr;
  if (nb::try_cast(object, memory) && memory != nullptr) {
    view->data = memory->data();
    view->rank = 1;
    view->shape[0] = static_cast<int64_t>(memory->bytes());
    view->stride[0] = 0;
    view->dtype = RTJIT_U8;
    view->item_bytes = 1;
    view->any_device = true;
    return;
  }
  if (nb::hasattr(object, "__dlpack__")) return read_by_dlpack_method(name, object, view);
  if (nb::hasattr(object, "__cuda_array_interface__")) {
    return read_array_interface(name, nb::cast<nb::dict>(object.attr("__cuda_array_interface__")), view);
  }
  raise_invalid_argument(std::string(name) + ": a " + kind_of(object) +
                         "; a tensor with __dlpack__ or __cuda_array_interface__ is required");
}

}  // namespace rtjit::python
