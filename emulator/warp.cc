#include "emulator/warp.h"

#include <bit>
#include <cstring>

#include "base/text.h"
#include "emulator/cluster.h"

namespace rtjit::emu {

void Warp::start(Block* block, const Program* program, uint32_t index) {
  block_ = block;
  index_ = index;
  who_ = block->races.participant(block->rank(), index);
  uint32_t threads = block->launch().threads();
  uint32_t lanes = std::min(32u, threads - index * 32);
  valid = lanes == 32 ? ~0u : (1u << lanes) - 1;
  active = valid;
  exec = 0;
  exited = 0;
  pc = 0;
  stop = false;
  state = WarpState::ready;
  steps_done = lanes_done = 0;
  async_copies.clear();
  warpgroup_products.clear();
  warpgroup_groups = 0;
  exit_op = nullptr;
  cluster_arrived = cluster_current = 0;
  std::memset(async_groups, 0, sizeof(async_groups));
  std::memset(bulk_groups, 0, sizeof(bulk_groups));
  stack_.clear();
  stack_.push_back({0, kNone, active});
  cached_start_ = cached_bytes_ = 0;
  if (program_ != program) {
    program_ = program;
    storage_.assign(program->register_bytes + 64, 0xa5);
    auto address = reinterpret_cast<uintptr_t>(storage_.data());
    registers_ = storage_.data() + ((64 - address % 64) % 64);
    for (const ConstantSlot& slot : program->constants) {
      uint64_t value = slot.value + (slot.is_shared_address ? block->window_base() : 0);
      for (int lane = 0; lane < 32; ++lane) {
        if (slot.bits == 64)
          reg<uint64_t>(slot.offset)[lane] = value;
        else
          reg<uint32_t>(slot.offset)[slot.bits == 1 ? 0 : lane] = static_cast<uint32_t>(value);
      }
    }
  }
  for (const SpecialSlot& slot : program->specials) {
    for (int lane = 0; lane < 32; ++lane) {
      uint64_t value = block->value_of(slot.special, thread_index(lane));
      if (slot.wide)
        reg<uint64_t>(slot.offset)[lane] = value;
      else
        reg<uint32_t>(slot.offset)[lane] = static_cast<uint32_t>(value);
    }
  }
}

void Warp::run(uint64_t steps) {
  stop = false;
  const Op* ops = program_->ops.data();
  uint32_t meet = stack_.empty() ? kNone : stack_.back().reconverge;
  size_t depth = stack_.size();
  for (uint64_t i = 0; i < steps; ++i) {
    const Op& op = ops[pc];
    uint32_t lanes = active;
    if (op.guard != kNone) {
      uint32_t p = pred(op.guard);
      lanes &= op.guard_negated ? ~p : p;
    }
    ++steps_done;
    lanes_done += static_cast<unsigned>(std::popcount(lanes));
    next_pc = pc + 1;
    if (lanes) {
      exec = lanes;
      op.run(*this, op);
    }
    pc = next_pc;
    if (pc == meet || stop || stack_.size() != depth || (active & exited)) {
      if (state == WarpState::exited) return;
      if (pc == meet || (active & exited)) reconverge();
      if (state == WarpState::exited) return;
      meet = stack_.back().reconverge;
      depth = stack_.size();
      if (stop) return;
    }
  }
}

void Warp::reconverge() {
  stack_.back().pc = pc;
  while (!stack_.empty()) {
    DivergentPath& top = stack_.back();
    top.mask &= ~exited;
    if (top.mask && top.pc != top.reconverge) {
      active = top.mask;
      pc = top.pc;
      return;
    }
    // A path that arrived where it joins hands over to what is below it; at the bottom nothing joins.
    stack_.pop_back();
  }
  active = 0;
  state = WarpState::exited;
  stop = true;
  block_->warp_exited(*this);
}

void Warp::branch(uint32_t taken, const Op& op) {
  uint32_t rest = active & ~taken;
  if (!rest) {
    next_pc = op.target;
    return;
  }
  if (!taken) return;
  DivergentPath& top = stack_.back();
  uint32_t meet = op.reconverge;
  // A loop that loses lanes each turn would otherwise grow the stack: the same meeting point needs one entry.
  bool merge = top.reconverge == meet;
  if (merge)
    stack_.pop_back();
  else
    top.pc = meet;
  auto push = [&](uint32_t start, uint32_t mask) {
    if (start != meet) stack_.push_back({start, meet, mask});
  };
  // The path that was left first in program order runs first.
  push(std::max(op.target, next_pc), op.target > next_pc ? taken : rest);
  push(std::min(op.target, next_pc), op.target > next_pc ? rest : taken);
  active = stack_.back().mask;
  next_pc = stack_.back().pc;
}

void Warp::branch_many(const uint32_t* targets, const Op& op) {
  uint32_t left = exec;
  uint32_t first = targets[std::countr_zero(left)];
  uint32_t same = 0;
  for (int lane = 0; lane < 32; ++lane) {
    if ((left >> lane & 1) && targets[lane] == first) same |= 1u << lane;
  }
  if (same == active) {
    next_pc = first;
    return;
  }
  DivergentPath& top = stack_.back();
  uint32_t meet = op.reconverge, falls = active & ~exec, fall_through = next_pc;
  if (top.reconverge == meet)
    stack_.pop_back();
  else
    top.pc = meet;
  while (left) {
    uint32_t target = targets[std::countr_zero(left)], mask = 0;
    for (int lane = 0; lane < 32; ++lane) {
      if ((left >> lane & 1) && targets[lane] == target) mask |= 1u << lane;
    }
    left &= ~mask;
    if (target != meet) stack_.push_back({target, meet, mask});
  }
  if (falls && fall_through != meet) stack_.push_back({fall_through, meet, falls});
  active = stack_.back().mask & ~exited;
  next_pc = stack_.back().pc;
  if (stack_.back().pc == stack_.back().reconverge) pc = next_pc;
}

void Warp::exit_lanes(uint32_t mask) {
  exited |= mask;
  exit_op = &program_->ops[pc];
}

void Warp::fault(const Op& op, FaultKind kind, std::string detail, int lane, const uint64_t* address) {
  Report report;
  report.kind = kind;
  report.detail = std::move(detail);
  report.kernel = program_->kernel;
  report.ptx_line = op.line;
  report.source_line = op.source_line;
  size_t index = static_cast<size_t>(&op - program_->ops.data());
  if (index < program_->opcodes.size()) report.instruction = program_->opcodes[index];
  report.block = block_->index();
  if (lane < 0 && exec) lane = std::countr_zero(exec);
  if (lane >= 0) {
    uint32_t thread = thread_index(lane);
    const auto& size = block_->launch().block;
    report.has_thread = true;
    report.thread = {thread % size[0], thread / size[0] % size[1], thread / (size[0] * size[1])};
  }
  if (address) {
    report.has_address = true;
    report.address = *address;
  }
  stop = true;
  block_->launch().fault(std::move(report));
}

Block* Warp::shared_owner(const Op& op, uint32_t address, int lane, bool own) {
  Cluster& cluster = block_->cluster();
  uint32_t rank = address >> kRankShift;
  if (cluster.size() == 1) return block_;  // the whole window is its own; bounds are checked by the caller
  uint64_t generic = kSharedWindow + address;
  if (rank == block_->rank()) return block_;
  if (rank >= cluster.size()) {
    fault(op, FaultKind::out_of_bounds,
          fmt::format("shared memory of the block with rank {}; the cluster has {} blocks", rank,
                      cluster.size()),
          lane, &generic);
    return nullptr;
  }
  if (own) {
    fault(op, FaultKind::invalid_address,
          fmt::format(
              "the address is in the shared memory of the block with rank {} of the cluster, this block has "
              "rank {}; only .shared::cluster and generic accesses may leave the own block",
              rank, block_->rank()),
          lane, &generic);
    return nullptr;
  }
  Block& owner = cluster.block(rank);
  if (owner.exited()) {
    const auto& i = owner.index();
    fault(op, FaultKind::use_after_free,
          fmt::format("shared memory of block ({},{},{}), which has exited", i[0], i[1], i[2]), lane,
          &generic);
    return nullptr;
  }
  return &owner;
}

uint8_t* Warp::locate_shared(const Op& op, uint32_t address, int lane, uint32_t bytes, uint32_t align,
                             bool own, uint8_t** shadow) {
  uint64_t generic = kSharedWindow + address;
  if (address & (align - 1)) {
    fault(op, FaultKind::misaligned,
          fmt::format("an access of {} B needs an address that is a multiple of {}", bytes, align), lane,
          &generic);
    return nullptr;
  }
  Block* owner = shared_owner(op, address, lane, own);
  if (!owner) return nullptr;
  uint32_t offset = address - owner->window_base();
  if (uint64_t(offset) + bytes > owner->shared_bytes()) {
    fault(op, FaultKind::out_of_bounds,
          fmt::format("{} B at offset {} of {} B of shared memory", bytes, offset, owner->shared_bytes()),
          lane, &generic);
    return nullptr;
  }
  if (owner != block_) owner->note_remote_use(*this, op);
  *shadow = owner->shared_shadow(offset);
  return owner->shared(offset);
}

uint8_t* Warp::locate_generic(const Op& op, uint64_t address, int lane, uint32_t bytes, uint32_t align,
                              Access access, uint8_t** shadow) {
  if (address & (align - 1)) {
    fault(op, FaultKind::misaligned,
          fmt::format("an access of {} B needs an address that is a multiple of {}", bytes, align), lane,
          &address);
    return nullptr;
  }
  uint64_t window = address & ~uint64_t(0xffffffff), offset = address & 0xffffffff;
  if (window == kSharedWindow) {
    return locate_shared(op, static_cast<uint32_t>(offset), lane, bytes, align, false, shadow);
  }
  if (window == kLocalWindow) {
    if (offset + bytes > block_->local_bytes()) {
      fault(op, FaultKind::out_of_bounds,
            fmt::format("{} B at offset {} of {} B of local memory", bytes, offset, block_->local_bytes()),
            lane, &address);
      return nullptr;
    }
    *shadow = block_->local_shadow(thread_index(lane), offset);
    return block_->local(thread_index(lane), offset);
  }
  if (window == kParamWindow) {
    static const std::vector<uint8_t> written(4096 * 8, kWritten);
    std::vector<uint8_t>& parameters = block_->launch().parameters;
    if (access != Access::read) {
      fault(op, FaultKind::read_only, "kernel parameters cannot be written", lane, &address);
      return nullptr;
    }
    if (offset + bytes > parameters.size()) {
      fault(op, FaultKind::out_of_bounds,
            fmt::format("{} B at offset {} of {} B of parameters", bytes, offset, parameters.size()), lane,
            &address);
      return nullptr;
    }
    *shadow = const_cast<uint8_t*>(written.data());
    return parameters.data() + offset;
  }
  GlobalMemory& memory = *block_->launch().memory;
  FaultKind kind;
  std::string why;
  if (!memory.check(address, bytes, &kind, &why)) {
    fault(op, kind, std::move(why), lane, &address);
    return nullptr;
  }
  const GlobalMemory::Allocation* allocation = memory.find(address);
  if (allocation->read_only && access != Access::read) {
    fault(op, FaultKind::read_only,
          allocation->name.empty() ? fmt::format("this input of {} B may only be read",
                                                 with_thousands(static_cast<int64_t>(allocation->bytes)))
                                   : fmt::format("constant memory ({}) cannot be written", allocation->name),
          lane, &address);
    return nullptr;
  }
  cached_start_ = allocation->start;
  cached_bytes_ = allocation->bytes;
  cached_read_only_ = allocation->read_only;
  *shadow = memory.shadow(address);
  return memory.data(address);
}

}  // namespace rtjit::emu
