// One thread block: its shared and local memory, barriers, mbarriers and pending asynchronous copies.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "compiler/target.h"
#include "emulator/memory.h"
#include "emulator/program.h"
#include "emulator/race_detector.h"
#include "emulator/report.h"
#include "emulator/tensor_memory.h"
#include "emulator/warp.h"

namespace rtjit::emu {

struct Strictness {
  bool uninitialised_global = true;  // reads of global memory that nobody wrote
  bool races = true;                 // unordered accesses of different warps to shared memory
  bool silicon_sums = false;         // mma.sync adds as an H200 does, bit for bit; wgmma always does
  uint64_t steps_per_block = uint64_t(4) << 30;
  uint64_t failed_waits_per_block = 100000;  // mbarrier waits in a row without any progress: a deadlock
};

// What all blocks of a launch share.
struct Launch {
  const Program* program = nullptr;
  GlobalMemory* memory = nullptr;
  std::array<uint32_t, 3> grid{1, 1, 1}, block{1, 1, 1}, cluster{1, 1, 1};
  uint32_t dynamic_smem = 0;
  int registers = 0;  // per thread, as the assembler gave them out; 0: not known, for PTX without a cubin
  uint32_t sm_count = 1;
  std::vector<uint8_t> parameters;
  Strictness strictness;
  WriteRecord* record = nullptr;          // null: races between blocks are not looked for
  std::atomic<bool> async_fenced{false};  // some thread made a fence.proxy.async
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::optional<Report> report;  // the first fault
  std::atomic<uint64_t> steps{0}, lane_instructions{0};

  uint32_t threads() const { return block[0] * block[1] * block[2]; }
  void fault(Report report_to_keep);
};

struct Mbarrier {
  uint32_t expected = 0, pending = 0;
  int64_t transactions = 0;
  uint64_t phase = 0;
  RaceDetector::Clock clock{};  // what those who arrived had done
};

// An asynchronous bulk or tensor copy: `land` does it, when a wait needs it.
struct PendingBulk {
  uint32_t mbarrier = kNone;       // shared address of the barrier it completes on, or kNone
  uint32_t bytes = 0;              // for complete_tx
  bool arrival = false;            // counts as an arrival instead
  uint32_t thread = 0, group = 0;  // for bulk groups
  const Op* issuer = nullptr;
  uint32_t time = 0;  // the issuing warp's clock, of copies into shared memory
  std::function<void()> land;
};

class Block {
 public:
  // Prepares for one block of the launch; storage is kept between blocks.
  void start(Launch* launch, uint32_t linear_index);
  // Runs every warp for a while. False when nothing is left to run.
  bool run_slice();
  bool finished() const { return live_warps_ == 0 || launch_->stop; }

  Launch& launch() { return *launch_; }
  const std::array<uint32_t, 3>& index() const { return index_; }
  uint32_t linear_index() const { return linear_index_; }
  uint32_t shared_bytes() const { return static_cast<uint32_t>(shared_.size()); }
  uint8_t* shared(uint32_t offset) { return shared_.data() + offset; }
  uint8_t* shared_shadow(uint32_t offset) { return shadow_.data() + offset; }
  uint8_t* local(uint32_t thread, uint64_t offset) { return local_.data() + thread * local_stride_ + offset; }
  uint8_t* local_shadow(uint32_t thread, uint64_t offset) {
    return local_shadow_.data() + thread * local_stride_ + offset;
  }
  uint64_t local_bytes() const { return local_stride_; }

  // Barriers 0..15. `threads` 0: every thread of the block that has not exited. `wait` false: arrive only.
  void barrier(Warp& warp, const Op& op, uint32_t id, uint32_t threads, bool wait);
  // bar.red: predicates of all threads that arrived are combined; read by the warps when released.
  void barrier_reduce(Warp& warp, const Op& op, uint32_t id, uint32_t threads, uint32_t bits);
  void warp_exited();

  RaceDetector races;
  // The offset of shared memory whose shadow this is, or kNone for other memory.
  uint32_t shared_offset_of(const uint8_t* shadow) const {
    auto offset = static_cast<uint64_t>(shadow - shadow_.data());
    return reinterpret_cast<uintptr_t>(shadow) >= reinterpret_cast<uintptr_t>(shadow_.data()) &&
                   offset < shadow_.size()
               ? static_cast<uint32_t>(offset)
               : kNone;
  }

