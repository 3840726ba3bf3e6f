#include "emulator/memory.h"

#include <sys/mman.h>

#include "base/text.h"

namespace rtjit::emu {
namespace {
constexpr uint64_t kAddressSpace = uint64_t(1) << 37;  // reserved, not committed
}

Result<std::unique_ptr<GlobalMemory>> GlobalMemory::create(uint64_t limit_bytes) {
  std::unique_ptr<GlobalMemory> memory(new GlobalMemory());
  memory->limit_ = limit_bytes;
  // Smaller reservations are tried where the system limits address space.
  for (uint64_t size = kAddressSpace; size >= (uint64_t(1) << 31); size >>= 1) {
    auto reserve = [&]() -> uint8_t* {
      void* p =
          mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      return p == MAP_FAILED ? nullptr : static_cast<uint8_t*>(p);
    };
    memory->data_ = reserve();
    memory->shadow_ = reserve();
    if (memory->data_ && memory->shadow_) {
      memory->capacity_ = size;
      return memory;
    }
    if (memory->data_) munmap(memory->data_, size);
    if (memory->shadow_) munmap(memory->shadow_, size);
    memory->data_ = memory->shadow_ = nullptr;
  }
  return make_error(ErrorCode::out_of_memory,
                    "the emulator could not reserve address space for device memory");
}

GlobalMemory::~GlobalMemory() {
  if (data_) munmap(data_, capacity_);
  if (shadow_) munmap(shadow_, capacity_);
}

Result<uint64_t> GlobalMemory::allocate(uint64_t bytes, std::string name, bool read_only) {
  std::lock_guard lock(mutex_);
  if (live_bytes_ + bytes > limit_) {
    return make_error(
        ErrorCode::out_of_memory, "allocating {} B: the emulated device has {} B, {} B are in use",
        with_thousands(static_cast<int64_t>(bytes)), with_thousands(static_cast<int64_t>(limit_)),
        with_thousands(static_cast<int64_t>(live_bytes_)));
  }
  // One granule more than needed stays unowned behind each allocation, and the rest of its last granule is
  // its redzone.
  uint64_t granules = (bytes >> kGranuleBits) + 2;
  uint64_t first = next_ >> kGranuleBits;
  if (next_ + (granules << kGranuleBits) > capacity_) {
    return make_error(ErrorCode::out_of_memory,
                      "the emulator's address space of {} B is used up (freed addresses are not reused)",
                      with_thousands(static_cast<int64_t>(capacity_)));
  }
  auto allocation = std::make_unique<Allocation>();
  allocation->start = kGlobalBase + next_;
  allocation->bytes = bytes;
  allocation->live = true;
  allocation->read_only = read_only;
  allocation->name = std::move(name);
  next_ += granules << kGranuleBits;
  allocations_.push_back(std::move(allocation));
  owner_.resize(first + granules, 0);
  for (uint64_t g = 0; g < granules; ++g) owner_[first + g] = static_cast<uint32_t>(allocations_.size());
  live_bytes_ += bytes;
  return allocations_.back()->start;
}

GlobalMemory::Allocation* GlobalMemory::live_at(uint64_t address) {
  uint64_t granule = (address - kGlobalBase) >> kGranuleBits;
  if (address < kGlobalBase || granule >= owner_.size() || owner_[granule] == 0) return nullptr;
  Allocation* allocation = allocations_[owner_[granule] - 1].get();
  return allocation->live && allocation->start == address ? allocation : nullptr;
}

bool GlobalMemory::protect(uint64_t address) {
  std::lock_guard lock(mutex_);
  Allocation* allocation = live_at(address);
  if (allocation) allocation->read_only = true;
  return allocation != nullptr;
}

bool GlobalMemory::free(uint64_t address) {
  std::lock_guard lock(mutex_);
  Allocation* found = live_at(address);
  if (!found) return false;
  Allocation& allocation = *found;
  allocation.live = false;
  live_bytes_ -= allocation.bytes;
  // Gives the pages back to the system; the addresses stay dead.
  uint64_t length = ((allocation.bytes >> kGranuleBits) + 1) << kGranuleBits;
  madvise(data(address), length, MADV_DONTNEED);
  madvise(shadow(address), length, MADV_DONTNEED);
  return true;
}

void GlobalMemory::end_record() {
  std::lock_guard lock(mutex_);
  record_.end(next_);
}

const GlobalMemory::Allocation* GlobalMemory::find(uint64_t address) const {
  uint64_t granule = (address - kGlobalBase) >> kGranuleBits;
  if (address < kGlobalBase || granule >= owner_.size() || owner_[granule] == 0) return nullptr;
  return allocations_[owner_[granule] - 1].get();
}

bool GlobalMemory::check(uint64_t address, uint64_t bytes, FaultKind* kind, std::string* why) const {
  const Allocation* allocation = find(address);
  if (!allocation) {
    *kind = FaultKind::out_of_bounds;
    *why = fmt::format("{} B at {:#x}: no allocation is there", bytes, address);
    return false;
  }
  uint64_t offset = address - allocation->start;
  std::string label = allocation->name.empty() ? std::string() : fmt::format(" ({})", allocation->name);
  if (!allocation->live) {
    *kind = FaultKind::use_after_free;
    *why = fmt::format("{} B at offset {} of a freed allocation of {} B{}", bytes, offset,
                       with_thousands(static_cast<int64_t>(allocation->bytes)), label);
    return false;
  }
  if (offset + bytes > allocation->bytes) {
    *kind = FaultKind::out_of_bounds;
    *why = fmt::format("{} B at offset {} of an allocation of {} B{}", bytes, offset,
                       with_thousands(static_cast<int64_t>(allocation->bytes)), label);
    return false;
  }
  return true;
}

}  // namespace rtjit::emu
