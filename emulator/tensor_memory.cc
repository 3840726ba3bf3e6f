#include "emulator/tensor_memory.h"

#include <bit>
#include <cstring>

#include "emulator/memory_access.h"

namespace rtjit::emu {
namespace {

const char* name_of(TensorAccess access) {
  switch (access) {
    case TensorAccess::load:
      return "tcgen05.ld";
    case TensorAccess::store:
      return "tcgen05.st";
    case TensorAccess::product:
    case TensorAccess::factor:
      return "tcgen05.mma";
    case TensorAccess::copy:
    case TensorAccess::copy_rows:
      return "tcgen05.cp";
    case TensorAccess::shift:
      return "tcgen05.shift";
  }
  return "tcgen05";
}

bool writes(TensorAccess access) { return access != TensorAccess::load && access != TensorAccess::factor; }

// Whether the hardware orders the two without a wait: the pairs that the PTX ISA calls pipelined. A copy may
// follow an earlier copy or product that it overtakes in no pair of the ISA; every kernel that stages scales
// relies on it, so it is allowed.
bool pipelined(TensorAccess earlier, TensorAccess later, bool same_shape) {
  bool later_copies = later == TensorAccess::copy || later == TensorAccess::copy_rows;
  bool later_product = later == TensorAccess::product || later == TensorAccess::factor;
  switch (earlier) {
    case TensorAccess::product:
      return (later == TensorAccess::product && same_shape) || later == TensorAccess::shift;
    case TensorAccess::factor:
      return later_product || later_copies || later == TensorAccess::shift || later == TensorAccess::load;
    case TensorAccess::copy:
    case TensorAccess::copy_rows:
      return later_product || later_copies;
    case TensorAccess::shift:
      return later_product || later == TensorAccess::shift || later == TensorAccess::copy_rows;
    case TensorAccess::load:
      return !writes(later);
    case TensorAccess::store:
      return false;
  }
  return false;
}

constexpr u32 kLaneGroup = 16, kGroups = TensorMemory::kLanes / kLaneGroup;

}  // namespace

void TensorMemory::start() {
  allocations_.clear();
  pending_.clear();
  committed_.clear();
  relinquished = false;
  pair_allocation = {};
  pair_sizes.clear();
  last_columns = kColumns;
  sequence_ = 0;
  group_ = 0;
  race_base_ = 0;
}

std::optional<uint32_t> TensorMemory::allocate(Warp& warp, const Op& op, uint32_t columns) {
  if (cells_.empty()) {
    cells_.resize(kLanes * kColumns);
    written_.resize(kLanes * kColumns);
  }
  if (!race_base_ && block_->launch().strictness.races)
    race_base_ = block_->races.extend(kGroups * kColumns * 4);
  for (u32 column = 0; column + columns <= kColumns; column += columns) {
    bool free = true;
    for (const Allocation& a : allocations_)
      free &= column + columns <= a.column || a.column + a.columns <= column;
    if (!free) continue;
    for (u32 lane = 0; lane < kLanes; ++lane) std::memset(written(lane) + column, 0, columns);
    if (race_base_) {
      for (u32 g = 0; g < kGroups; ++g)
        block_->races.forget(race_base_ + (g * kColumns + column) * 4, columns * 4);
    }
    allocations_.push_back({column, columns, &op, &warp});
    last_columns = columns;
    return column;
  }
  return std::nullopt;
}

bool TensorMemory::deallocate(Warp& warp, const Op& op, uint32_t address, uint32_t columns) {
  u32 column = address & 0xffff;
  for (size_t i = 0; i < allocations_.size(); ++i) {
    if (allocations_[i].column != column || address >> 16 != 0) continue;
    if (allocations_[i].columns != columns) {
      warp.fault(op, FaultKind::tensor_memory,
                 fmt::format("{} columns are deallocated at {:#010x}, where {} were allocated", columns,
                             address, allocations_[i].columns));
      return false;
    }
    TensorRegion region;
    region.add_lanes(0, kLanes);
    region.column = column;
    region.columns = columns;
    for (const Pending& pending : pending_) {
      if (!pending.region.meets(region)) continue;
      warp.fault(op, FaultKind::async_early,
                 "this tensor memory is deallocated, but " + describe(pending) + " has not been waited for");
      return false;
    }
    if (!check_race(warp, op, -1, region, true, false)) return false;
    allocations_.erase(allocations_.begin() + static_cast<long>(i));
    return true;
  }
  warp.fault(op, FaultKind::tensor_memory,
             fmt::format("no allocation of tensor memory begins at {:#010x}", address));
  return false;
}

bool TensorMemory::check_group(Warp& warp, const Op& op, uint32_t group) {
  if (group_ && group != group_) {
    warp.fault(op, FaultKind::tensor_memory,
               fmt::format(".cta_group::{} after .cta_group::{}; a kernel must keep to one", group, group_));
    return false;
  }
  group_ = group;
  return true;
}

void TensorMemory::check_end() {
  for (const Allocation& a : allocations_) {
    a.warp->fault(*a.op, FaultKind::tensor_memory,
                  fmt::format("the block ended without deallocating the {} columns of tensor memory that "
                              "this instruction allocated",
                              a.columns),
                  0);
    return;
  }
}

std::string TensorMemory::describe(const Pending& pending) const {
  return fmt::format("the {} at PTX line {}{}", name_of(pending.access), pending.op->line,
                     pending.access == TensorAccess::factor ? " (reading its operand)" : "");
}

bool TensorMemory::check(Warp& warp, const Op& op, int lane, const TensorRegion& region, TensorAccess access,
                         uint64_t shape) {
  u32 end = region.column + region.columns;
  u64 address = region.column;
  if (end > kColumns) {
    warp.fault(
        op, FaultKind::tensor_memory,
        fmt::format("columns {} to {} of tensor memory, which has {}", region.column, end - 1, kColumns),
        lane, &address);
    return false;
  }
  bool owned = false;
  for (const Allocation& a : allocations_) owned |= a.column <= region.column && end <= a.column + a.columns;
  if (!owned) {
    warp.fault(op, FaultKind::tensor_memory,
               fmt::format("columns {} to {} of tensor memory are not (or no longer) allocated",
                           region.column, end - 1),
               lane, &address);
    return false;
  }
  for (const Pending& pending : pending_) {
    if (!pending.region.meets(region)) continue;
    if (pipelined(pending.access, access, pending.shape == shape)) continue;
    const char* wait = pending.access == TensorAccess::load    ? "tcgen05.wait::ld"
                       : pending.access == TensorAccess::store ? "tcgen05.wait::st"
                                                               : "tcgen05.commit and its mbarrier";
    warp.fault(op, FaultKind::async_early,
               fmt::format("{} in columns {} to {} of tensor memory has not been waited for with {}",
                           describe(pending), pending.region.column,
                           pending.region.column + pending.region.columns - 1, wait),
               lane, &address);
    return false;
  }
  bool asynchronous = access != TensorAccess::load && access != TensorAccess::store;
  return check_fence(warp, op, lane, region, writes(access), asynchronous) &&
         check_race(warp, op, lane, region, writes(access), asynchronous);
}

// Accesses have a grain of 16 lanes, so one word of the race detector stands for a column of 16 lanes.
bool TensorMemory::check_race(Warp& warp, const Op& op, int lane, const TensorRegion& region, bool write,
                              bool asynchronous) {
  if (!race_base_) return true;
  u32 who = asynchronous ? block_->races.agent(warp.who()) : warp.who();
  for (u32 g = 0; g < kGroups; ++g) {
    if (!(region.lanes[g / 4] >> g % 4 * kLaneGroup & 0xffff)) continue;
    u32 offset = race_base_ + (g * kColumns + region.column) * 4;
    RaceDetector& races = block_->races;
    RaceDetector::Conflict c = write ? races.write(who, offset, region.columns * 4, op.line)
                                     : races.read(who, offset, region.columns * 4, op.line);
    if (!c.found()) continue;
    u64 column = (c.offset - race_base_) / 4 % kColumns, address = column | g * kLaneGroup << 16;
    warp.fault(op, FaultKind::race,
               fmt::format("{} {} tensor memory that {} {} at PTX line {}, and nothing orders the two",
                           asynchronous ? "this operation" : fmt::format("warp {}", warp.index()),
                           write ? "writes" : "reads", who_raced(*block_, c),
                           c.other_wrote ? "wrote" : "read", c.other_line),
               lane, &address);
    return false;
  }
  return true;
}

bool TensorMemory::check_fence(Warp& warp, const Op& op, int lane, const TensorRegion& region, bool write,
                               bool asynchronous) {
  if (!race_base_ || !block_->launch().strictness.tensor_fences) return true;
  const RaceDetector& races = block_->races;
  u32 who = asynchronous ? races.agent(warp.who()) : warp.who();
  for (u32 g = 0; g < kGroups; ++g) {
    if (!(region.lanes[g / 4] >> g % 4 * kLaneGroup & 0xffff)) continue;
    u32 offset = race_base_ + (g * kColumns + region.column) * 4;
    RaceDetector::Conflict c = races.missing_fence(who, offset, region.columns * 4, write);
    if (!c.found()) continue;
    u64 column = (c.offset - race_base_) / 4 % kColumns, address = column | g * kLaneGroup << 16;
    // A commit hands on what its issuer did.
    const char* before =
        races.is_agent(c.other_who) ? "" : "tcgen05.fence::before_thread_sync before it, or ";
    warp.fault(op, FaultKind::tensor_fence,
               fmt::format("{} tensor memory that {} {} at PTX line {}; something orders the two, but "
                           "{}tcgen05.fence::after_thread_sync after it is missing",
                           write ? "writes" : "reads", who_raced(*block_, c),
                           c.other_wrote ? "wrote" : "read", c.other_line, before),
               lane, &address);
    return false;
  }
  return true;
}

bool TensorMemory::check_written(Warp& warp, const Op& op, int lane, const TensorRegion& region) {
  for (u32 l = 0; l < kLanes; ++l) {
    if (!region.has_lane(l) || is_written(written(l) + region.column, region.columns)) continue;
    u32 column = region.column;
    while (written(l)[column]) ++column;
    u64 address = u64(l) << 16 | column;
    warp.fault(
        op, FaultKind::uninitialised,
        fmt::format("nobody has written lane {}, column {} of tensor memory before it is read", l, column),
        lane, &address);
    return false;
  }
  return true;
}

void TensorMemory::mark_written(const TensorRegion& region) {
  for (u32 l = 0; l < kLanes; ++l) {
    if (region.has_lane(l)) std::memset(written(l) + region.column, kWritten, region.columns);
  }
}

void TensorMemory::add_pending(Warp& warp, const Op& op, int lane, const TensorRegion& region,
                               TensorAccess access, uint64_t shape, SharedSnapshot snapshot) {
  u32 thread = issuer(warp, lane);
  ++sequence_;
  // Steps of one product over k are one entry, so that the list stays short.
  u64 committed = committed_.count(thread) ? committed_[thread] : 0;
  Pending* entry = nullptr;
  for (Pending& p : pending_) {
    if (p.access == access && p.issuer == thread && p.op == &op && p.shape == shape &&
        p.region.lanes == region.lanes && p.region.column == region.column &&
        p.region.columns == region.columns && p.sequence > committed)
      entry = &p;
  }
  if (!entry) {
    pending_.push_back({access, thread, 0, shape, region, &op, &warp, {}});
    entry = &pending_.back();
  }
  entry->sequence = sequence_;
  if (!snapshot.addresses.empty()) entry->snapshots.push_back(std::move(snapshot));
}

void TensorMemory::finish_warp(uint32_t warp_index, TensorAccess access) {
  std::erase_if(pending_,
                [&](const Pending& p) { return p.access == access && p.warp->index() == warp_index; });
}

uint32_t TensorMemory::issuer(const Warp& warp, int lane) {
  return const_cast<Warp&>(warp).block().rank() << 16 | warp.thread_index(lane);
}

void TensorMemory::complete(uint32_t issuer, uint64_t sequence) {
  for (size_t i = 0; i < pending_.size(); ++i) {
    Pending& p = pending_[i];
    if (p.issuer != issuer || p.sequence > sequence || p.access == TensorAccess::load ||
        p.access == TensorAccess::store)
      continue;
    for (const SharedSnapshot& snapshot : p.snapshots) {
      for (size_t k = 0; k < snapshot.addresses.size(); ++k) {
        u32 at = snapshot.addresses[k];
        if (is_written(snapshot.block->shared_shadow(at), 16) &&
            std::memcmp(snapshot.block->shared(at), snapshot.bytes.data() + k * 16, 16) == 0)
          continue;
        u64 address = at;
        return p.warp->fault(*p.op, FaultKind::async_early,
                             "an operand of this instruction in shared memory was changed before the "
                             "instruction completed",
                             static_cast<int>(issuer % 32), &address);
      }
    }
  }
  std::erase_if(pending_, [&](const Pending& p) {
    return p.issuer == issuer && p.sequence <= sequence && p.access != TensorAccess::load &&
           p.access != TensorAccess::store;
  });
}

}  // namespace rtjit::emu
