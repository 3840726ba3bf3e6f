// What the opaque types of rtjit.h are. Tests use make_library() to drive the C interface on a device of
// their own.
#pragma once

#include <memory>
#include <string>

#include "rtjit.h"
#include "runtime/context.h"
#include "runtime/handle.h"

struct rtjit_library {
  std::shared_ptr<rtjit::Context> context;
};

struct rtjit_kernel {
  std::unique_ptr<rtjit::KernelHandle> handle;
};

struct rtjit_weights {
  std::string layout;
  rtjit::DevicePtr data = 0;
  int64_t bytes = 0;
};

namespace rtjit {

// Freed by rtjit_library_close().
inline rtjit_library* make_library(std::shared_ptr<Context> context) {
  return new rtjit_library{std::move(context)};
}

}  // namespace rtjit
