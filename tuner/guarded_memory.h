// Device memory between two guard zones that show whether a kernel wrote outside it. The emulator watches
// every access itself: there the zones are empty, so that reads outside are found too, and where they happen.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "runtime/device.h"

namespace rtjit {

// Move-only; frees its memory. The device outlives it.
class GuardedMemory {
 public:
  static constexpr int64_t kGuardBytes = 1024;
  static constexpr uint8_t kGuardByte = 0xFF;  // reads past the end see NaN

  GuardedMemory() = default;
  static Result<GuardedMemory> allocate(Device& device, int64_t bytes);
  ~GuardedMemory();
  GuardedMemory(GuardedMemory&& other) noexcept { swap(other); }
  GuardedMemory& operator=(GuardedMemory&& other) noexcept {
    swap(other);
    return *this;
  }

  DevicePtr data() const { return base_ == 0 ? 0 : base_ + static_cast<DevicePtr>(guard_); }
  int64_t bytes() const { return bytes_; }
  Status fill(uint8_t byte);
  Status poison(uint8_t byte);  // contents that no kernel may read before it has written them
  Status protect();             // kernels may only read it; where the device sees every access
  // Nothing when both zones are whole, else "256 B before the start" or "16 B past the end" (how far the
  // damage goes).
  Result<std::string> damage() const;
  // Makes both zones whole again, so that damage is blamed on one candidate only.
  Status repair();

 private:
  void swap(GuardedMemory& other) noexcept;
  Device* device_ = nullptr;
  DevicePtr base_ = 0;
  int64_t bytes_ = 0, guard_ = 0;
};

}  // namespace rtjit