  std::map<uint32_t, Mbarrier> mbarriers;  // by shared address
  Mbarrier* find_mbarrier(Warp& warp, const Op& op, uint32_t address, int lane);
  void complete_phase_if_done(Mbarrier& barrier);
  // Lands the copies that complete on this mbarrier, until its phase ends.
  void land_for(uint32_t address, Mbarrier& barrier);
  std::vector<PendingBulk> pending;
  // Lands the bulk groups of a thread except its newest `keep`.
  void land_groups(uint32_t thread, uint32_t committed, uint32_t keep);
  // Made when the block first uses it.
  TensorMemory& tensor_memory() {
    if (!tensor_memory_) tensor_memory_ = std::make_unique<TensorMemory>(this);
    return *tensor_memory_;
  }
  // Whether the block did anything (an atomic, a strong access, a fence) by which it may have waited for
  // another.
  bool met_others = false;
  void note_progress() { failed_waits = 0; }
  uint64_t failed_waits = 0;

  uint64_t value_of(Special special, uint32_t thread) const;

 private:
  struct NamedBarrier {
    uint32_t expected = 0;  // threads, 0: all
    uint32_t arrived = 0;
    uint32_t waiting = 0;  // warps
    bool reducing = false;
    uint32_t popc = 0, all = 1, any = 0;
    RaceDetector::Clock clock{};
  };
  void release_if_complete(uint32_t id);
  void report_deadlock();
  std::string describe_mbarriers() const;
  void finish_copies();
  Launch* launch_ = nullptr;
  uint32_t linear_index_ = 0;
  std::array<uint32_t, 3> index_{};
  std::vector<uint8_t> shared_, shadow_, local_, local_shadow_;
  uint64_t local_stride_ = 0;
  std::vector<Warp> warps_;
  uint32_t live_warps_ = 0;
  uint64_t steps_ = 0;
  std::array<NamedBarrier, 16> barriers_;
  std::unique_ptr<TensorMemory> tensor_memory_;
};

// --- the fast way to memory, inlined into the handlers of loads and stores ---
template <ptx::Space S>
inline uint8_t* Warp::locate(const Op& op, uint64_t address, int lane, uint32_t bytes, uint32_t align,
                             Access access, uint8_t** shadow) {
  if constexpr (S == ptx::Space::shared) {
    if (address + bytes <= block_->shared_bytes() && (address & (align - 1)) == 0) [[likely]] {
      *shadow = block_->shared_shadow(static_cast<uint32_t>(address));
      return block_->shared(static_cast<uint32_t>(address));
    }
    return locate_generic(op, kSharedWindow + (address & 0xffffffff), lane, bytes, align, access, shadow);
  } else if constexpr (S == ptx::Space::global) {
    if (address - cached_start_ + bytes <= cached_bytes_ && address >= cached_start_ &&
        (address & (align - 1)) == 0 && !(cached_read_only_ && access != Access::read)) [[likely]] {
      GlobalMemory& memory = *block_->launch().memory;
      *shadow = memory.shadow(address);
      return memory.data(address);
    }
    return locate_generic(op, address, lane, bytes, align, access, shadow);
  } else if constexpr (S == ptx::Space::local) {
    return locate_generic(op, kLocalWindow + (address & 0xffffffff), lane, bytes, align, access, shadow);
  } else if constexpr (S == ptx::Space::param) {
    return locate_generic(op, kParamWindow + (address & 0xffffffff), lane, bytes, align, access, shadow);
  } else {
    return locate_generic(op, address, lane, bytes, align, access, shadow);
  }
}

inline bool Warp::check_written(const Op& op, const uint8_t* shadow, uint32_t bytes, int lane,
                                uint64_t address) {
  for (uint32_t i = 0; i < bytes; ++i) {
    if (shadow[i] == kWritten) [[likely]]
      continue;
    uint64_t at = address + i;
    FaultKind kind = shadow[i] == kPending    ? FaultKind::async_early
                     : shadow[i] == kMbarrier ? FaultKind::mbarrier
                                              : FaultKind::uninitialised;
    const char* what = shadow[i] == kPending ? "an asynchronous copy into this memory has not been waited for"
                       : shadow[i] == kMbarrier ? "an mbarrier object is read as ordinary data"
                                                : "nobody has written this byte before it is read";
    fault(op, kind, fmt::format("reading {} B: byte {}: {}", bytes, i, what), lane, &at);
    return false;
  }
  return true;
}

}  // namespace rtjit::emu
