#include "runtime/cuda_driver.h"

#include <dlfcn.h>

#include <array>

#include "base/text.h"

namespace rtjit::cuda {
namespace {

constexpr const char* kAdvice =
    "install NVIDIA's driver (or, in a container, start it with the GPU: --gpus all); without a GPU "
    "`rtjit --target ...` compiles, checks and explains for any target";

constexpr const char* kUpdateAdvice =
    "update NVIDIA's driver to 520 or later (a container uses the host's); after an update, reboot";
constexpr const char* kBadStateAdvice =
    "see what nvidia-smi says: another process may hold the GPU exclusively (compute mode), the fabric "
    "manager may not be "
    "up yet, or the GPU needs a reset (nvidia-smi --gpu-reset) or the machine a reboot";

template <typename Function>
bool find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(::dlsym(library, name));
  return *function != nullptr;
}

}  // namespace

rtjit::Result<std::shared_ptr<const Driver>> Driver::open(const char* library) {
  // The second place is where WSL keeps it, which is not always in the loader's path.
  std::array<const char*, 2> places = {"libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"};
  if (library != nullptr) places = {library, nullptr};
  void* handle = nullptr;
  std::string reason;
  for (const char* place : places) {
    if (place == nullptr || handle != nullptr) continue;
    // Never unloaded: the driver has threads and exit handlers of its own.
    handle = ::dlopen(place, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle == nullptr && reason.empty()) reason = ::dlerror();
  }
  if (handle == nullptr) {
    return make_error(ErrorCode::unavailable, "the CUDA driver could not be opened ({}); {}", reason,
                      kAdvice);
  }
  std::shared_ptr<Driver> driver(new Driver);
  Driver& d = *driver;
  std::string missing;
  auto need = [&](const char* name, auto* function) {
    if (!find(handle, name, function) && missing.empty()) missing = name;
  };
  need("cuInit", &d.init);
  need("cuDriverGetVersion", &d.driver_version);
  need("cuGetErrorName", &d.error_name);
  need("cuGetErrorString", &d.error_string);
  need("cuDeviceGetCount", &d.device_count);
  need("cuDeviceGet", &d.device_get);
  need("cuDeviceGetName", &d.device_name);
  need("cuDeviceTotalMem_v2", &d.device_total_memory);
  need("cuDeviceGetAttribute", &d.device_attribute);
  need("cuDevicePrimaryCtxRetain", &d.primary_retain);
  need("cuDevicePrimaryCtxRelease_v2", &d.primary_release);
  need("cuCtxGetCurrent", &d.context_get_current);
  need("cuCtxSetCurrent", &d.context_set_current);
  need("cuCtxPushCurrent_v2", &d.context_push);
  need("cuCtxPopCurrent_v2", &d.context_pop);
  need("cuCtxSynchronize", &d.context_synchronize);
  need("cuModuleLoadDataEx", &d.module_load);
  need("cuModuleUnload", &d.module_unload);
  need("cuModuleGetFunction", &d.module_function);
  need("cuFuncGetAttribute", &d.function_get);
  need("cuFuncSetAttribute", &d.function_set);
  need("cuOccupancyMaxActiveBlocksPerMultiprocessor", &d.occupancy);
  need("cuLaunchKernelEx", &d.launch);
  need("cuMemAlloc_v2", &d.memory_allocate);
  need("cuMemFree_v2", &d.memory_free);
  need("cuMemcpyHtoD_v2", &d.copy_to_device);
  need("cuMemcpyDtoH_v2", &d.copy_to_host);
  need("cuMemsetD8Async", &d.fill);
  need("cuStreamCreate", &d.stream_create);
  need("cuStreamDestroy_v2", &d.stream_destroy);
  need("cuStreamSynchronize", &d.stream_synchronize);
  need("cuStreamBeginCapture_v2", &d.capture_begin);
  need("cuStreamEndCapture", &d.capture_end);
  need("cuGraphInstantiateWithFlags", &d.graph_instantiate);
  need("cuGraphLaunch", &d.graph_launch);
  need("cuGraphDestroy", &d.graph_destroy);
  need("cuGraphExecDestroy", &d.graph_exec_destroy);
  need("cuEventCreate", &d.event_create);
  need("cuEventDestroy_v2", &d.event_destroy);
  need("cuEventRecord", &d.event_record);
  need("cuEventSynchronize", &d.event_synchronize);
  need("cuEventElapsedTime", &d.event_elapsed);
  need("cuPointerGetAttribute", &d.pointer_attribute);
  need("cuStreamIsCapturing", &d.stream_is_capturing);
  need("cuThreadExchangeStreamCaptureMode", &d.exchange_capture_mode);
  find(handle, "cuFuncLoad", &d.function_load);
  find(handle, "cuTensorMapEncodeTiled", &d.tensor_map_tiled);
  if (!missing.empty()) {
    return make_error(
        ErrorCode::driver_too_old,
        "the CUDA driver is too old: it has no {}; librtjit needs one for CUDA 11.8 or later: {}", missing,
        kUpdateAdvice);
  }
  if (Result code = d.init(0); code != kSuccess && code != kNoDevice) {
    return d.opening_error(code, "starting the CUDA driver");
  }
  return std::shared_ptr<const Driver>(std::move(driver));
}

