// Result<T>: a value, or an Error that tells the whole story. Nothing inside the library throws.
#pragma once

#include <fmt/format.h>

#include <cassert>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace rtjit {

// What kind of failure it was: what a caller may want to branch on. Mirrored by rtjit_status in rtjit.h.
enum class ErrorCode {
  invalid_argument,  // the caller passed something wrong; the message names it, what came and what is allowed
  unsupported,       // right in itself, but this target, device or toolkit cannot do it
  not_found,         // a template, file, row or library is not there
  unavailable,       // something outside of librtjit that is needed (the driver, libsodium); the message says how to get it
  compile_failed,    // the compiler or assembler refused; the message holds its log
  timeout,           // a limit on time ran out
  device_fault,      // the device reported an error while loading or running a kernel
  out_of_memory,     // host or device memory
  io,                // reading or writing a file failed
  corrupt,           // stored data is not what it claims to be
  read_only,         // the store cannot be written; reading goes on
  cancelled,         // the user or another thread asked to stop
  internal,          // a broken invariant of librtjit itself
  driver_too_old,    // the CUDA driver lacks what is needed, or does not fit its kernel module
  no_gpu,            // there is a driver, but it offers no GPU
  gpu_bad_state,     // a GPU is there and cannot be used: held by another process, not ready, or broken
  no_compiler,       // NVRTC was not found where it is needed
  compiler_too_old,  // the only NVRTC that was found is too old
};

// The name used in messages and in JSON, for example "invalid_argument".
const char* to_string(ErrorCode code);

struct Error {
  ErrorCode code;
  std::string message;

  // The same error with what was being done put before it: "opening the cache: disk is full".
  Error with_context(std::string_view doing) const { return {code, fmt::format("{}: {}", doing, message)}; }
};

// make_error(ErrorCode::io, "{}: {}", path, reason)
template <typename... Args>
Error make_error(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return {code, fmt::format(format, std::forward<Args>(args)...)};
}

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit on purpose
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit on purpose

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // Require ok().
  T& value() & { return assert(ok()), *std::get_if<0>(&state_); }
  const T& value() const& { return assert(ok()), *std::get_if<0>(&state_); }
  T&& value() && { return assert(ok()), std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // Requires !ok().
  const Error& error() const { return assert(!ok()), *std::get_if<1>(&state_); }

 private:
  std::variant<T, Error> state_;
};

// Success or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit on purpose
  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return assert(!ok()), *error_; }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace rtjit
