#include "emulator/write_record.h"

#include <sys/mman.h>

namespace rtjit::emu {
namespace {

void* reserve(uint64_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : p;
}

}  // namespace

WriteRecord::~WriteRecord() {
  if (tags_) munmap(tags_, capacity_ * sizeof(uint32_t));
  if (granules_) munmap(granules_, capacity_ >> kGranuleBits);
}

bool WriteRecord::begin(uint64_t capacity) {
  if (in_use_.exchange(true, std::memory_order_acquire)) return false;
  if (!tags_) {
    capacity_ = capacity;
    tags_ = static_cast<uint32_t*>(reserve(capacity * sizeof(uint32_t)));
    if (tags_) granules_ = static_cast<std::atomic<uint8_t>*>(reserve(capacity >> kGranuleBits));
    if (!granules_) {
      if (tags_) munmap(tags_, capacity * sizeof(uint32_t));
      tags_ = nullptr;
      in_use_ = false;
      return false;
    }
  }
  return true;
}

void WriteRecord::end(uint64_t used) {
  constexpr uint64_t kBytes = uint64_t(1) << kGranuleBits;
  for (uint64_t g = 0; g << kGranuleBits < used; ++g) {
    if (!granules_[g].load(std::memory_order_relaxed)) continue;
    granules_[g].store(0, std::memory_order_relaxed);
    madvise(tags_ + g * kBytes, kBytes * sizeof(uint32_t), MADV_DONTNEED);
  }
  in_use_.store(false, std::memory_order_release);
}

WriteRecord::Writer WriteRecord::find(uint64_t offset, uint32_t bytes, uint32_t block) const {
  Writer writer;
  for (uint32_t i = 0; i < bytes; ++i) {
    uint32_t tag = __atomic_load_n(tags_ + offset + i, __ATOMIC_RELAXED);
    if (!tag) continue;
    uint32_t other = (tag & ~kAsync) - 1;
    if (writer.any && other == block) continue;
    writer = {true, (tag & kAsync) != 0, other, offset + i};
    if (other != block) break;
  }
  return writer;
}

void WriteRecord::note(uint64_t offset, uint32_t bytes, uint32_t block, bool async) {
  granules_[offset >> kGranuleBits].store(1, std::memory_order_relaxed);
  for (uint32_t i = 0; i < bytes; ++i)
    __atomic_store_n(tags_ + offset + i, (block + 1) | (async ? kAsync : 0), __ATOMIC_RELAXED);
}

}  // namespace rtjit::emu
