// cp.async with its groups, mbarriers, and bulk copies. Copies land as late as the program's own waits allow;
// until then their destination is marked as pending, and touching it is an error.
#include <algorithm>
#include <cstring>

#include "emulator/async_copy.h"
#include "emulator/memory_access.h"

namespace rtjit::emu {

bool mark_pending(Warp& w, const Op& op, uint8_t* shadow, u32 bytes, int lane, u64 address, Proxy proxy) {
  for (u32 i = 0; i < bytes; ++i) {
    if (shadow[i] <= kWritten) continue;
    u64 at = address + i;
    w.fault(op, shadow[i] == kMbarrier ? FaultKind::mbarrier : FaultKind::async_early,
            shadow[i] == kMbarrier ? "an mbarrier object is overwritten by an asynchronous copy"
                                   : "two asynchronous copies into the same memory are in flight",
            lane, &at);
    return false;
  }
  if (!(proxy == Proxy::async ? check_race<true, Proxy::async>(w, op, shadow, bytes, lane, lane)
                              : check_race<true>(w, op, shadow, bytes, lane, lane)))
    return false;
  std::memset(shadow, kPending, bytes);
  return true;
}

void copy_with_shadow(uint8_t* to, uint8_t* to_shadow, const uint8_t* from, const uint8_t* from_shadow,
                      u32 bytes) {
  std::memcpy(to, from, bytes);
  // Bytes nobody wrote stay so in the copy, and are reported when they are read.
  for (u32 i = 0; i < bytes; ++i) to_shadow[i] = from_shadow[i] == kWritten ? kWritten : kUnwritten;
}

u32 shared_offset(u64 address) { return static_cast<u32>(address & 0xffffffff); }

namespace {

using ptx::Operand;

// --- cp.async ---
// `arrival`: the warp's clock when it arrived at the mbarrier that completes the copy; 0: the warp waited.
void land_async(Warp& w, const Warp::AsyncCopy& copy, u32 arrival) {
  Block& block = w.block();
  // These copies go through the generic proxy. Only the lane that waited has the data; behind an mbarrier,
  // whoever waits on it has.
  if (block.launch().strictness.races) {
    if (arrival) {
      block.races.arrived(w.index(), arrival, copy.destination, copy.bytes, copy.line, false);
    } else {
      block.races.forget(copy.destination, copy.bytes);
      block.races.write(w.index(), copy.destination, copy.bytes, copy.line, copy.lane);
    }
  }
  uint8_t *to = block.shared(copy.destination), *shadow = block.shared_shadow(copy.destination);
  if (copy.source_bytes) {
    GlobalMemory& memory = *block.launch().memory;
    copy_with_shadow(to, shadow, memory.data(copy.source), memory.shadow(copy.source), copy.source_bytes);
  }
  std::memset(to + copy.source_bytes, 0, copy.bytes - copy.source_bytes);
  std::memset(shadow + copy.source_bytes, kWritten, copy.bytes - copy.source_bytes);
}

// Lands the copies of the lanes in exec whose group is at most committed - keep (all: every one).
void land_groups(Warp& w, u32 lanes, u32 keep, bool all) {
  std::vector<Warp::AsyncCopy>& copies = w.async_copies;
  size_t kept = 0;
  for (size_t i = 0; i < copies.size(); ++i) {
    const Warp::AsyncCopy& copy = copies[i];
    bool mine = lanes >> copy.lane & 1;
    if (mine && (all || copy.group + keep < w.async_groups[copy.lane]))
      land_async(w, copy, 0);
    else
      copies[kept++] = copy;
  }
  copies.resize(kept);
}

// a: destination, b: source; imm/list: offsets; mods 0-5: bytes; the list: source size or predicate
void run_cp_async(Warp& w, const Op& op) {
  u32 bytes = op.mods & 63;
  const u32* list = w.program().lists.data() + op.list;
  bool wide = op.mods & kWideBase, has_size = op.mods >> 8 & 1, has_predicate = op.mods >> 9 & 1;
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    u64 to = (wide ? w.reg<u64>(op.a)[l] : w.reg<u32>(op.a)[l]) + static_cast<u64>(static_cast<s32>(op.imm));
    u64 from = w.reg<u64>(op.b)[l] + static_cast<u64>(static_cast<s64>(op.imm) >> 32);
    u32 source_bytes = bytes;
    if (has_size) source_bytes = w.reg<u32>(list[0])[l];
    if (has_predicate && (w.pred(list[0]) >> l & 1)) source_bytes = 0;
    if (source_bytes > bytes)
      return w.fault(op, FaultKind::out_of_bounds,
                     fmt::format("cp.async source size {} is larger than {}", source_bytes, bytes), l);
    u64 address = kSharedWindow + shared_offset(to);
    uint8_t* shadow = nullptr;
    if (!w.locate_generic(op, address, l, bytes, bytes, Access::write, &shadow)) return;
    if (!mark_pending(w, op, shadow, bytes, l, address, Proxy::generic)) return;
    if (source_bytes) {
      uint8_t* source_shadow = nullptr;
      if (!w.locate_generic(op, from, l, source_bytes, bytes, Access::read, &source_shadow)) return;
      if (!check_blocks_read(w, op, from, source_bytes, l, Path::ordinary)) return;
    }
    w.async_copies.push_back(
        {from, shared_offset(to), bytes, source_bytes, w.async_groups[l], op.line, static_cast<uint8_t>(l)});
  });
}

