// Resource facts read from a cubin's ELF, without a driver.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rtjit {

struct KernelResources {
  std::string symbol;   // mangled name
  int registers = 0;    // per thread
  int static_smem = 0;  // bytes that the kernel declares
  int stack = 0;        // frame bytes per thread
  // Bytes of code that spill. A cubin does not tell: read_cubin() gives the frame as an upper bound, and
  // compile() replaces it by what the assembler said.
  int spill_stores = 0, spill_loads = 0;
  int barriers = 0;
  int max_threads = 0;  // .maxntid, 0 when not given
  int64_t code_bytes = 0;
};

// Any malformed input is an error (ErrorCode::corrupt), never a crash.
Result<std::vector<KernelResources>> read_cubin(std::string_view bytes);

}  // namespace rtjit
