#include "base/result.h"

namespace rtjit {

const char* to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::unsupported: return "unsupported";
    case ErrorCode::not_found: return "not_found";
    case ErrorCode::unavailable: return "unavailable";
    case ErrorCode::compile_failed: return "compile_failed";
    case ErrorCode::timeout: return "timeout";
    case ErrorCode::device_fault: return "device_fault";
    case ErrorCode::out_of_memory: return "out_of_memory";
    case ErrorCode::io: return "io";
    case ErrorCode::corrupt: return "corrupt";
    case ErrorCode::read_only: return "read_only";
    case ErrorCode::cancelled: return "cancelled";
    case ErrorCode::internal: return "internal";
    case ErrorCode::driver_too_old: return "driver_too_old";
    case ErrorCode::no_gpu: return "no_gpu";
    case ErrorCode::gpu_bad_state: return "gpu_bad_state";
    case ErrorCode::no_compiler: return "no_compiler";
    case ErrorCode::compiler_too_old: return "compiler_too_old";
  }
  return "unknown";
}

}  // namespace rtjit
