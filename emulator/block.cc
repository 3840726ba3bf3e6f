#include "emulator/block.h"

#include <bit>
#include <cstring>

#include "emulator/cluster.h"
#include "emulator/execute.h"

namespace rtjit::emu {

void Launch::fault(Report report_to_keep) {
  std::lock_guard lock(mutex);
  if (!report) report = std::move(report_to_keep);
  stop = true;
}

Block::Block(Cluster* cluster)
    : races(cluster->races),
      met_others(cluster->met_others),
      failed_waits(cluster->failed_waits),
      cluster_(cluster) {}

void Block::start(Launch* launch, const std::array<uint32_t, 3>& index, uint32_t rank, uint32_t shared_start,
                  uint32_t shared_bytes) {
  launch_ = launch;
  index_ = index;
  rank_ = rank;
  window_base_ = rank << kRankShift;
  shared_start_ = shared_start;
  shared_bytes_ = shared_bytes;
  cluster_shared_bytes_ = cluster_->shared_bytes();
  cluster_shadow_ = cluster_->shadow();
  shared_ = cluster_->shared() + shared_start;
  shadow_ = cluster_shadow_ + shared_start;
  const Program& program = *launch->program;
  local_stride_ = program.local_bytes;
  local_.assign(local_stride_ * launch->threads(), 0xcd);
  local_shadow_.assign(local_.size(), kUnwritten);
  lifetime.clear();
  remote_uses.clear();
  mbarriers.clear();
  pending.clear();
  if (tensor_memory_) tensor_memory_->start();
  met_cluster = false;
  steps_ = 0;
  for (NamedBarrier& barrier : barriers_) barrier = NamedBarrier();
  live_warps_ = (launch->threads() + 31) / 32;
  warps_.resize(live_warps_);
  for (uint32_t w = 0; w < live_warps_; ++w) warps_[w].start(this, &program, w);
}

bool Block::run_slice() {
  constexpr uint64_t kQuantum = 1000;
  bool ran = false;
  for (Warp& warp : warps_) {
    if (warp.state != WarpState::ready || launch_->stop) continue;
    uint64_t steps = warp.steps_done, lanes = warp.lanes_done;
    warp.run(kQuantum);
    ran = true;
    steps_ += warp.steps_done - steps;
    launch_->steps.fetch_add(warp.steps_done - steps, std::memory_order_relaxed);
    launch_->lane_instructions.fetch_add(warp.lanes_done - lanes, std::memory_order_relaxed);
    if (steps_ > launch_->strictness.steps_per_block) {
      warp.fault(launch_->program->ops[warp.pc], FaultKind::step_budget,
                 fmt::format("the block made {} steps without finishing", steps_));
    } else if (failed_waits > launch_->strictness.failed_waits_per_block * cluster_->size()) {
      warp.fault(launch_->program->ops[warp.pc], FaultKind::deadlock,
                 fmt::format("{} waits on mbarriers in a row found no progress{}", failed_waits,
                             describe_mbarriers()));
    }
  }
  return ran;
}

// The phases that something is still missing for, in any block of the cluster: a wrong count of bytes shows
// here.
std::string Block::describe_mbarriers() const {
  std::string text;
  for (uint32_t rank = 0; rank < cluster_->size(); ++rank) {
    Block& block = cluster_->block(rank);
    for (const auto& [offset, barrier] : block.mbarriers) {
      if (barrier.pending == barrier.expected && barrier.transactions == 0) continue;
      if (text.size() > 400) break;
      std::string bytes;
      if (barrier.transactions > 0)
        bytes = fmt::format(" and {} B that no copy brings", barrier.transactions);
      if (barrier.transactions < 0)
        bytes = fmt::format(" and has received {} B more than expected", -barrier.transactions);
      text += fmt::format("; the mbarrier at {:#x} waits for {} of {} arrivals{}",
                          block.window_base() + offset, barrier.pending, barrier.expected, bytes);
    }
  }
  return text;
}

bool Block::may_have_met(uint32_t linear_index) const {
  if (met_others) return true;
  for (uint32_t rank = 0; met_cluster && rank < cluster_->size(); ++rank) {
    if (cluster_->block(rank).linear_index() == linear_index) return true;
  }
  return false;
}

void Block::warp_exited(Warp& warp) {
  --live_warps_;
  lifetime.merge(races.clock(warp.who()));
  if (live_warps_ == 0) {
    finish_copies();
    if (tensor_memory_) tensor_memory_->check_end();
    cluster_->check_exit(*this, warp);
  }
  for (uint32_t id = 0; id < 16; ++id) release_if_complete(id);
  cluster_->warp_exited();
}

uint32_t Block::shared_address_of(uint32_t place) const { return cluster_->address_of(place); }

void Block::note_remote_use(const Warp& warp, const Op& op) {
  for (RemoteUse& use : remote_uses) {
    if (use.who == warp.who()) return void(use = {warp.who(), races.clock_of(warp.who()), op.line});
  }
  remote_uses.push_back({warp.who(), races.clock_of(warp.who()), op.line});
}

// Copies out of shared memory end with the block; a copy into it that nobody waited for would write into the
// shared memory of the next block.
void Block::finish_copies() {
  std::vector<PendingBulk> left = std::move(pending);
  pending.clear();
  for (PendingBulk& copy : left) {
    if (copy.mbarrier == kNone) {
      copy.land();
    } else if (!copy.arrival && copy.issuer) {
      Warp& warp = (copy.issuing_block ? copy.issuing_block : this)->warps_[copy.thread / 32];
      warp.fault(*copy.issuer, FaultKind::async_early,
                 "the block ended while this copy into its shared memory was in flight",
                 static_cast<int>(copy.thread % 32));
      return;
    } else if (copy.issuing_block && copy.issuing_block != this) {
      copy.issuing_block->warps_[copy.thread / 32].fault(
          *copy.issuer, FaultKind::use_after_free,
          fmt::format("block ({},{},{}) has exited before this commit arrives at its mbarrier", index_[0],
                      index_[1], index_[2]),
          static_cast<int>(copy.thread % 32));
      return;
    }
  }
}

void Block::barrier(Warp& warp, const Op& op, uint32_t id, uint32_t threads, bool wait) {
  uint32_t alive = warp.valid & ~warp.exited;
  if (warp.exec != alive) {
    warp.fault(op, FaultKind::barrier,
               fmt::format("{} of the warp's {} live threads reached barrier {}; the others are elsewhere",
                           std::popcount(warp.exec), std::popcount(alive), id));
    return;
  }
  if (id > 15)
    return warp.fault(op, FaultKind::barrier, fmt::format("barrier {} does not exist (0 to 15)", id));
  if (threads % 32 != 0)
    return warp.fault(op, FaultKind::barrier,
                      fmt::format("barrier {} is given {} threads, not a multiple of 32", id, threads));
  NamedBarrier& barrier = barriers_[id];
  if (barrier.arrived && barrier.expected != threads) {
    return warp.fault(op, FaultKind::barrier,
                      fmt::format("barrier {} is used with {} and with {} threads at the same time", id,
                                  barrier.expected, threads));
  }
  barrier.expected = threads;
  barrier.arrived += 32;
  races.release(warp.who(), &barrier.clock);
  if (threads && barrier.arrived > threads)
    return warp.fault(op, FaultKind::barrier,
                      fmt::format("{} threads arrived at barrier {} for {}", barrier.arrived, id, threads));
  warp.waiting_op = &op;
  if (wait) {
    barrier.waiting |= 1u << warp.index();
    warp.barrier_id = id;
    warp.state = WarpState::at_barrier;
    warp.stop = true;
  }
  release_if_complete(id);
}

void Block::barrier_reduce(Warp& warp, const Op& op, uint32_t id, uint32_t threads, uint32_t bits) {
  if (id < 16) {
    NamedBarrier& barrier = barriers_[id];
    if (!barrier.arrived) barrier.popc = 0, barrier.all = 1, barrier.any = 0;
    barrier.popc += static_cast<uint32_t>(std::popcount(bits & warp.exec));
    barrier.all &= (bits & warp.exec) == warp.exec;
    barrier.any |= (bits & warp.exec) != 0;
    barrier.reducing = true;
  }
  barrier(warp, op, id, threads, true);
}

void Block::release_if_complete(uint32_t id) {
  NamedBarrier& barrier = barriers_[id];
  if (!barrier.arrived) return;
  uint32_t expected = barrier.expected ? barrier.expected : live_warps_ * 32;
  if (barrier.arrived < expected) return;
  uint32_t waiting = barrier.waiting;
  NamedBarrier result = barrier;
  barrier = NamedBarrier();
  note_progress();
  while (waiting) {
    Warp& warp = warps_[std::countr_zero(waiting)];
    waiting &= waiting - 1;
    warp.state = WarpState::ready;
    races.acquire(warp.who(), result.clock);
    if (result.reducing)
      finish_barrier_reduction(warp, *warp.waiting_op, result.popc, result.all, result.any);
  }
}

Mbarrier* Block::find_mbarrier(Warp& warp, const Op& op, uint32_t offset, int lane) {
  auto found = mbarriers.find(offset);
  if (found != mbarriers.end()) return &found->second;
  uint64_t at = window_base_ + offset;
  warp.fault(op, FaultKind::mbarrier, "there is no initialised mbarrier object at this shared address", lane,
             &at);
  return nullptr;
}

void Block::complete_phase_if_done(Mbarrier& barrier) {
  if (barrier.pending != 0 || barrier.transactions != 0) return;
  ++barrier.phase;
  barrier.pending = barrier.expected;
  note_progress();
}

void Block::land_for(uint32_t offset, Mbarrier& barrier) {
  uint64_t phase = barrier.phase;
  for (size_t i = 0; i < pending.size() && barrier.phase == phase && !launch_->stop;) {
    if (pending[i].mbarrier != offset) {
      ++i;
      continue;
    }
    PendingBulk copy = std::move(pending[i]);
    pending.erase(pending.begin() + static_cast<long>(i));
    copy.land();
    if (copy.time) RaceDetector::complete(&barrier.clock, copy.who, copy.time);
    barrier.transactions -= copy.bytes;
    if (copy.arrival) --barrier.pending;
    complete_phase_if_done(barrier);
  }
}

void Block::land_groups(uint32_t thread, uint32_t committed, uint32_t keep) {
  for (size_t i = 0; i < pending.size();) {
    const PendingBulk& entry = pending[i];
    if (entry.mbarrier != kNone || entry.thread != thread || entry.group + keep >= committed) {
      ++i;
      continue;
    }
    PendingBulk copy = std::move(pending[i]);
    pending.erase(pending.begin() + static_cast<long>(i));
    copy.land();
    note_progress();
  }
}

uint64_t Block::value_of(Special special, uint32_t thread) const {
  const Launch& l = *launch_;
  uint32_t lane = thread % 32;
  switch (special) {
    case Special::tid_x:
      return thread % l.block[0];
    case Special::tid_y:
      return thread / l.block[0] % l.block[1];
    case Special::tid_z:
      return thread / (l.block[0] * l.block[1]);
    case Special::ntid_x:
      return l.block[0];
    case Special::ntid_y:
      return l.block[1];
    case Special::ntid_z:
      return l.block[2];
    case Special::ctaid_x:
      return index_[0];
    case Special::ctaid_y:
      return index_[1];
    case Special::ctaid_z:
      return index_[2];
    case Special::nctaid_x:
      return l.grid[0];
    case Special::nctaid_y:
      return l.grid[1];
    case Special::nctaid_z:
      return l.grid[2];
    case Special::laneid:
      return lane;
    case Special::warpid:
      return thread / 32;
    case Special::nwarpid:
      return (l.threads() + 31) / 32;
    case Special::smid:
      return (index_[0] + l.grid[0] * (index_[1] + l.grid[1] * index_[2])) % l.sm_count;
    case Special::nsmid:
      return l.sm_count;
    case Special::gridid:
      return 1;
    case Special::lanemask_eq:
      return 1u << lane;
    case Special::lanemask_le:
      return (2u << lane) - 1;
    case Special::lanemask_lt:
      return (1u << lane) - 1;
    case Special::lanemask_ge:
      return ~((1u << lane) - 1);
    case Special::lanemask_gt:
      return ~((2u << lane) - 1);
    case Special::clusterid_x:
      return index_[0] / l.cluster[0];
    case Special::clusterid_y:
      return index_[1] / l.cluster[1];
    case Special::clusterid_z:
      return index_[2] / l.cluster[2];
    case Special::nclusterid_x:
      return l.grid[0] / l.cluster[0];
    case Special::nclusterid_y:
      return l.grid[1] / l.cluster[1];
    case Special::nclusterid_z:
      return l.grid[2] / l.cluster[2];
    case Special::cluster_ctaid_x:
      return index_[0] % l.cluster[0];
    case Special::cluster_ctaid_y:
      return index_[1] % l.cluster[1];
    case Special::cluster_ctaid_z:
      return index_[2] % l.cluster[2];
    case Special::cluster_nctaid_x:
      return l.cluster[0];
    case Special::cluster_nctaid_y:
      return l.cluster[1];
    case Special::cluster_nctaid_z:
      return l.cluster[2];
    case Special::cluster_ctarank:
      return rank_;
    case Special::cluster_nctarank:
      return l.cluster[0] * l.cluster[1] * l.cluster[2];
    case Special::is_explicit_cluster:
      return cluster_->size() > 1 || l.program->required_cluster[0] != 0;
    case Special::dynamic_smem_size:
      return l.dynamic_smem;
    case Special::total_smem_size:
    case Special::aggr_smem_size:
      return shared_bytes_;
    case Special::reserved_smem_begin:
      return 0;
    case Special::reserved_smem_end:
      return 0;
  }
  return 0;
}

}  // namespace rtjit::emu
