// tcgen05: allocation of tensor memory, waits, fences and commits. The other operations have their own files.
#include "emulator/ops_tcgen05.h"

#include <bit>
#include <cstring>

#include "emulator/async_copy.h"

namespace rtjit::emu {

u32 take_cta_group(Decoder& d) {
  int group = d.take_one_of({"cta_group::1", "cta_group::2"});
  if (group < 0) d.fail("tcgen05 needs .cta_group::1 or .cta_group::2");
  return static_cast<u32>(group + 1);
}

std::vector<Block*> blocks_of_group(Warp& w, const Op& op, u32 group, int lane) {
  Block& block = w.block();
  if (group == 1) return {&block};
  Cluster& cluster = block.cluster();
  u32 even = block.rank() & ~1u;
  if (even + 1 >= cluster.size()) {
    w.fault(
        op, FaultKind::resources,
        fmt::format(".cta_group::2 needs the other block of a pair; the block has rank {} in a cluster of {}",
                    block.rank(), cluster.size()),
        lane);
    return {};
  }
  if (block.rank() != even) {
    w.fault(op, FaultKind::unsupported, "with .cta_group::2 only the even block of the pair may issue this",
            lane);
    return {};
  }
  std::vector<Block*> blocks = {&cluster.block(even), &cluster.block(even + 1)};
  for (Block* member : blocks) {
    if (!member->exited()) continue;
    const auto& i = member->index();
    w.fault(op, FaultKind::use_after_free,
            fmt::format("tensor memory of block ({},{},{}), which has exited", i[0], i[1], i[2]), lane);
    return {};
  }
  return blocks;
}

void add_tensor_address(Decoder& d, const ptx::Operand& operand) {
  Decoder::Address a = d.address(operand);
  if (a.wide) d.fail("a tensor memory address is a 32-bit register");
  d.add_list(a.slot);
  d.add_list(d.constant(static_cast<u32>(a.offset), 32));
}

bool whole_warp(Warp& w, const Op& op) {
  if (w.exec == ~0u) return true;
  w.fault(op, FaultKind::barrier,
          fmt::format("this instruction needs all 32 lanes of the warp; lanes {:#x} execute it", w.exec));
  return false;
}

bool same_in_all_lanes(Warp& w, const Op& op, const u32* lanes, const char* what) {
  for (int l = 1; l < 32; ++l) {
    if (lanes[l] == lanes[0]) continue;
    w.fault(op, FaultKind::tensor_memory,
            fmt::format("{} must be the same in all lanes; lane 0 has {:#x}, lane {} has {:#x}", what,
                        lanes[0], l, lanes[l]),
            l);
    return false;
  }
  return true;
}

namespace {

bool check_columns(Warp& w, const Op& op, u32 columns) {
  if (columns >= 32 && columns <= 512 && std::has_single_bit(columns)) return true;
  w.fault(op, FaultKind::tensor_memory,
          fmt::format("{} columns of tensor memory; 32, 64, 128, 256 or 512 are allowed", columns));
  return false;
}

// The warp tries again when others have run.
void retry(Warp& w) {
  w.next_pc = w.pc;
  w.stop = true;
  ++w.block().failed_waits;
}

// The second half of an allocation in a pair: both blocks' n-th allocation must have begun, with the same
// size and place. Returns whether it is complete; else it will be tried again, or is a fault.
bool meet_other_block(Warp& w, const Op& op, TensorMemory& memory, u32 columns) {
  Cluster& cluster = w.block().cluster();
  u32 rank = w.block().rank() ^ 1;
  if (rank >= cluster.size()) {
    blocks_of_group(w, op, 2, 0);  // reports it
    return false;
  }
  const std::vector<u32>& theirs = cluster.block(rank).tensor_memory().pair_sizes;
  size_t n = memory.pair_sizes.size();
  if (theirs.size() < n) {
    retry(w);
    return false;
  }
  if (theirs[n - 1] != columns) {
    w.fault(
        op, FaultKind::tensor_memory,
        fmt::format("the blocks of a pair allocate {} and {} columns together; both must ask for the same",
                    columns, theirs[n - 1]));
    return false;
  }
  return true;
}

// a: where the address is written, list: columns. small: cta_group
void run_alloc(Warp& w, const Op& op) {
  if (!whole_warp(w, op)) return;
  Block& block = w.block();
  TensorMemory& memory = block.tensor_memory();
  const u32* columns = w.reg<u32>(w.program().lists[op.list]);
  if (!memory.check_group(w, op, op.small) || !same_in_all_lanes(w, op, columns, "the number of columns") ||
      !check_columns(w, op, columns[0]))
    return;
  TensorMemory::PairAllocation& begun = memory.pair_allocation;
  if (begun.warp && begun.warp != &w) return retry(w);
  if (!begun.warp) {
    if (memory.relinquished)
      return w.fault(op, FaultKind::tensor_memory,
                     "tensor memory is allocated after tcgen05.relinquish_alloc_permit");
    if (columns[0] > memory.last_columns)
      return w.fault(
          op, FaultKind::tensor_memory,
          fmt::format("{} columns are allocated after {}; an allocation may not be larger than the one "
                      "before it",
                      columns[0], memory.last_columns));
  }
  SharedPlace place = shared_place(w, op, lane_address(w, op, 0), 0, 4, 4, true);
  if (!place.block) return;
  u32 column = begun.column;
  if (!begun.warp) {
    std::optional<u32> found = memory.allocate(w, op, columns[0]);
    if (!found) return retry(w);  // until another warp deallocates
    column = *found;
    block.note_progress();
    if (op.small == 2) {
      begun = {&w, column};
      memory.pair_sizes.push_back(columns[0]);
    }
  }
  if (op.small == 2) {
    if (!meet_other_block(w, op, memory, columns[0])) return;
    begun = {};
    block.note_progress();
  }
  if (!mark_written(w, op, place.shadow(), 4, 0, kSharedWindow + place.address())) return;
  std::memcpy(place.data(), &column, 4);
}

// list: address (two entries), columns
void run_dealloc(Warp& w, const Op& op) {
  if (!whole_warp(w, op)) return;
  TensorMemory& memory = w.block().tensor_memory();
  const u32* list = w.program().lists.data() + op.list;
  const u32 *address = w.reg<u32>(list[0]), *columns = w.reg<u32>(list[1]);
  if (!memory.check_group(w, op, op.small) || !same_in_all_lanes(w, op, columns, "the number of columns") ||
      !same_in_all_lanes(w, op, address, "the address") || !check_columns(w, op, columns[0]))
    return;
  if (memory.deallocate(w, op, address[0], columns[0])) w.block().note_progress();
}

void run_relinquish(Warp& w, const Op& op) {
  if (!whole_warp(w, op)) return;
  TensorMemory& memory = w.block().tensor_memory();
  if (memory.check_group(w, op, op.small)) memory.relinquished = true;
}

// a: mbarrier; list: the mask of blocks when multicast
void run_commit(Warp& w, const Op& op) {
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    Block& block = w.block();
    TensorMemory& memory = block.tensor_memory();
    if (!memory.check_group(w, op, op.small)) return;
    SharedPlace place = shared_place(w, op, lane_address(w, op, l), l, 8, 8, false);
    if (!place.block) return;
    u32 mask = op.list_size ? w.reg<u32>(w.program().lists[op.list])[l] & 0xffff : 1u << place.block->rank();
    Clock clock;
    block.races.fence_before_sync(w.who());  // a commit is one, says the ISA
    block.races.fence_before_sync(block.races.agent(w.who()));
    block.races.release(w.who(), &clock);
    block.races.release(block.races.agent(w.who()), &clock);
    u32 thread = w.thread_index(l), author = TensorMemory::issuer(w, l);
    std::vector<std::pair<TensorMemory*, u64>> committed;
    for (Block* member : blocks_of_group(w, op, op.small, l))
      committed.emplace_back(&member->tensor_memory(), member->tensor_memory().commit(author));
    if (w.stop) return;
    for_destinations(w, op, l, mask, [&](Block& target) {
      if (!target.find_mbarrier(w, op, place.offset, l)) return;
      PendingBulk arrival;
      arrival.mbarrier = place.offset;
      arrival.arrival = true;
      arrival.thread = thread;
      arrival.issuer = &op;
      arrival.issuing_block = &block;
      Block* owner = &target;
      Warp* warp = &w;
      const Op* issuer = &op;
      u32 offset = place.offset;
      arrival.land = [=] {
        auto found = owner->mbarriers.find(offset);
        if (found == owner->mbarriers.end()) return;
        u64 at = owner->window_base() + offset;
        if (found->second.pending == 0)
          return warp->fault(*issuer, FaultKind::mbarrier,
                             "the arrival of this commit is one more than the phase waits for", l, &at);
        found->second.clock.merge(clock);
        for (const auto& [tensor, sequence] : committed) tensor->complete(author, sequence);
      };
      target.pending.push_back(std::move(arrival));
    });
  });
}

