// Global memory of the emulated device: tracked allocations with a shadow byte per byte, so that every wrong
// access is found. Addresses are never reused while others are left, so that a use after free is seen as one.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "emulator/report.h"
#include "emulator/write_record.h"

namespace rtjit::emu {

// Generic addresses. Shared, local and parameter memory are windows; everything else is global.
inline constexpr uint64_t kGlobalBase = 0x10'0000'0000;
inline constexpr uint64_t kSharedWindow = 0x7e00'0000'0000;
inline constexpr uint64_t kLocalWindow = 0x7e01'0000'0000;
inline constexpr uint64_t kParamWindow = 0x7e02'0000'0000;

// Within the shared window, the memory of the block with rank r in its cluster begins at r << kRankShift, for
// all blocks of the cluster alike: code that clears a bit of an address to reach the neighbour is at work in
// the field.
inline constexpr int kRankShift = 24;

// What a byte of memory is, in its shadow.
inline constexpr uint8_t kUnwritten = 0;
inline constexpr uint8_t kWritten = 1;
inline constexpr uint8_t kPending = 2;   // an asynchronous copy will write it
inline constexpr uint8_t kMbarrier = 3;  // part of an mbarrier object
inline constexpr uint8_t kReducing = 4;  // asynchronous reductions will change it

class GlobalMemory {
 public:
  static Result<std::unique_ptr<GlobalMemory>> create(uint64_t limit_bytes);
  ~GlobalMemory();
  GlobalMemory(const GlobalMemory&) = delete;
  GlobalMemory& operator=(const GlobalMemory&) = delete;

  Result<uint64_t> allocate(uint64_t bytes, std::string name = {}, bool read_only = false);
  bool free(uint64_t address);     // false: not the start of a live allocation
  bool protect(uint64_t address);  // makes it read-only for kernels; false as above

  struct Allocation {
    uint64_t start = 0, bytes = 0;
    bool live = false, read_only = false;
    std::string name;
  };
  // The allocation in whose granules the address lies (it may be past its end, or freed); null for wild
  // addresses.
  const Allocation* find(uint64_t address) const;
  // Whether [address, address + bytes) is inside one live allocation; else why not.
  bool check(uint64_t address, uint64_t bytes, FaultKind* kind, std::string* why) const;

  uint8_t* data(uint64_t address) const { return data_ + (address - kGlobalBase); }
  uint8_t* shadow(uint64_t address) const { return shadow_ + (address - kGlobalBase); }
  // Held around an atomic operation on the address, so that atomics of different blocks exclude each other.
  std::atomic_flag& lock_for(uint64_t address) const { return locks_[(address >> 4) % kLocks]; }
  uint64_t live_bytes() const { return live_bytes_; }
  uint64_t offset(uint64_t address) const { return address - kGlobalBase; }

  // The record of one launch's writes. Null: another launch keeps one, or there is no room for it.
  WriteRecord* begin_record() { return record_.begin(capacity_) ? &record_ : nullptr; }
  void end_record();

 private:
  GlobalMemory() = default;
  Allocation* live_at(uint64_t address);  // the one that begins there
  static constexpr int kGranuleBits = 16;
  uint8_t* data_ = nullptr;
  uint8_t* shadow_ = nullptr;
  uint64_t capacity_ = 0, limit_ = 0, next_ = 0, live_bytes_ = 0;
  WriteRecord record_;
  static constexpr size_t kLocks = 512;
  mutable std::atomic_flag locks_[kLocks] = {};
  mutable std::mutex mutex_;
  std::vector<uint32_t> owner_;  // granule -> allocation index + 1
  std::vector<std::unique_ptr<Allocation>> allocations_;
};

}  // namespace rtjit::emu