bool Driver::is_older_than(std::string_view compiler) const {
  int version = 0;
  const std::vector<std::string> parts = split(compiler.substr(compiler.find(' ') + 1), '.');
  if (parts.size() != 2 || driver_version(&version) != kSuccess) return false;
  return version < 1000 * parse_int(parts[0]).value_or(0) + 10 * parse_int(parts[1]).value_or(0);
}

Error Driver::opening_error(Result code, std::string_view doing) const {
  Error failure = error(code, doing, /*with_advice=*/false);
  switch (failure.code) {
    case ErrorCode::device_fault:  // of an earlier program: this one has not launched anything
      failure.code = ErrorCode::gpu_bad_state;
      [[fallthrough]];
    case ErrorCode::gpu_bad_state:
      return make_error(failure.code, "{}; {}", failure.message, kBadStateAdvice);
    case ErrorCode::driver_too_old:
      return make_error(failure.code, "{}; {}", failure.message, kUpdateAdvice);
    case ErrorCode::no_gpu:
    case ErrorCode::out_of_memory:
      return failure;
    default:
      return make_error(ErrorCode::unavailable, "{}; {}", failure.message, kAdvice);
  }
}

Error Driver::error(Result code, std::string_view doing, bool with_advice) const {
  const char* name = nullptr;
  const char* words = nullptr;
  if (error_name(code, &name) != kSuccess || name == nullptr) name = "unknown CUDA error";
  if (error_string(code, &words) != kSuccess || words == nullptr) words = "no description";
  ErrorCode kind = classify(code);
  const char* advice = "";
  if (!with_advice) {
  } else if (kind == ErrorCode::device_fault) {
    advice = " (the CUDA context is lost: every later call in this process fails; start a new process)";
  } else if (code == 209 || code == 222 || code == 223) {
    advice = " (the driver cannot load this binary: it may be older than the compiler; update the driver)";
  } else if (code >= 900 && code <= 908) {
    advice = " (a stream capture is in the way)";
  }
  return make_error(kind, "{}: {} ({}): {}{}", doing, name, code, words, advice);
}

ErrorCode classify(Result code) {
  switch (code) {
    case 1:    // invalid value
    case 101:  // invalid device
    case 201:  // invalid context
    case 400:  // invalid handle
      return ErrorCode::invalid_argument;
    case kOutOfMemory:
      return ErrorCode::out_of_memory;
    case 3:   // not initialized
    case 4:   // deinitialized
    case 34:  // stub library
      return ErrorCode::unavailable;
    case 36:   // call requires newer driver
    case 803:  // driver mismatch
    case 804:  // compat not supported
      return ErrorCode::driver_too_old;
    case 46:   // device unavailable (exclusive mode, or taken away)
    case 802:  // system not ready
      return ErrorCode::gpu_bad_state;
    case kNoDevice:
      return ErrorCode::no_gpu;
    case 200:  // invalid image
    case 209:  // no binary for gpu
    case 218:  // invalid ptx
    case 222:  // unsupported ptx version
    case 223:  // jit disabled
    case 300:  // invalid source
    case 701:  // launch out of resources
    case 720:  // cooperative launch too large
    case 801:  // not supported
    case 912:  // invalid cluster size
      return ErrorCode::unsupported;
    case 500:
      return ErrorCode::not_found;
    case 214:  // ECC, uncorrectable
    case 220:  // NVLink, uncorrectable
    case 226:  // contained memory error
    case 700:  // illegal address
    case 702:  // launch timeout
    case 709:  // context is destroyed
    case 710:  // assert
    case 714:  // hardware stack error
    case 715:  // illegal instruction
    case 716:  // misaligned address
    case 717:  // invalid address space
    case 718:  // invalid pc
    case 719:  // launch failed
    case 721:  // tensor memory leak
    case 999:  // unknown
      return ErrorCode::device_fault;
    default:
      return code >= 900 && code <= 908 ? ErrorCode::invalid_argument : ErrorCode::internal;
  }
}

}  // namespace rtjit::cuda
