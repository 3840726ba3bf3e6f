// What the opaque types of rtjit.h are. Tests use make_library() to drive the C interface on a device of
// their own.
#pragma once

#include <atomic>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "rtjit.h"
#include "runtime/context.h"
#include "runtime/handle.h"
#include "runtime/open_kernels.h"

struct rtjit_library {
  std::shared_ptr<rtjit::Context> context;
  std::shared_ptr<rtjit::OpenKernels> open_kernels = std::make_shared<rtjit::OpenKernels>();
};

struct rtjit_kernel {
  rtjit_kernel(std::unique_ptr<rtjit::KernelHandle> opened, std::string canonical,
               std::shared_ptr<rtjit::OpenKernels> siblings)
      : handle(std::move(opened)), problem(std::move(canonical)), open_kernels(std::move(siblings)) {}
  std::unique_ptr<rtjit::KernelHandle> handle;
  std::string problem;                               // canonical
  std::shared_ptr<rtjit::OpenKernels> open_kernels;  // of its library, which it may outlive
  int references = 1;                                // guarded by OpenKernels
};

struct rtjit_frozen {
  std::unique_ptr<rtjit::FrozenLaunch> launch;
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

// The device that rtjit_library_open() works on: a CUDA GPU in librtjit.so (library_device.cc), an emulated
// one in librtjit_emulated.so (emulator/library/library_device.cc).
Result<std::unique_ptr<Device>> open_library_device(int ordinal);

// The status of a call of the interface, with its message kept for rtjit_last_error().
rtjit_status finish(const Status& status) noexcept;

// Keeps the message for rtjit_last_error(); one that cannot be kept for want of memory does not throw either.
rtjit_status failed(rtjit_status status, std::string_view message) noexcept;

// Runs the body of a function of the interface.
template <typename Body>
rtjit_status guarded(Body&& body) noexcept {
  try {
    const Status status = body();
    return status.ok() ? RTJIT_OK : finish(status);
  } catch (const std::bad_alloc&) {
    return failed(RTJIT_OUT_OF_MEMORY, "out of host memory");
  } catch (const std::exception& error) {
    return failed(RTJIT_INTERNAL, error.what());
  } catch (...) {
    return failed(RTJIT_INTERNAL, "an unknown exception");
  }
}

}  // namespace rtjit
