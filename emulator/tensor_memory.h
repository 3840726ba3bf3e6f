// A block's tensor memory: 128 lanes of 512 columns of 32 bits, who owns its columns, and the tcgen05
// operations that have been issued and not yet waited for.
//
// Values are moved when an instruction is issued. That its results are not there yet is kept as a list of
// pending regions: whoever touches one before the program waited is reported. Shared operands are kept as
// they were at issue, and compared when the operation completes.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace rtjit::emu {

class Block;
class Warp;
struct Op;

// Lanes (one bit each) and columns of a rectangle.
struct TensorRegion {
  std::array<uint64_t, 2> lanes{};
  uint32_t column = 0, columns = 0;
  void add_lanes(uint32_t first, uint32_t count) {
    for (uint32_t l = first; l < first + count; ++l) lanes[l / 64] |= uint64_t(1) << l % 64;
  }
  bool has_lane(uint32_t lane) const { return lanes[lane / 64] >> lane % 64 & 1; }
  bool meets(const TensorRegion& other) const {
    return ((lanes[0] & other.lanes[0]) | (lanes[1] & other.lanes[1])) != 0 &&
           column < other.column + other.columns && other.column < column + columns;
  }
};

// What an instruction does with a region.
enum class TensorAccess : uint8_t {
  load,       // tcgen05.ld
  store,      // tcgen05.st
  product,    // the accumulator of tcgen05.mma
  factor,     // what tcgen05.mma reads: A, scales
  copy,       // tcgen05.cp
  copy_rows,  // tcgen05.cp.4x256b
  shift,      // tcgen05.shift
};

// Pieces of 16 bytes of shared memory, as an instruction saw them.
struct SharedSnapshot {
  Block* block = nullptr;
  std::vector<uint32_t> addresses;
  std::vector<uint8_t> bytes;
};

class TensorMemory {
 public:
  static constexpr uint32_t kLanes = 128, kColumns = 512;

  explicit TensorMemory(Block* block) : block_(block) {}
  // Forgets what the last block on this storage did.
  void start();

  uint32_t* row(uint32_t lane) { return cells_.data() + lane * kColumns; }
  uint8_t* written(uint32_t lane) { return written_.data() + lane * kColumns; }

  // --- allocation ---
  // The first column, or nothing when no such room is free now.
  std::optional<uint32_t> allocate(Warp& warp, const Op& op, uint32_t columns);
  // False after a fault.
  bool deallocate(Warp& warp, const Op& op, uint32_t address, uint32_t columns);
  bool relinquished = false;
  // An allocation with .cta_group::2 that a warp of this block has begun, and waits for the other block with.
  struct PairAllocation {
    Warp* warp = nullptr;  // null: none is under way
    uint32_t column = 0;
  };
  PairAllocation pair_allocation;
  std::vector<uint32_t> pair_sizes;  // of all such allocations, in columns
  uint32_t last_columns = kColumns;  // of the latest allocation; the next may not be larger
  // Every tcgen05 instruction of a kernel must have the same .cta_group. False after a fault.
  bool check_group(Warp& warp, const Op& op, uint32_t group);
  // Reports what a block that ended left allocated.
  void check_end();

  // --- accesses ---
  // Whether the region lies in allocated columns, nothing pending forbids the access, and nothing unordered
  // touched it. False after a fault. `shape` (products): what must be equal for two products to be ordered.
  bool check(Warp& warp, const Op& op, int lane, const TensorRegion& region, TensorAccess access,
             uint64_t shape = 0);
  // Whether all cells have been written. False after a fault.
  bool check_written(Warp& warp, const Op& op, int lane, const TensorRegion& region);
  void mark_written(const TensorRegion& region);

  // --- what is under way ---
  // Keeps the region until wait::ld, wait::st or a commit of the same thread completes.
  void add_pending(Warp& warp, const Op& op, int lane, const TensorRegion& region, TensorAccess access,
                   uint64_t shape = 0, SharedSnapshot snapshot = {});
  void finish_warp(uint32_t warp_index, TensorAccess access);  // wait::ld, wait::st
  // Names a thread of any block of the cluster.
  static uint32_t issuer(const Warp& warp, int lane);
  // A commit of the thread: returns what `complete` needs.
  uint64_t commit(uint32_t issuer) { return committed_[issuer] = sequence_; }
  // Completes what a thread issued up to a sequence number: shared operands must be as they were.
  void complete(uint32_t issuer, uint64_t sequence);

 private:
  struct Pending {
    TensorAccess access{};
    uint32_t issuer = 0;
    uint64_t sequence = 0, shape = 0;
    TensorRegion region;
    const Op* op = nullptr;
    Warp* warp = nullptr;
    std::vector<SharedSnapshot> snapshots;
  };
  struct Allocation {
    uint32_t column = 0, columns = 0;
    const Op* op = nullptr;
    Warp* warp = nullptr;
  };
  bool check_race(Warp& warp, const Op& op, int lane, const TensorRegion& region, bool write,
                  bool asynchronous);
  bool check_fence(Warp& warp, const Op& op, int lane, const TensorRegion& region, bool write,
                   bool asynchronous);
  std::string describe(const Pending& pending) const;

  Block* block_;
  std::vector<uint32_t> cells_;
  std::vector<uint8_t> written_;
  std::vector<Allocation> allocations_;
  std::vector<Pending> pending_;
  uint64_t sequence_ = 0;
  std::map<uint32_t, uint64_t> committed_;  // issuer -> sequence number at its latest commit
  uint32_t group_ = 0;
  uint32_t race_base_ = 0;  // where its words begin in the race detector; 0: not yet there
};

}  // namespace rtjit::emu
