// Which block wrote each byte of global memory in a launch, by ordinary stores: enough to find blocks that
// race where neither can have waited for the other. Memory is taken for the parts that are written.
#pragma once

#include <atomic>
#include <cstdint>

namespace rtjit::emu {

class WriteRecord {
 public:
  WriteRecord() = default;
  ~WriteRecord();
  WriteRecord(const WriteRecord&) = delete;
  WriteRecord& operator=(const WriteRecord&) = delete;

  // Begins an empty record of `capacity` bytes. False: another launch keeps one, or there is no room for it.
  bool begin(uint64_t capacity);
  // Forgets it; `used`: how much of the capacity has ever been handed out.
  void end(uint64_t used);

  // --- offsets in global memory; an access of at most 32 aligned bytes at a time ---
  // Whether anything nearby was written; most of what kernels read was not.
  bool touched(uint64_t offset) const {
    return granules_[offset >> kGranuleBits].load(std::memory_order_relaxed) != 0;
  }
  struct Writer {
    bool any = false, async = false;
    uint32_t block = 0;
    uint64_t offset = 0;  // of the byte
  };
  // A writer of one of the bytes, one other than `block` if there is one.
  Writer find(uint64_t offset, uint32_t bytes, uint32_t block) const;
  // `async`: written through the asynchronous proxy.
  void note(uint64_t offset, uint32_t bytes, uint32_t block, bool async);

 private:
  static constexpr int kGranuleBits = 16;
  static constexpr uint32_t kAsync = 1u << 31;
  // Of each byte: block + 1, or 0. Blocks run on several cores; a race seen by none of two is found next
  // time.
  uint32_t* tags_ = nullptr;
  std::atomic<uint8_t>* granules_ = nullptr;
  uint64_t capacity_ = 0;
  std::atomic<bool> in_use_{false};
};

}  // namespace rtjit::emu
