// A driver's double: the functions that runtime/cuda_driver.h needs, with host memory for device memory. It
// keeps the driver's rules about contexts per thread, devices per kernel, and what a stream capture forbids.
#include "fake_libcuda.h"

#include <cstddef>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

using Fake = rtjit::testing::FakeCuda;

#define FAKE_API extern "C" __attribute__((visibility("default")))

namespace {
Fake state;
// Handles of a device are addresses into these.
char contexts[Fake::kMaxDevices], modules[Fake::kMaxDevices], functions[Fake::kMaxDevices], graph_tag;

constexpr int kInvalidValue = 1, kInvalidContext = 201, kInvalidHandle = 400, kCaptureUnsupported = 900,
              kCaptureInvalidated = 901;
constexpr int kGlobal = 0, kThreadLocal = 1, kRelaxed = 2;

int index_in(const char* array, const void* handle) {
  const auto* at = static_cast<const char*>(handle);
  return at >= array && at < array + Fake::kMaxDevices ? static_cast<int>(at - array) : -1;
}

constexpr int kContextStack = 16;
thread_local void* context_stack[kContextStack] = {};
thread_local int context_depth = 0;  // entries below the current one
void*& current_context() { return context_stack[context_depth]; }
int current_device() { return index_in(contexts, current_context()); }

struct Block {
  size_t bytes;
  int device;
};
struct Capture {
  std::thread::id owner;
  int mode;
  bool broken = false;
  int launches = 0;
};
std::mutex mutex;  // guards what follows
std::map<unsigned long long, Block> memory;
std::map<void*, Capture> captures;  // by stream

thread_local int capture_mode = kGlobal;  // cuThreadExchangeStreamCaptureMode

// What every call does that may disturb a capture (allocating, loading, waiting): it fails and breaks the
// captures that forbid it, by the rules that the driver's documentation gives for
// cuThreadExchangeStreamCaptureMode.
int disturb() {
  const std::lock_guard lock(mutex);
  int result = 0;
  for (auto& [stream, capture] : captures) {
    const bool own = capture.owner == std::this_thread::get_id();
    const bool forbidden = own ? capture.mode != kRelaxed && capture_mode != kRelaxed
                               : capture.mode == kGlobal && capture_mode == kGlobal;
    if (!forbidden) continue;
    capture.broken = true;
    result = kCaptureUnsupported;
  }
  return result;
}

struct LaunchAttribute {
  unsigned id, pad;
  unsigned value[16];
};
struct LaunchConfig {
  unsigned grid[3], block[3], dynamic_smem;
  void* stream;
  LaunchAttribute* attributes;
  unsigned attribute_count;
};
}  // namespace

FAKE_API Fake* fake_cuda() { return &state; }
FAKE_API void fake_cuda_reset() {
  state.~Fake();
  new (&state) Fake();
  context_depth = 0;
  current_context() = nullptr;
  capture_mode = kGlobal;
  const std::lock_guard lock(mutex);
  captures.clear();
}

