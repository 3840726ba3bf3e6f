// The functions of rtjit.h, taken from a library that is opened by path. So one extension module serves
// librtjit.so and librtjit_emulated.so, and importing it needs neither.
#pragma once

#include <memory>
#include <string>

#include "rtjit.h"

namespace rtjit::python {

#define RTJIT_PYTHON_FUNCTIONS(f)                                                                           \
  f(version) f(status_name) f(last_error) f(library_open) f(library_close) f(library_device) f(kernel_open) \
      f(kernel_close) f(kernel_problem) f(kernel_workspace_size) f(kernel_packed_size) f(kernel_layout)     \
          f(kernel_pack_weights) f(kernel_launch) f(kernel_freeze) f(frozen_launch) f(frozen_launch_at)     \
              f(frozen_free) f(kernel_provenance) f(kernel_refresh) f(kernel_argument) f(weights_adopt)     \
                  f(weights_free) f(memory_allocate) f(memory_free) f(memory_write) f(memory_read)

struct CApi {
  // Stays loaded until the process ends. Throws std::runtime_error with what to do.
  static std::shared_ptr<const CApi> load(const std::string& file);

  std::string file;
#define RTJIT_PYTHON_MEMBER(name) decltype(&::rtjit_##name) name = nullptr;
  RTJIT_PYTHON_FUNCTIONS(RTJIT_PYTHON_MEMBER)
#undef RTJIT_PYTHON_MEMBER
};

// Raises the Python exception of the status, with the library's message, unless it is RTJIT_OK. Needs the
// GIL.
void check(const CApi& api, rtjit_status status);
// Raises rtjit.InvalidArgument.
[[noreturn]] void raise_invalid_argument(const std::string& message);

}  // namespace rtjit::python