void decode_cp_async(Decoder& d) {
  if (d.take("commit_group")) {
    d.op.run = [](Warp& w, const Op&) { each_lane(w.exec, [&](int l) { ++w.async_groups[l]; }); };
    return;
  }
  if (d.take("wait_all")) {
    d.op.run = [](Warp& w, const Op&) { land_groups(w, w.exec, 0, true); };
    return;
  }
  if (d.take("wait_group")) {
    auto keep = d.immediate(0);
    if (!keep) return d.fail("wait_group needs a constant");
    d.op.imm = static_cast<u64>(*keep);
    d.op.run = [](Warp& w, const Op& op) { land_groups(w, w.exec, static_cast<u32>(op.imm), false); };
    return;
  }
  if (d.take("mbarrier")) {
    if (!d.take("arrive")) return d.fail("this form is not known");
    d.op.small = d.take("noinc");
    d.take_one_of({"shared", "shared::cta"});
    d.take("b64");
    decode_address(d, 0);
    d.op.run = [](Warp& w, const Op& op) {
      each_lane(w.exec, [&](int l) {
        if (w.stop) return;
        u32 address = shared_offset(lane_address(w, op, l));
        Mbarrier* barrier = w.block().find_mbarrier(w, op, address, l);
        if (!barrier) return;
        u32 time = w.block().races.time(w.index());
        w.block().races.release(w.index(), &barrier->clock);
        if (!op.small) ++barrier->pending;
        // The arrival happens when all copies of this lane that were issued so far have landed.
        std::vector<Warp::AsyncCopy> mine;
        std::vector<Warp::AsyncCopy>& copies = w.async_copies;
        auto split =
            std::stable_partition(copies.begin(), copies.end(), [&](const auto& c) { return c.lane != l; });
        mine.assign(split, copies.end());
        copies.erase(split, copies.end());
        PendingBulk pending;
        pending.mbarrier = address;
        pending.arrival = true;
        Warp* warp = &w;
        pending.land = [warp, mine, time] {
          for (const Warp::AsyncCopy& copy : mine) land_async(*warp, copy, time);
        };
        w.block().pending.push_back(std::move(pending));
      });
    };
    return;
  }
  if (d.take("bulk")) return decode_bulk_copy(d);
  bool all_levels = d.take("ca");
  if (!all_levels && !d.take("cg")) return d.fail("cp.async needs .ca or .cg");
  if (!d.take("shared") && !d.take("shared::cta")) return d.fail("the destination must be shared memory");
  if (!d.take("global")) return d.fail("the source must be global memory");
  bool policy = d.has_modifier("L2::cache_hint");
  d.take_cache_hints();
  d.expect_operands(3, policy ? 5 : 4);
  Decoder::Address to = d.address(0), from = d.address(1);
  auto bytes = d.immediate(2);
  if (!bytes || (*bytes != 4 && *bytes != 8 && *bytes != 16) || (!all_levels && *bytes != 16))
    return d.fail("cp.async copies 4, 8 or 16 bytes (.cg: 16)");
  if (!from.wide) return d.fail("the source address needs 64 bits");
  d.op.a = to.slot;
  d.op.b = from.slot;
  d.op.mods = static_cast<u32>(*bytes) | (to.wide ? kWideBase : 0);
  d.op.imm = (static_cast<u64>(from.offset) << 32) | static_cast<u32>(to.offset);
  if (d.operand_count() > 3 && !(policy && d.operand_count() == 4)) {
    if (d.register_width(d.operand(3)) == 1) {
      d.add_list(d.predicate_source(d.operand(3), nullptr));
      d.op.mods |= 1 << 9;
    } else {
      d.add_list(d.source(3, 32));
      d.op.mods |= 1 << 8;
    }
  }
  d.op.run = run_cp_async;
}