void decode_commit(Decoder& d) {
  d.op.small = static_cast<uint8_t>(take_cta_group(d));
  if (!d.take("mbarrier::arrive::one")) return d.fail("the completion mechanism is not known");
  d.take("shared::cluster");
  bool multicast = d.take("multicast::cluster");
  d.take("b64");
  d.expect_operands(multicast ? 2 : 1, multicast ? 2 : 1);
  decode_address(d, 0);
  if (multicast) d.add_list(d.source(1, 16));
  d.op.run = run_commit;
}

void take_aligned(Decoder& d) {
  if (!d.take("sync") || !d.take("aligned")) d.fail("this instruction needs .sync.aligned");
}

void decode_tcgen05(Decoder& d) {
  if (d.take("ld")) return decode_tensor_load(d);
  if (d.take("st")) return decode_tensor_store(d);
  if (d.take("cp")) return decode_tensor_fill(d);
  if (d.take("shift")) return decode_tensor_shift(d);
  if (d.take("mma")) return decode_tensor_product(d);
  if (d.take("commit")) return decode_commit(d);
  // For the warp, whichever of its lanes make it.
  if (d.take("fence::before_thread_sync")) {
    d.op.run = [](Warp& w, const Op&) { w.block().races.fence_before_sync(w.who()); };
    return;
  }
  if (d.take("fence::after_thread_sync")) {
    d.op.run = [](Warp& w, const Op&) { w.block().races.fence_after_sync(w.who()); };
    return;
  }
  int wait = d.take_one_of({"wait::ld", "wait::st"});
  if (wait >= 0) {
    take_aligned(d);
    d.op.small = static_cast<uint8_t>(wait);
    d.op.run = [](Warp& w, const Op& op) {
      if (whole_warp(w, op))
        w.block().tensor_memory().finish_warp(w.index(), op.small ? TensorAccess::store : TensorAccess::load);
    };
    return;
  }
  int manage = d.take_one_of({"alloc", "dealloc", "relinquish_alloc_permit"});
  if (manage < 0) return d.fail("this tcgen05 operation is not known");
  d.op.small = static_cast<uint8_t>(take_cta_group(d));
  take_aligned(d);
  if (manage == 2) {
    d.op.run = run_relinquish;
    return;
  }
  if (manage == 0) d.take("shared::cta");
  d.take("b32");
  d.expect_operands(2, 2);
  if (manage == 0) {
    decode_address(d, 0);
    d.op.run = run_alloc;
  } else {
    d.add_list(d.source(0, 32));
    d.op.run = run_dealloc;
  }
  d.add_list(d.source(1, 32));
}

}  // namespace

void add_tensor_core_instructions(InstructionTable& table) { table["tcgen05"] = decode_tcgen05; }

}  // namespace rtjit::emu