FAKE_API int cuInit(unsigned) {
  // For programs that this library is given to as their libcuda.so.1.
  if (const char* code = std::getenv("RTJIT_FAKE_CUDA_INIT"); code != nullptr)
    state.init_result = std::atoi(code);
  if (const char* count = std::getenv("RTJIT_FAKE_CUDA_DEVICES"); count != nullptr)
    state.device_count = std::atoi(count);
  if (const char* version = std::getenv("RTJIT_FAKE_CUDA_VERSION"); version != nullptr)
    state.version = std::atoi(version);
  if (const char* code = std::getenv("RTJIT_FAKE_CUDA_LOAD"); code != nullptr) state.fail_load = std::atoi(code);
  return state.init_result;
}
// NVRTC, where it finds a libcuda.so.1, asks it for tables of its own; it does without them.
FAKE_API int cuGetExportTable(const void** table, const void*) { return *table = nullptr, 500; }
FAKE_API int cuDriverGetVersion(int* version) { return *version = state.version, 0; }
FAKE_API int cuGetErrorName(int code, const char** name) {
  *name = code == 700   ? "CUDA_ERROR_ILLEGAL_ADDRESS"
          : code == 100 ? "CUDA_ERROR_NO_DEVICE"
                        : "CUDA_ERROR_OTHER";
  return 0;
}
FAKE_API int cuGetErrorString(int, const char** words) { return *words = "words of the driver", 0; }
FAKE_API int cuDeviceGetCount(int* count) { return *count = state.device_count, 0; }
FAKE_API int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, 0; }
FAKE_API int cuDeviceGetName(char* name, int bytes, int) { return std::strncpy(name, "Fake GPU", bytes), 0; }
FAKE_API int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = size_t{1} << 30, 0; }
FAKE_API int cuDeviceGetAttribute(int* value, int attribute, int) {
  switch (attribute) {
    case 1:
      *value = 1024;
      break;
    case 12:
      *value = 65536;
      break;
    case 13:
      *value = 1980000;
      break;
    case 16:
      *value = state.sm_count;
      break;
    case 36:
      *value = 3201000;
      break;
    case 37:
      *value = 6144;
      break;
    case 38:
      *value = 62914560;
      break;
    case 39:
      *value = 2048;
      break;
    case 75:
      *value = state.major;
      break;
    case 76:
      *value = state.minor;
      break;
    case 88:
      *value = state.pageable_memory_access;
      break;
    case 81:
      *value = 233472;
      break;
    case 82:
      *value = 65536;
      break;
    case 97:
      *value = state.smem_optin;
      break;
    case 106:
      *value = 32;
      break;
    case 111:
      *value = 1024;
      break;
    case 120:
      *value = state.major >= 9;
      break;
    default:
      return 1;
  }
  return 0;
}
FAKE_API int cuDevicePrimaryCtxRetain(void** context, int device) {
  if (state.fail_context != 0) return state.fail_context;
  return *context = &contexts[device], ++state.retains, 0;
}
FAKE_API int cuDevicePrimaryCtxRelease_v2(int) { return ++state.releases, 0; }
FAKE_API int cuCtxGetCurrent(void** context) { return *context = current_context(), 0; }
FAKE_API int cuCtxSetCurrent(void* context) { return current_context() = context, 0; }
FAKE_API int cuCtxPushCurrent_v2(void* context) {
  if (context_depth + 1 == kContextStack) return kInvalidContext;
  ++context_depth;
  return current_context() = context, ++state.pushes, 0;
}
FAKE_API int cuCtxPopCurrent_v2(void** context) {
  if (context_depth == 0) return kInvalidContext;
  *context = current_context();
  --context_depth;
  return ++state.pops, 0;
}
FAKE_API int cuCtxSynchronize() {
  if (int code = disturb(); code != 0) return code;
  return ++state.synchronizations, 0;
}
FAKE_API int cuThreadExchangeStreamCaptureMode(int* mode) { return std::swap(*mode, capture_mode), 0; }
FAKE_API int cuModuleLoadDataEx(void** module, const void*, unsigned count, int* options, void** values) {
  if (int code = disturb(); code != 0) return code;
  if (current_device() < 0) return kInvalidContext;
  if (state.fail_load != 0) {
    for (unsigned i = 0; i < count; ++i) {
      if (options[i] == 5) std::strcpy(static_cast<char*>(values[i]), "the loader's log");
    }
    return state.fail_load;
  }
  return *module = &modules[current_device()], ++state.loads, 0;
}
FAKE_API int cuModuleUnload(void*) {
  if (int code = disturb(); code != 0) return code;
  return ++state.unloads, 0;
}
FAKE_API int cuModuleGetFunction(void** function, void* module, const char* name) {
  if (std::strcmp(name, "missing") == 0) return 500;
  return *function = &functions[index_in(modules, module)], 0;
}
FAKE_API int cuFuncLoad(void*) { return ++state.function_loads, 0; }
FAKE_API int cuFuncGetAttribute(int* value, int attribute, void*) {
  *value = attribute == 4   ? 40
           : attribute == 3 ? 16
           : attribute == 1 ? 1024
           : attribute == 8 ? state.last_smem_limit.load()
                            : 0;
  return 0;
}
FAKE_API int cuFuncSetAttribute(void*, int attribute, int value) {
  if (attribute == 8) state.last_smem_limit = value, ++state.smem_raises;
  return 0;
}
FAKE_API int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void*, int threads, size_t) {
  return *blocks = 2048 / threads, 0;
}
FAKE_API int cuLaunchKernelEx(const LaunchConfig* config, void* function, void**, void**) {
  if (state.fail_launch != 0) return state.fail_launch;
  const int device = current_device();
  if (device < 0) return kInvalidContext;
  if (function != &functions[device]) return kInvalidHandle;
  if (state.captures.load(std::memory_order_relaxed) > 0) {
    const std::lock_guard lock(mutex);
    if (auto capture = captures.find(config->stream); capture != captures.end()) ++capture->second.launches;
  }
  state.launches_on[device].fetch_add(1, std::memory_order_relaxed);
  state.launches.fetch_add(1, std::memory_order_relaxed);
  if (!state.record) return 0;
  std::memcpy(state.grid, config->grid, sizeof state.grid);
  std::memcpy(state.block, config->block, sizeof state.block);
  state.dynamic_smem = config->dynamic_smem;
  state.stream = config->stream;
  state.attribute_count = config->attribute_count;
  state.pdl = 0;
  for (unsigned i = 0; i < config->attribute_count; ++i) {
    state.attribute_ids[i] = config->attributes[i].id;
    if (config->attributes[i].id == 4)
      std::memcpy(state.cluster, config->attributes[i].value, sizeof state.cluster);
    if (config->attributes[i].id == 6) state.pdl = static_cast<int>(config->attributes[i].value[0]);
  }
  return 0;
}
FAKE_API int cuMemAlloc_v2(unsigned long long* pointer, size_t bytes) {
  if (int code = disturb(); code != 0) return code;
  if (current_device() < 0) return kInvalidContext;
  if (bytes == 0) return kInvalidValue;
  if (bytes > (size_t{1} << 30)) return 2;
  *pointer = reinterpret_cast<unsigned long long>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  const std::lock_guard lock(mutex);
  memory[*pointer] = {bytes, current_device()};
  return 0;
}
FAKE_API int cuMemFree_v2(unsigned long long pointer) {
  if (int code = disturb(); code != 0) return code;
  {
    const std::lock_guard lock(mutex);
    memory.erase(pointer);
  }
  return std::free(reinterpret_cast<void*>(pointer)), ++state.frees, 0;
}
FAKE_API int cuPointerGetAttribute(void* value, int attribute, unsigned long long pointer) {
  const std::lock_guard lock(mutex);
  auto after = memory.upper_bound(pointer);
  if (after == memory.begin()) return kInvalidValue;
  const auto& [start, block] = *std::prev(after);
  if (pointer >= start + block.bytes) return kInvalidValue;
  switch (attribute) {
    case 2:
      return *static_cast<unsigned*>(value) = 2, 0;  // device memory
    case 8:
      return *static_cast<int*>(value) = 0, 0;  // not managed
    case 9:
      return *static_cast<int*>(value) = block.device, 0;
    default:
      return kInvalidValue;
  }
}
FAKE_API int cuMemcpyHtoD_v2(unsigned long long target, const void* source, size_t bytes) {
  return std::memcpy(reinterpret_cast<void*>(target), source, bytes), 0;
}
FAKE_API int cuMemcpyDtoH_v2(void* target, unsigned long long source, size_t bytes) {
  return std::memcpy(target, reinterpret_cast<void*>(source), bytes), 0;
}
FAKE_API int cuMemsetD8Async(unsigned long long target, unsigned char byte, size_t bytes, void*) {
  return std::memset(reinterpret_cast<void*>(target), byte, bytes), 0;
}
FAKE_API int cuStreamCreate(void** stream, unsigned flags) {
  return *stream = std::malloc(1 + flags), ++state.live_streams, 0;
}
FAKE_API int cuStreamDestroy_v2(void* stream) { return std::free(stream), --state.live_streams, 0; }
FAKE_API int cuStreamSynchronize(void*) {
  if (int code = disturb(); code != 0) return code;
  return ++state.synchronizations, 0;
}
FAKE_API int cuStreamBeginCapture_v2(void* stream, int mode) {
  const std::lock_guard lock(mutex);
  captures[stream] = {std::this_thread::get_id(), mode};
  return ++state.captures, 0;
}
FAKE_API int cuStreamIsCapturing(void* stream, int* status) {
  const std::lock_guard lock(mutex);
  auto capture = captures.find(stream);
  return *status = capture == captures.end() ? 0 : capture->second.broken ? 2 : 1, 0;
}
FAKE_API int cuStreamEndCapture(void* stream, void** graph) {
  const std::lock_guard lock(mutex);
  auto capture = captures.extract(stream);
  if (capture.empty() || capture.mapped().broken) return *graph = nullptr, kCaptureInvalidated;
  state.captured_launches = capture.mapped().launches;
  return *graph = &graph_tag, 0;
}
FAKE_API int cuGraphInstantiateWithFlags(void** exec, void*, unsigned long long) {
  return *exec = &graph_tag, 0;
}
FAKE_API int cuGraphLaunch(void*, void*) { return ++state.graph_launches, 0; }
FAKE_API int cuGraphDestroy(void*) { return 0; }
FAKE_API int cuGraphExecDestroy(void*) { return 0; }
FAKE_API int cuEventCreate(void** event, unsigned) { return *event = std::malloc(1), ++state.live_events, 0; }
FAKE_API int cuEventDestroy_v2(void* event) { return std::free(event), --state.live_events, 0; }
FAKE_API int cuEventRecord(void*, void*) { return 0; }
FAKE_API int cuEventSynchronize(void*) { return 0; }
FAKE_API int cuEventElapsedTime(float* ms, void*, void*) { return *ms = 1.5f, 0; }
FAKE_API int cuTensorMapEncodeTiled(void*, int dtype, uint32_t rank, void*, const uint64_t*, const uint64_t*,
                                    const uint32_t*, const uint32_t*, int, int swizzle, int, int) {
  state.tensor_map_dtype = dtype;
  state.tensor_map_rank = rank;
  state.tensor_map_swizzle = swizzle;
  return 0;
}