// --- mbarrier ---
enum class Action : u32 { init, inval, expect_tx, complete_tx, arrive, arrive_drop, arrive_expect };

void arrive(Warp& w, const Op& op, Mbarrier& barrier, u32 count, bool drop, int lane, u64 address) {
  if (count > barrier.pending) {
    return w.fault(op, FaultKind::mbarrier,
                   fmt::format("{} arrivals, but the phase waits for only {} more of {}", count,
                               barrier.pending, barrier.expected),
                   lane, &address);
  }
  w.block().races.release(w.index(), &barrier.clock);
  barrier.pending -= count;
  if (drop) barrier.expected -= count;
  w.block().note_progress();
  w.block().complete_phase_if_done(barrier);
}

// False after a fault.
bool check_transactions(Warp& w, const Op& op, const Mbarrier& barrier, int lane, u64 address) {
  constexpr int64_t kMost = (1 << 20) - 1;
  if (barrier.transactions <= kMost && barrier.transactions >= -kMost) return true;
  w.fault(
      op, FaultKind::mbarrier,
      fmt::format("{} B are expected in one phase, an mbarrier counts up to {}", barrier.transactions, kMost),
      lane, &address);
  return false;
}

// The list: count or transaction bytes, when given.
void run_mbarrier(Warp& w, const Op& op) {
  auto action = static_cast<Action>(op.mods & 15);
  const u32* list = w.program().lists.data() + op.list;
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    Block& block = w.block();
    u32 address = shared_offset(lane_address(w, op, l));
    u64 generic = kSharedWindow + address;
    u32 operand = op.list_size ? w.reg<u32>(list[0])[l] : 1;
    if (action == Action::init) {
      uint8_t* shadow = nullptr;
      if (!w.locate_generic(op, generic, l, 8, 8, Access::write, &shadow)) return;
      if (block.mbarriers.count(address))
        return w.fault(op, FaultKind::mbarrier,
                       "an mbarrier object is already here; it needs mbarrier.inval first", l, &generic);
      if (operand == 0 || operand > 0xfffff)
        return w.fault(op, FaultKind::mbarrier,
                       fmt::format("count {} is out of range (1 to 1,048,575)", operand), l, &generic);
      std::memset(shadow, kMbarrier, 8);
      block.mbarriers[address] = {operand, operand, 0, 0};
      return;
    }
    Mbarrier* barrier = block.find_mbarrier(w, op, address, l);
    if (!barrier) return;
    u64 phase = barrier->phase;
    switch (action) {
      case Action::inval:
        block.mbarriers.erase(address);
        std::memset(block.shared_shadow(address), kUnwritten, 8);
        return;
      case Action::expect_tx:
        barrier->transactions += operand;
        check_transactions(w, op, *barrier, l, generic);
        return;
      case Action::complete_tx:
        barrier->transactions -= operand;
        block.complete_phase_if_done(*barrier);
        return;
      case Action::arrive_expect:
        barrier->transactions += operand;
        if (!check_transactions(w, op, *barrier, l, generic)) return;
        arrive(w, op, *barrier, 1, false, l, generic);
        break;
      case Action::arrive:
        arrive(w, op, *barrier, operand, false, l, generic);
        break;
      case Action::arrive_drop:
        arrive(w, op, *barrier, operand, true, l, generic);
        break;
      default:
        break;
    }
    if (op.d != kNone) w.reg<u64>(op.d)[l] = phase;
  });
}

