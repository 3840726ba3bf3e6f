// What went wrong in an emulated kernel, and where.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace rtjit::emu {

enum class FaultKind {
  out_of_bounds,
  use_after_free,
  misaligned,
  uninitialised,
  race,
  proxy_fence,
  tensor_fence,
  barrier,
  deadlock,
  mbarrier,
  async_early,
  read_only,
  resources,
  unsupported,
  trap,
  step_budget,
  invalid_address,
  tensor_memory,
};
const char* to_string(FaultKind kind);  // "out-of-bounds"

struct Report {
  FaultKind kind = FaultKind::trap;
  std::string detail;  // a sentence with the numbers
  std::string kernel;
  std::string instruction;  // as written, "ld.global.v4.u32"
  int ptx_line = 0, source_line = 0;
  std::array<uint32_t, 3> block{}, thread{};
  uint64_t address = 0;
  bool has_thread = false, has_address = false;
  // "kernel k, PTX line 12 (ld.global.u32), block (0,0,0), thread (3,0,0): out-of-bounds: ..."
  std::string text() const;
  // device_fault; timeout for deadlocks and used-up step budgets; unsupported for what the emulator lacks.
  Error error() const;
};

}  // namespace rtjit::emu
