#include "emulator/cluster.h"

#include <bit>

namespace rtjit::emu {

void Cluster::start(Launch* launch, uint32_t linear_index) {
  launch_ = launch;
  const auto &c = launch->cluster, &grid = launch->grid;
  uint32_t count = c[0] * c[1] * c[2];
  while (blocks_.size() < count) blocks_.push_back(std::make_unique<Block>(this));
  blocks_.resize(count);
  uint32_t bytes = launch->program->dynamic_shared + launch->dynamic_smem;
  stride_ = count == 1 ? bytes : (bytes + 127) / 128 * 128;
  shared_.assign(size_t(stride_) * count, 0xcd);
  shadow_.assign(shared_.size(), kUnwritten);
  races.start((launch->threads() + 31) / 32, count, launch->strictness.races ? shared_bytes() : 0);
  failed_waits = 0;
  met_others = false;
  phase_ = 0;
  clock_.clear();
  completed_clock_.clear();
  executed_.clear();
  uint32_t across = grid[0] / c[0], down = grid[1] / c[1];
  std::array<uint32_t, 3> first = {linear_index % across * c[0], linear_index / across % down * c[1],
                                   linear_index / (across * down) * c[2]};
  for (uint32_t rank = 0; rank < count; ++rank) {
    blocks_[rank]->start(
        launch, {first[0] + rank % c[0], first[1] + rank / c[0] % c[1], first[2] + rank / (c[0] * c[1])},
        rank, rank * stride_, bytes);
  }
}

bool Cluster::run_slice() {
  bool ran = false, left = false;
  for (auto& block : blocks_) {
    ran |= block->run_slice();
    left |= !block->finished();
  }
  if (!ran && left) {
    uint32_t phase = phase_;
    release_if_complete();  // lanes that exited alone are not noticed otherwise
    if (phase_ == phase) report_deadlock();
  }
  return left && !launch_->stop;
}

void Cluster::report_deadlock() {
  std::string where;
  Warp* first = nullptr;
  for (auto& block : blocks_) {
    for (Warp& warp : block->warps()) {
      if (warp.state != WarpState::at_barrier) continue;
      if (!first) first = &warp;
      if (where.size() >= 400) continue;
      if (!where.empty()) where += "; ";
      const auto& i = block->index();
      if (size() > 1) where += fmt::format("block ({},{},{}), ", i[0], i[1], i[2]);
      where += warp.barrier_id == Warp::kClusterBarrier
                   ? fmt::format("warp {} waits at barrier.cluster (PTX line {})", warp.index(),
                                 warp.waiting_op->line)
                   : fmt::format("warp {} waits at barrier {} (PTX line {})", warp.index(), warp.barrier_id,
                                 warp.waiting_op->line);
    }
  }
  if (!first) return;
  first->fault(*first->waiting_op, FaultKind::deadlock,
               fmt::format("no warp of the {} can go on: {}", size() > 1 ? "cluster" : "block", where));
}

void Cluster::arrive(Warp& warp, const Op& op, bool release) {
  if (uint32_t again = warp.exec & warp.cluster_arrived) {
    return warp.fault(op, FaultKind::barrier,
                      "barrier.cluster.arrive follows another one without a barrier.cluster.wait between",
                      std::countr_zero(again));
  }
  warp.cluster_arrived |= warp.exec;
  warp.cluster_current |= warp.exec;
  for (uint32_t mask = warp.exec; mask; mask &= mask - 1) warp.cluster_phase[std::countr_zero(mask)] = phase_;
  if (release) clock_.merge(races.clock(warp.who()));
  races.release(warp.who(), &executed_);
  release_if_complete();
}

void Cluster::wait(Warp& warp, const Op& op, bool acquire) {
  if (uint32_t missing = warp.exec & ~warp.cluster_arrived) {
    return warp.fault(op, FaultKind::barrier,
                      "barrier.cluster.wait without a barrier.cluster.arrive before it",
                      std::countr_zero(missing));
  }
  warp.waits_acquire = acquire;
  warp.waiting_lanes = warp.exec;
  for (uint32_t mask = warp.exec; mask; mask &= mask - 1) {
    if (warp.cluster_phase[std::countr_zero(mask)] != phase_) continue;
    warp.waiting_op = &op;
    warp.barrier_id = Warp::kClusterBarrier;
    warp.state = WarpState::at_barrier;
    warp.stop = true;
    return;
  }
  warp.cluster_arrived &= ~warp.exec;
  warp.block().met_cluster = true;
  if (acquire) races.acquire(warp.who(), completed_clock_);
}

void Cluster::release_if_complete() {
  bool any = false;
  for (auto& block : blocks_) {
    for (Warp& warp : block->warps()) {
      if (warp.state == WarpState::exited) continue;
      if (warp.valid & ~warp.exited & ~warp.cluster_current) return;
      any |= warp.cluster_current != 0;
    }
  }
  if (!any) return;
  ++phase_;
  completed_clock_ = clock_;
  failed_waits = 0;
  for (auto& block : blocks_) {
    block->lifetime.merge(executed_);
    for (Warp& warp : block->warps()) {
      warp.cluster_current = 0;
      if (warp.state != WarpState::at_barrier || warp.barrier_id != Warp::kClusterBarrier) continue;
      warp.state = WarpState::ready;
      warp.cluster_arrived &= ~warp.waiting_lanes;
      block->met_cluster = true;
      if (warp.waits_acquire) races.acquire(warp.who(), completed_clock_);
    }
  }
}

void Cluster::warp_exited() {
  if (size() > 1) release_if_complete();
}

void Cluster::check_exit(Block& block, Warp& last) {
  if (size() == 1 || launch_->stop) return;
  const Op& op = *last.exit_op;
  for (auto& other : blocks_) {
    for (const PendingBulk& copy : other->pending) {
      if (copy.source != &block && copy.target != &block) continue;
      return last.fault(
          op, FaultKind::async_early,
          fmt::format("the block exits while the copy at PTX line {} is still to {} its shared memory",
                      copy.issuer->line, copy.source == &block ? "read" : "write"));
    }
  }
  for (const Block::RemoteUse& use : block.remote_uses) {
    if (use.time <= block.lifetime[use.who]) continue;
    const auto& i = blocks_[races.rank_of(use.who)]->index();
    return last.fault(
        op, FaultKind::use_after_free,
        fmt::format(
            "the block exits, and nothing orders that after warp {} of block ({},{},{}) uses its shared "
            "memory at PTX line {}",
            races.warp_of(use.who), i[0], i[1], i[2], use.line));
  }
}

uint32_t Cluster::address_of(uint32_t place) const {
  return size() == 1 || stride_ == 0 ? place : (place / stride_) << kRankShift | place % stride_;
}

}  // namespace rtjit::emu