// mods: 0 parity form, 1 try. a: address; the list: state or parity
void run_wait(Warp& w, const Op& op) {
  bool parity = op.small & 1;
  u32 done = 0;
  Block& block = w.block();
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    u32 address = shared_offset(lane_address(w, op, l));
    Mbarrier* barrier = block.find_mbarrier(w, op, address, l);
    if (!barrier) return;
    u32 slot = w.program().lists[op.list];
    if (u64 state = parity ? barrier->phase : w.reg<u64>(slot)[l];
        state != barrier->phase && state + 1 != barrier->phase) {
      u64 at = address;
      return w.fault(
          op, FaultKind::mbarrier,
          fmt::format("phase error: the state is of phase {}, the mbarrier is in phase {}; only the "
                      "current and the one before may be waited for",
                      state, barrier->phase),
          l, &at);
    }
    auto waits = [&] {
      return parity ? (barrier->phase & 1) == (w.reg<u32>(slot)[l] & 1)
                    : barrier->phase == w.reg<u64>(slot)[l];
    };
    if (waits()) block.land_for(address, *barrier);
    bool passed = !waits();
    if (passed) block.races.acquire(w.index(), barrier->clock);
    done |= u32(passed) << l;
  });
  if (w.stop) return;
  if (done) {
    block.note_progress();
  } else {
    ++block.failed_waits;
    w.stop = true;  // others must run before it can come true
  }
  w.write_pred(op.d, done);
}

void decode_mbarrier(Decoder& d) {
  auto take_scope = [&] {
    while (d.take_one_of({"release", "acquire", "relaxed", "cta", "cluster", "shared", "shared::cta",
                          "shared::cluster"}) >= 0) {
    }
  };
  if (d.take("pending_count")) return d.fail("mbarrier.pending_count is not supported");
  int wait = d.take_one_of({"test_wait", "try_wait"});
  if (wait >= 0) {
    bool parity = d.take("parity");
    take_scope();
    d.take("b64");
    d.expect_operands(3, 4);
    d.op.d = d.predicate_destination(d.operand(0));
    decode_address(d, 1);
    d.add_list(d.source(2, parity ? 32 : 64));
    if (d.operand_count() == 4) d.source(3, 32);  // the time limit
    d.op.small = parity;
    d.op.run = run_wait;
    return;
  }
  int name = d.take_one_of({"init", "inval", "expect_tx", "complete_tx", "arrive", "arrive_drop"});
  if (name < 0) return d.fail("this mbarrier operation is not known");
  auto action = static_cast<Action>(name);
  if (d.take("noComplete")) return d.fail(".noComplete is not supported");
  if (d.take("expect_tx")) {
    if (action != Action::arrive) return d.fail("arrive_drop.expect_tx is not supported");
    action = Action::arrive_expect;
  }
  take_scope();
  d.take("b64");
  d.op.mods = static_cast<u32>(action);
  bool has_result =
      action == Action::arrive || action == Action::arrive_drop || action == Action::arrive_expect;
  // The state may be left out when the barrier is another block's.
  bool state = has_result && d.operand_count() > 0 && d.operand(0).kind != Operand::Kind::address;
  size_t next = state ? 1 : 0;
  if (state) d.op.d = d.destination(0, 64);
  decode_address(d, next++);
  if (next < d.operand_count())
    d.add_list(d.source(next, 32));
  else if (action == Action::init || action == Action::expect_tx || action == Action::complete_tx ||
           action == Action::arrive_expect)
    d.fail("a count is missing");
  d.op.run = run_mbarrier;
}

}  // namespace

void add_async_instructions(InstructionTable& table) {
  table["mbarrier"] = decode_mbarrier;
  table["cp"] = [](Decoder& d) {
    if (d.take("async")) return decode_cp_async(d);
    if (d.take("reduce") && d.take("async") && d.take("bulk")) return decode_bulk_copy(d);
    d.fail("this form of cp is not known");
  };
}

}  // namespace rtjit::emu
