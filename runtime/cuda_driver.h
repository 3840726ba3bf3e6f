// The CUDA driver, opened at run time. Only what librtjit calls is declared here, so that neither building
// nor starting a program needs the CUDA toolkit or a driver. tests/runtime compares these declarations with
// cuda.h where that is installed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace rtjit::cuda {

using Result = int;  // CUresult
using Device = int;  // CUdevice
using DevicePointer = unsigned long long;
using Context = struct ContextHandle*;
using Module = struct ModuleHandle*;
using Function = struct FunctionHandle*;
using Stream = struct StreamHandleTag*;
using Event = struct EventHandle*;
using Graph = struct GraphHandle*;
using GraphExec = struct GraphExecHandle*;

constexpr Result kSuccess = 0;
constexpr Result kOutOfMemory = 2;
constexpr Result kInvalidValue = 1;
constexpr Result kNoDevice = 100;

// CUdevice_attribute
enum Attribute : int {
  kMaxThreadsPerBlock = 1,
  kMaxRegistersPerBlock = 12,
  kClockKhz = 13,
  kSmCount = 16,
  kPciBusId = 33,
  kPciDeviceId = 34,
  kMemoryClockKhz = 36,
  kMemoryBusBits = 37,
  kL2Bytes = 38,
  kMaxThreadsPerSm = 39,
  kPciDomainId = 50,
  kMajor = 75,
  kMinor = 76,
  kSmemPerSm = 81,
  kRegistersPerSm = 82,
  kPageableMemoryAccess = 88,
  kSmemPerBlockOptin = 97,
  kBlocksPerSm = 106,
  kReservedSmemPerBlock = 111,
  kClusterLaunch = 120,
};

// CUpointer_attribute
enum PointerAttribute : int {
  kPointerMemoryType = 2,
  kPointerIsManaged = 8,
  kPointerDeviceOrdinal = 9,
};
constexpr unsigned kMemoryTypeDevice = 2;  // CU_MEMORYTYPE_DEVICE

// CUfunction_attribute
enum FunctionAttribute : int {
  kFunctionStaticSmem = 1,
  kFunctionLocalBytes = 3,
  kFunctionRegisters = 4,
  kFunctionMaxDynamicSmem = 8,
};

// CUlaunchAttributeID
enum LaunchAttributeId : unsigned {
  kClusterDimension = 4,
  kProgrammaticStreamSerialization = 6,
};

// CUlaunchAttribute: the identifier, padding to 8 bytes, a union of 64 bytes.
struct LaunchAttribute {
  unsigned id = 0;
  unsigned pad = 0;
  union Value {
    char bytes[64];
    unsigned cluster[3];
    int programmatic_serialization;
    void* alignment;
  } value{};
};

// CUlaunchConfig
struct LaunchConfig {
  unsigned grid[3], block[3];
  unsigned dynamic_smem;
  Stream stream;
  LaunchAttribute* attributes;
  unsigned attribute_count;
};

constexpr unsigned kStreamNonBlocking = 1;  // CU_STREAM_NON_BLOCKING
constexpr int kCaptureThreadLocal = 1;      // CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
constexpr int kCaptureRelaxed = 2;          // CU_STREAM_CAPTURE_MODE_RELAXED
constexpr int kCaptureStatusNone = 0;       // CU_STREAM_CAPTURE_STATUS_NONE
constexpr int kJitErrorLogBuffer = 5;       // CU_JIT_ERROR_LOG_BUFFER
constexpr int kJitErrorLogBufferBytes = 6;  // CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES

// The driver's functions under the names of their exact ABI version.
class Driver {
 public:
  // ErrorCode::unavailable (no driver), driver_too_old or gpu_bad_state, with what to do. No GPU is not an
  // error here. `library`: nullptr for the system's libcuda.so.1; tests pass a path.
  static rtjit::Result<std::shared_ptr<const Driver>> open(const char* library = nullptr);

