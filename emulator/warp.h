// 32 lanes in lock-step: registers, the stack of divergent paths and the way to memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "emulator/memory.h"
#include "emulator/numeric.h"
#include "emulator/program.h"
#include "emulator/report.h"

namespace rtjit::emu {

class Block;

enum class Access : uint8_t { read, write, atomic };

// A path of lanes that ends where it meets the path it split from.
struct DivergentPath {
  uint32_t pc = 0, reconverge = kNone, mask = 0;
};

enum class WarpState : uint8_t { ready, at_barrier, exited };

class Warp {
 public:
  void start(Block* block, const Program* program, uint32_t index);

  // Runs until the warp blocks, exits, faults or has made `steps` steps.
  void run(uint64_t steps);

  // --- for handlers ---
  uint32_t exec = 0;    // lanes that take part in this instruction
  uint32_t active = 0;  // lanes of the current path
  uint32_t pc = 0, next_pc = 0;
  uint32_t valid = 0;  // lanes that exist
  uint32_t exited = 0;
  uint32_t carry = 0;  // the carry flag of each lane (add.cc)
  WarpState state = WarpState::ready;
  bool stop = false;  // leave run() after this instruction
  uint64_t steps_done = 0, lanes_done = 0;

  template <class T>
  T* reg(uint32_t slot) {
    return reinterpret_cast<T*>(registers_ + slot);
  }
  uint32_t& pred(uint32_t slot) { return *reinterpret_cast<uint32_t*>(registers_ + slot); }
  void write_pred(uint32_t slot, uint32_t bits) {
    if (slot == kNone) return;
    uint32_t& p = pred(slot);
    p = (p & ~exec) | (bits & exec);
  }
  const Program& program() const { return *program_; }
  Block& block() { return *block_; }
  uint32_t index() const { return index_; }
  uint32_t who() const { return who_; }  // among the race detector's participants
  uint32_t thread_index(int lane) const { return index_ * 32 + static_cast<uint32_t>(lane); }

  // Memory of `bytes` at an address; null after a fault. Alignment to `align` is checked. `shadow` receives
  // its shadow, which the caller checks (reads) or sets (writes).
  template <ptx::Space S>
  uint8_t* locate(const Op& op, uint64_t address, int lane, uint32_t bytes, uint32_t align, Access access,
                  uint8_t** shadow);
  uint8_t* locate_generic(const Op& op, uint64_t address, int lane, uint32_t bytes, uint32_t align,
                          Access access, uint8_t** shadow);
  // As locate_generic for an address within the shared window; `own`: another block's memory is an error.
  uint8_t* locate_shared(const Op& op, uint32_t address, int lane, uint32_t bytes, uint32_t align, bool own,
                         uint8_t** shadow);
  // The block whose shared memory an address of the shared window names; null after a fault.
  Block* shared_owner(const Op& op, uint32_t address, int lane, bool own);
  // True when all bytes have been written; otherwise reports.
  bool check_written(const Op& op, const uint8_t* shadow, uint32_t bytes, int lane, uint64_t address);

  void branch(uint32_t taken, const Op& op);
  void branch_many(const uint32_t* targets, const Op& op);  // per lane
  void exit_lanes(uint32_t mask);
  void fault(const Op& op, FaultKind kind, std::string detail, int lane = -1,
             const uint64_t* address = nullptr);

  // cp.async of this warp's lanes that have not landed.
  struct AsyncCopy {
    uint64_t source;
    uint32_t destination, bytes, source_bytes, group;
    int32_t line;
    uint8_t lane;
  };
  std::vector<AsyncCopy> async_copies;
  uint32_t async_groups[32] = {};  // groups committed by each lane

  // wgmma products that were issued and not yet waited for, with the shared memory they read: the addresses
  // of pieces of 16 bytes, and what was there.
  struct WarpgroupProduct {
    uint64_t group;
    const Op* op;
    std::vector<uint32_t> pieces;
    std::vector<uint8_t> bytes;
  };
  std::vector<WarpgroupProduct> warpgroup_products;
  uint64_t warpgroup_groups = 0;  // committed

  // Bulk copies from shared memory by group, per lane.
  uint32_t bulk_groups[32] = {};

  static constexpr uint32_t kClusterBarrier = 16;
  uint32_t barrier_id = 0;  // where it waits
  const Op* waiting_op = nullptr;
  const Op* exit_op = nullptr;  // the latest exit of some of its lanes

  // barrier.cluster: lanes that arrived and have not waited yet, with the phase each arrived in, and those
  // that arrived in the current phase. For the warp while it waits: its lanes, and whether it acquires.
  uint32_t cluster_arrived = 0, cluster_current = 0, waiting_lanes = 0;
  uint32_t cluster_phase[32] = {};
  bool waits_acquire = false;

 private:
  void reconverge();
  uint8_t* fault_global(const Op& op, uint64_t address, int lane, uint32_t bytes, Access access);
  Block* block_ = nullptr;
  const Program* program_ = nullptr;
  uint32_t index_ = 0, who_ = 0;
  std::vector<DivergentPath> stack_;
  std::vector<uint8_t> storage_;
  uint8_t* registers_ = nullptr;
  // The allocation the last access hit.
  uint64_t cached_start_ = 0, cached_bytes_ = 0;
  bool cached_read_only_ = false;
  friend class Block;
};

}  // namespace rtjit::emu
