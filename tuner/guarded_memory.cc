#include "tuner/guarded_memory.h"

#include <array>
#include <utility>

namespace rtjit {
namespace {

// The end guard starts right behind the last byte, so that a single stray element is seen.
constexpr int64_t kAlignment = 256;

}  // namespace

Result<GuardedMemory> GuardedMemory::allocate(Device& device, int64_t bytes) {
  GuardedMemory memory;
  memory.guard_ = device.info().emulated ? 0 : kGuardBytes;
  int64_t total =
      memory.guard_ == 0 ? bytes : (bytes + kAlignment - 1) / kAlignment * kAlignment + 2 * memory.guard_;
  auto base = device.allocate(static_cast<size_t>(total));
  if (!base) return base.error();
  memory.device_ = &device;
  memory.base_ = *base;
  memory.bytes_ = bytes;
  Status status = device.poison(*base, kGuardByte, static_cast<size_t>(total), nullptr);
  if (!status) return status.error();
  return memory;
}

GuardedMemory::~GuardedMemory() {
  if (base_ != 0) device_->free(base_);
}

void GuardedMemory::swap(GuardedMemory& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(base_, other.base_);
  std::swap(bytes_, other.bytes_);
  std::swap(guard_, other.guard_);
}

Status GuardedMemory::fill(uint8_t byte) {
  if (bytes_ == 0) return {};
  return device_->fill(data(), byte, static_cast<size_t>(bytes_), nullptr);
}

Status GuardedMemory::poison(uint8_t byte) {
  if (bytes_ == 0) return {};
  return device_->poison(data(), byte, static_cast<size_t>(bytes_), nullptr);
}

Status GuardedMemory::protect() { return base_ == 0 ? Status() : device_->protect(base_); }

Result<std::string> GuardedMemory::damage() const {
  if (guard_ == 0) return std::string();
  std::array<uint8_t, kGuardBytes> zone;
  if (Status status = device_->copy_to_host(zone.data(), base_, zone.size()); !status) return status.error();
  for (size_t i = 0; i < zone.size(); ++i) {
    if (zone[i] != kGuardByte) return fmt::format("{} B before the start", zone.size() - i);
  }
  Status status = device_->copy_to_host(zone.data(), data() + static_cast<DevicePtr>(bytes_), zone.size());
  if (!status) return status.error();
  for (size_t i = zone.size(); i-- > 0;) {
    if (zone[i] != kGuardByte) return fmt::format("{} B past the end", i + 1);
  }
  return std::string();
}

Status GuardedMemory::repair() {
  if (guard_ == 0) return {};
  if (Status status = device_->fill(base_, kGuardByte, kGuardBytes, nullptr); !status) return status;
  return device_->fill(data() + static_cast<DevicePtr>(bytes_), kGuardByte, kGuardBytes, nullptr);
}

}  // namespace rtjit
