// DLPack's binary interface, as far as it is read here (versions 0.8 to 1.x of its specification). Declared
// here because no distribution packages a header with the exchange functions of 1.3.
#pragma once

#include <cstdint>

namespace rtjit::python::dlpack {

enum DeviceType : int32_t { kCpu = 1, kCuda = 2, kCudaHost = 3, kCudaManaged = 13 };
enum TypeCode : uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4, kE4M3 = 10, kE8M0 = 14, kE2M1 = 17 };

struct Version {
  uint32_t major, minor;
};
struct Device {
  int32_t type, id;
};
struct DataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct Tensor {
  void* data;
  Device device;
  int32_t rank;
  DataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements; null: dense row-major
  uint64_t byte_offset;
};
struct ManagedTensor {  // of a capsule named "dltensor"
  Tensor tensor;
  void* manager;
  void (*deleter)(ManagedTensor*);
};
struct ManagedTensorVersioned {  // of a capsule named "dltensor_versioned"
  Version version;
  void* manager;
  void (*deleter)(ManagedTensorVersioned*);
  uint64_t flags;
  Tensor tensor;
};
constexpr uint64_t kReadOnly = 1;

// What type(tensor).__dlpack_c_exchange_api__ points to: C functions that spare the detour over Python.
struct ExchangeHeader {
  Version version;
  ExchangeHeader* previous;
};
struct Exchange {
  ExchangeHeader header;
  void* managed_tensor_allocator;
  void* managed_tensor_from_object;
  void* managed_tensor_to_object;
  int (*tensor_from_object)(void* object, Tensor* out);  // may be null; borrows; sets a Python error
  int (*current_stream)(int32_t device_type, int32_t device_id, void** out);
};

}  // namespace rtjit::python::dlpack
