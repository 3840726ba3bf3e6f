#include "emulator/block.h"

#include <bit>
#include <cstring>

#include "emulator/execute.h"

namespace rtjit::emu {

void Launch::fault(Report report_to_keep) {
  std::lock_guard lock(mutex);
  if (!report) report = std::move(report_to_keep);
  stop = true;
}

void Block::start(Launch* launch, uint32_t linear_index) {
  launch_ = launch;
  linear_index_ = linear_index;
  const auto& grid = launch->grid;
  index_ = {linear_index % grid[0], linear_index / grid[0] % grid[1], linear_index / (grid[0] * grid[1])};
  const Program& program = *launch->program;
  shared_.assign(program.dynamic_shared + launch->dynamic_smem, 0xcd);
  shadow_.assign(shared_.size(), kUnwritten);
  local_stride_ = program.local_bytes;
  local_.assign(local_stride_ * launch->threads(), 0xcd);
  local_shadow_.assign(local_.size(), kUnwritten);
  races.start((launch->threads() + 31) / 32, launch->strictness.races ? shared_bytes() : 0);
  mbarriers.clear();
  pending.clear();
  if (tensor_memory_) tensor_memory_->start();
  failed_waits = 0;
  met_others = launch->cluster[0] * launch->cluster[1] * launch->cluster[2] > 1;
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
    } else if (failed_waits > launch_->strictness.failed_waits_per_block) {
      warp.fault(launch_->program->ops[warp.pc], FaultKind::deadlock,
                 fmt::format("{} waits on mbarriers in a row found no progress{}", failed_waits,
                             describe_mbarriers()));
    }
  }
  if (!ran && !finished()) report_deadlock();
  return !finished();
}

// The phases that something is still missing for: a wrong count of bytes shows here.
std::string Block::describe_mbarriers() const {
  std::string text;
  for (const auto& [address, barrier] : mbarriers) {
    if (barrier.pending == barrier.expected && barrier.transactions == 0) continue;
    if (text.size() > 400) break;
    std::string bytes;
    if (barrier.transactions > 0) bytes = fmt::format(" and {} B that no copy brings", barrier.transactions);
    if (barrier.transactions < 0)
      bytes = fmt::format(" and has received {} B more than expected", -barrier.transactions);
    text += fmt::format("; the mbarrier at {:#x} waits for {} of {} arrivals{}", address, barrier.pending,
                        barrier.expected, bytes);
  }
  return text;
}

void Block::report_deadlock() {
  std::string where;
  Warp* first = nullptr;
  for (Warp& warp : warps_) {
    if (warp.state != WarpState::at_barrier) continue;
    if (!first) first = &warp;
    if (where.size() < 400) {
      where += fmt::format("{}warp {} waits at barrier {} (PTX line {})", where.empty() ? "" : "; ",
                           warp.index(), warp.barrier_id, warp.waiting_op->line);
    }
  }
  first->fault(*first->waiting_op, FaultKind::deadlock, "no warp of the block can go on: " + where);
}

void Block::warp_exited() {
  --live_warps_;
  if (live_warps_ == 0) {
    finish_copies();
    if (tensor_memory_) tensor_memory_->check_end();
  }
  for (uint32_t id = 0; id < 16; ++id) release_if_complete(id);
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
      Warp& warp = warps_[copy.thread / 32];
      warp.fault(*copy.issuer, FaultKind::async_early,
                 "the block ended while this copy into its shared memory was in flight",
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
  races.release(warp.index(), &barrier.clock);
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
    races.acquire(warp.index(), result.clock);
    if (result.reducing)
      finish_barrier_reduction(warp, *warp.waiting_op, result.popc, result.all, result.any);
  }
}

Mbarrier* Block::find_mbarrier(Warp& warp, const Op& op, uint32_t address, int lane) {
  auto found = mbarriers.find(address);
  if (found != mbarriers.end()) return &found->second;
  uint64_t at = address;
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

void Block::land_for(uint32_t address, Mbarrier& barrier) {
  uint64_t phase = barrier.phase;
  for (size_t i = 0; i < pending.size() && barrier.phase == phase && !launch_->stop;) {
    if (pending[i].mbarrier != address) {
      ++i;
      continue;
    }
    PendingBulk copy = std::move(pending[i]);
    pending.erase(pending.begin() + static_cast<long>(i));
    copy.land();
    if (copy.time) RaceDetector::complete(&barrier.clock, copy.thread / 32, copy.time);
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
      return linear_index_ % l.sm_count;
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
      return index_[0] % l.cluster[0] +
             l.cluster[0] * (index_[1] % l.cluster[1] + l.cluster[1] * (index_[2] % l.cluster[2]));
    case Special::cluster_nctarank:
      return l.cluster[0] * l.cluster[1] * l.cluster[2];
    case Special::is_explicit_cluster:
      return l.cluster[0] * l.cluster[1] * l.cluster[2] > 1;
    case Special::dynamic_smem_size:
      return l.dynamic_smem;
    case Special::total_smem_size:
    case Special::aggr_smem_size:
      return shared_.size();
    case Special::reserved_smem_begin:
      return 0;
    case Special::reserved_smem_end:
      return 0;
  }
  return 0;
}

}  // namespace rtjit::emu
