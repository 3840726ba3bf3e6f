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
  bool tensor_fences = true;         // tcgen05.fence around what orders uses of tensor memory; needs `races`
  bool non_portable_clusters = false;  // clusters of up to 16 blocks, as after the driver's opt-in
  bool silicon_sums = false;           // mma.sync adds as an H200 does, bit for bit; wgmma always does
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
  Clock clock;  // what those who arrived had done
};

class Block;
class Cluster;

// An asynchronous bulk or tensor copy: `land` does it, when a wait needs it. It is kept by the block whose
// mbarrier it completes on, or whose thread waits for its group.
struct PendingBulk {
  uint32_t mbarrier = kNone;       // shared address of the barrier it completes on, or kNone
  uint32_t bytes = 0;              // for complete_tx
  bool arrival = false;            // counts as an arrival instead
  uint32_t thread = 0, group = 0;  // for bulk groups
  uint32_t reduced = kNone;        // red.async: where its element lies in the target's shared memory
  const Op* issuer = nullptr;
  Block* issuing_block = nullptr;  // null: the one that keeps it
  Block *source = nullptr,
        *target = nullptr;     // whose shared memory it reads and writes, where it can be another's
  uint32_t who = 0, time = 0;  // of copies into shared memory: the issuing warp, and its clock
  std::function<void()> land;
};

class Block {
 public:
  explicit Block(Cluster* cluster);
  // Prepares for one block of the launch; its shared memory begins at `shared_start` of the cluster's.
  void start(Launch* launch, const std::array<uint32_t, 3>& index, uint32_t rank, uint32_t shared_start,
             uint32_t shared_bytes);
  // Runs every warp for a while. False when none could run.
  bool run_slice();
  bool finished() const { return live_warps_ == 0 || launch_->stop; }

  Launch& launch() { return *launch_; }
  const std::array<uint32_t, 3>& index() const { return index_; }
  uint32_t linear_index() const {
    return index_[0] + launch_->grid[0] * (index_[1] + launch_->grid[1] * index_[2]);
  }
  Cluster& cluster() { return *cluster_; }
  uint32_t rank() const { return rank_; }
  std::vector<Warp>& warps() { return warps_; }
  bool exited() const { return live_warps_ == 0; }

  uint32_t shared_bytes() const { return shared_bytes_; }
  uint8_t* shared(uint32_t offset) { return shared_ + offset; }
  uint8_t* shared_shadow(uint32_t offset) { return shadow_ + offset; }
  // Where it begins among the shared addresses of the cluster, and in the cluster's storage (which is what
  // the race detector counts).
  uint32_t window_base() const { return window_base_; }
  uint32_t shared_start() const { return shared_start_; }
  uint8_t* local(uint32_t thread, uint64_t offset) { return local_.data() + thread * local_stride_ + offset; }
  uint8_t* local_shadow(uint32_t thread, uint64_t offset) {
    return local_shadow_.data() + thread * local_stride_ + offset;
  }
  uint64_t local_bytes() const { return local_stride_; }

  // Barriers 0..15. `threads` 0: every thread of the block that has not exited. `wait` false: arrive only.
  void barrier(Warp& warp, const Op& op, uint32_t id, uint32_t threads, bool wait);
  // bar.red: predicates of all threads that arrived are combined; read by the warps when released.
  void barrier_reduce(Warp& warp, const Op& op, uint32_t id, uint32_t threads, uint32_t bits);
  void warp_exited(Warp& warp);

  RaceDetector& races;  // of the cluster
  // The place in the cluster's shared memory whose shadow this is, or kNone for other memory.
  uint32_t shared_place_of(const uint8_t* shadow) const {
    uint64_t offset = reinterpret_cast<uintptr_t>(shadow) - reinterpret_cast<uintptr_t>(cluster_shadow_);
    return offset < cluster_shared_bytes_ ? static_cast<uint32_t>(offset) : kNone;
  }
  uint32_t shared_address_of(uint32_t place) const;  // of such a place
  // What all its warps knew when they exited, and what must have been executed before: for the cluster's
  // checks.
  Clock lifetime;
  // The latest use of this block's shared memory by each warp of another block.
  struct RemoteUse {
    uint32_t who = 0, time = 0;
    int32_t line = 0;
  };
  std::vector<RemoteUse> remote_uses;
  void note_remote_use(const Warp& warp, const Op& op);

  std::map<uint32_t, Mbarrier> mbarriers;  // by offset in shared memory
  Mbarrier* find_mbarrier(Warp& warp, const Op& op, uint32_t offset, int lane);
  void complete_phase_if_done(Mbarrier& barrier);
  // Lands the copies that complete on this mbarrier, until its phase ends.
  void land_for(uint32_t offset, Mbarrier& barrier);
  std::vector<PendingBulk> pending;
  // Lands the bulk groups of a thread except its newest `keep`.
  void land_groups(uint32_t thread, uint32_t committed, uint32_t keep);
  // Made when the block first uses it.
  TensorMemory& tensor_memory() {
    if (!tensor_memory_) tensor_memory_ = std::make_unique<TensorMemory>(this);
    return *tensor_memory_;
  }
  // Whether the block did anything by which it may have waited for another: one of its cluster
  // (barrier.cluster, an mbarrier), or any (an atomic, a strong access, a fence), which counts for its whole
  // cluster.
  bool met_cluster = false;
  bool& met_others;  // of the cluster
  bool may_have_met(uint32_t linear_index) const;
  void note_progress() { failed_waits = 0; }
  uint64_t& failed_waits;  // of the cluster

  uint64_t value_of(Special special, uint32_t thread) const;

 private:
  struct NamedBarrier {
    uint32_t expected = 0;  // threads, 0: all
    uint32_t arrived = 0;
    uint32_t waiting = 0;  // warps
    bool reducing = false;
    uint32_t popc = 0, all = 1, any = 0;
    Clock clock;
  };
  void release_if_complete(uint32_t id);
  std::string describe_mbarriers() const;
  void finish_copies();
  Launch* launch_ = nullptr;
  Cluster* cluster_;
  uint32_t rank_ = 0, window_base_ = 0, shared_start_ = 0, shared_bytes_ = 0, cluster_shared_bytes_ = 0;
  std::array<uint32_t, 3> index_{};
  uint8_t *shared_ = nullptr, *shadow_ = nullptr, *cluster_shadow_ = nullptr;
  std::vector<uint8_t> local_, local_shadow_;
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
    // An aligned access just below the block's memory ends at offset -1, which is not below its size either.
    uint64_t offset = address - block_->window_base();
    if (offset + (bytes - 1) < block_->shared_bytes() && (address & (align - 1)) == 0) [[likely]] {
      *shadow = block_->shared_shadow(static_cast<uint32_t>(offset));
      return block_->shared(static_cast<uint32_t>(offset));
    }
    return locate_shared(op, static_cast<uint32_t>(address), lane, bytes, align, true, shadow);
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
    bool pending = shadow[i] == kPending || shadow[i] == kReducing;
    FaultKind kind = pending                  ? FaultKind::async_early
                     : shadow[i] == kMbarrier ? FaultKind::mbarrier
                                              : FaultKind::uninitialised;
    const char* what = pending ? "an asynchronous copy into this memory has not been waited for"
                       : shadow[i] == kMbarrier ? "an mbarrier object is read as ordinary data"
                                                : "nobody has written this byte before it is read";
    fault(op, kind, fmt::format("reading {} B: byte {}: {}", bytes, i, what), lane, &at);
    return false;
  }
  return true;
}

}  // namespace rtjit::emu
