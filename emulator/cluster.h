// A cluster of thread blocks: their shared memory, the order of their accesses, and barrier.cluster. Every
// block belongs to one; without a cluster in the launch it has one block.
#pragma once

#include <memory>
#include <vector>

#include "emulator/block.h"

namespace rtjit::emu {

class Cluster {
 public:
  // Prepares for one cluster of the launch; storage is kept between clusters.
  void start(Launch* launch, uint32_t linear_index);
  // Runs every warp of every block for a while. False when nothing is left to run.
  bool run_slice();

  uint32_t size() const { return static_cast<uint32_t>(blocks_.size()); }
  Block& block(uint32_t rank) { return *blocks_[rank]; }

  // barrier.cluster; the lanes in the warp's exec mask.
  void arrive(Warp& warp, const Op& op, bool release);
  void wait(Warp& warp, const Op& op, bool acquire);

  // --- for its blocks ---
  void warp_exited();
  // Whether others are done with the memory of a block that has ended; reports what is not ordered before
  // that.
  void check_exit(Block& block, Warp& last);
  RaceDetector races;
  uint64_t failed_waits = 0;
  bool met_others = false;  // whether one of its blocks may have waited for a block outside
  uint8_t* shared() { return shared_.data(); }
  uint8_t* shadow() { return shadow_.data(); }
  uint32_t shared_bytes() const { return static_cast<uint32_t>(shared_.size()); }
  // The shared address of a place in the memory of all blocks, which lie one behind the other.
  uint32_t address_of(uint32_t place) const;

 private:
  void release_if_complete();
  void report_deadlock();
  Launch* launch_ = nullptr;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<uint8_t> shared_, shadow_;
  uint32_t stride_ = 0;  // from one block's shared memory to the next
  // barrier.cluster
  uint32_t phase_ = 0;  // completed so far
  Clock clock_, completed_clock_;
  Clock executed_;  // as clock_, relaxed arrivals included: what must have been executed, not what is visible
};

}  // namespace rtjit::emu