  // An Error with the driver's name and words for the code: "launching gemm1: CUDA_ERROR_ILLEGAL_ADDRESS
  // (700): ...".
  Error error(Result code, std::string_view doing, bool with_advice = true) const;
  // Whether this driver came before the toolkit of a compiler ("nvrtc 13.0"), whose code it may not know
  // then.
  bool is_older_than(std::string_view compiler) const;
  // The same for what fails before anything was launched: driver_too_old, no_gpu, gpu_bad_state or
  // unavailable.
  Error opening_error(Result code, std::string_view doing) const;

  Result (*init)(unsigned) = nullptr;
  Result (*driver_version)(int*) = nullptr;
  Result (*error_name)(Result, const char**) = nullptr;
  Result (*error_string)(Result, const char**) = nullptr;
  Result (*device_count)(int*) = nullptr;
  Result (*device_get)(Device*, int) = nullptr;
  Result (*device_name)(char*, int, Device) = nullptr;
  Result (*device_total_memory)(size_t*, Device) = nullptr;
  Result (*device_attribute)(int*, int, Device) = nullptr;
  Result (*primary_retain)(Context*, Device) = nullptr;
  Result (*primary_release)(Device) = nullptr;
  Result (*context_get_current)(Context*) = nullptr;
  Result (*context_set_current)(Context) = nullptr;
  Result (*context_push)(Context) = nullptr;
  Result (*context_pop)(Context*) = nullptr;
  Result (*context_synchronize)() = nullptr;
  Result (*module_load)(Module*, const void*, unsigned, int*, void**) = nullptr;
  Result (*module_unload)(Module) = nullptr;
  Result (*module_function)(Function*, Module, const char*) = nullptr;
  Result (*function_load)(Function) = nullptr;  // null before CUDA 12.4
  Result (*function_get)(int*, int, Function) = nullptr;
  Result (*function_set)(Function, int, int) = nullptr;
  Result (*occupancy)(int*, Function, int, size_t) = nullptr;
  Result (*launch)(const LaunchConfig*, Function, void**, void**) = nullptr;
  Result (*memory_allocate)(DevicePointer*, size_t) = nullptr;
  Result (*memory_free)(DevicePointer) = nullptr;
  Result (*copy_to_device)(DevicePointer, const void*, size_t) = nullptr;
  Result (*copy_to_host)(void*, DevicePointer, size_t) = nullptr;
  Result (*fill)(DevicePointer, unsigned char, size_t, Stream) = nullptr;
  Result (*stream_create)(Stream*, unsigned) = nullptr;
  Result (*stream_destroy)(Stream) = nullptr;
  Result (*stream_synchronize)(Stream) = nullptr;
  Result (*capture_begin)(Stream, int) = nullptr;
  Result (*capture_end)(Stream, Graph*) = nullptr;
  Result (*graph_instantiate)(GraphExec*, Graph, unsigned long long) = nullptr;
  Result (*graph_launch)(GraphExec, Stream) = nullptr;
  Result (*graph_destroy)(Graph) = nullptr;
  Result (*graph_exec_destroy)(GraphExec) = nullptr;
  Result (*event_create)(Event*, unsigned) = nullptr;
  Result (*event_destroy)(Event) = nullptr;
  Result (*event_record)(Event, Stream) = nullptr;
  Result (*event_synchronize)(Event) = nullptr;
  Result (*event_elapsed)(float*, Event, Event) = nullptr;
  Result (*pointer_attribute)(void*, int, DevicePointer) = nullptr;
  Result (*stream_is_capturing)(Stream, int*) = nullptr;
  Result (*exchange_capture_mode)(int*) = nullptr;  // cuThreadExchangeStreamCaptureMode
  // null before CUDA 12.0
  Result (*tensor_map_tiled)(void* map, int dtype, uint32_t rank, void* base, const uint64_t* dims,
                             const uint64_t* strides, const uint32_t* box, const uint32_t* element_strides,
                             int interleave, int swizzle, int l2_promotion, int oob_fill) = nullptr;

 private:
  Driver() = default;
};

// What a caller may want to branch on: memory, a fault that ended the context, something the device cannot
// do.
ErrorCode classify(Result code);

}  // namespace rtjit::cuda
