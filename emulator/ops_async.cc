// cp.async with its groups, mbarriers, and bulk copies. Copies land as late as the program's own waits allow;
// until then their destination is marked as pending, and touching it is an error.
#include <algorithm>
#include <cstring>

#include "emulator/async_copy.h"
#include "emulator/memory_access.h"

namespace rtjit::emu {

bool mark_pending(Warp& w, const Op& op, const SharedPlace& place, u32 bytes, int lane, Proxy proxy) {
  uint8_t* shadow = place.shadow();
  for (u32 i = 0; i < bytes; ++i) {
    if (shadow[i] <= kWritten) continue;
    u64 at = kSharedWindow + place.address() + i;
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

void note_issuer(Warp& w, PendingBulk* copy) {
  copy->who = w.who();
  copy->time = w.block().races.clock_of(w.who());
}

void note_arrival(const SharedPlace& place, u32 bytes, u32 who, u32 time, int32_t line) {
  place.block->races.arrived(who, time, place.block->shared_start() + place.offset, bytes, line, true);
}

void note_reduction(const SharedPlace& place, u32 bytes) {
  place.block->races.forget(place.block->shared_start() + place.offset, bytes);
}

void copy_with_shadow(uint8_t* to, uint8_t* to_shadow, const uint8_t* from, const uint8_t* from_shadow,
                      u32 bytes) {
  std::memcpy(to, from, bytes);
  // Bytes nobody wrote stay so in the copy, and are reported when they are read.
  for (u32 i = 0; i < bytes; ++i) to_shadow[i] = from_shadow[i] == kWritten ? kWritten : kUnwritten;
}

std::string who_raced(Block& block, const RaceDetector::Conflict& conflict) {
  const RaceDetector& races = block.races;
  u32 who = conflict.other_who, rank = races.rank_of(who);
  std::string name =
      races.is_agent(who) ? "an asynchronous tcgen05 operation" : fmt::format("warp {}", races.warp_of(who));
  if (rank == block.rank()) return name;
  const auto& i = block.cluster().block(rank).index();
  return fmt::format("{} of block ({},{},{})", name, i[0], i[1], i[2]);
}

SharedPlace shared_place_anywhere(Warp& w, const Op& op, u32 at, int lane, u32 bytes, u32 align, bool own) {
  u64 generic = kSharedWindow + at;
  if (at & (align - 1)) {
    w.fault(op, FaultKind::misaligned,
            fmt::format("an access of {} B needs an address that is a multiple of {}", bytes, align), lane,
            &generic);
    return {};
  }
  Block* owner = w.shared_owner(op, at, lane, own);
  if (!owner) return {};
  u32 offset = at - owner->window_base();
  if (u64(offset) + bytes > owner->shared_bytes()) {
    w.fault(op, FaultKind::out_of_bounds,
            fmt::format("{} B at offset {} of {} B of shared memory", bytes, offset, owner->shared_bytes()),
            lane, &generic);
    return {};
  }
  return {owner, offset};
}

namespace {

using ptx::Operand;

// --- cp.async ---
// `arrival`: the warp's clock when it arrived at the mbarrier that completes the copy; 0: the warp waited.
void land_async(Warp& w, const Warp::AsyncCopy& copy, u32 arrival) {
  Block& block = w.block();
  // These copies go through the generic proxy. Only the lane that waited has the data; behind an mbarrier,
  // whoever waits on it has.
  if (block.launch().strictness.races) {
    u32 place = block.shared_start() + copy.destination;
    if (arrival) {
      block.races.arrived(w.who(), arrival, place, copy.bytes, copy.line, false);
    } else {
      block.races.forget(place, copy.bytes);
      block.races.write(w.who(), place, copy.bytes, copy.line, copy.lane);
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
    SharedPlace place = shared_place(w, op, to, l, bytes, bytes, true);
    if (!place.block || !mark_pending(w, op, place, bytes, l, Proxy::generic)) return;
    if (source_bytes) {
      uint8_t* source_shadow = nullptr;
      if (!w.locate_generic(op, from, l, source_bytes, bytes, Access::read, &source_shadow)) return;
      if (!check_blocks_read(w, op, from, source_bytes, l, Path::ordinary)) return;
    }
    w.async_copies.push_back(
        {from, place.offset, bytes, source_bytes, w.async_groups[l], op.line, static_cast<uint8_t>(l)});
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
        SharedPlace place = shared_place(w, op, lane_address(w, op, l), l, 8, 8, true);
        Mbarrier* barrier = place.block ? place.block->find_mbarrier(w, op, place.offset, l) : nullptr;
        if (!barrier) return;
        u32 time = w.block().races.clock_of(w.who());
        w.block().races.release(w.who(), &barrier->clock);
        if (!op.small) ++barrier->pending;
        // The arrival happens when all copies of this lane that were issued so far have landed.
        std::vector<Warp::AsyncCopy> mine;
        std::vector<Warp::AsyncCopy>& copies = w.async_copies;
        auto split =
            std::stable_partition(copies.begin(), copies.end(), [&](const auto& c) { return c.lane != l; });
        mine.assign(split, copies.end());
        copies.erase(split, copies.end());
        PendingBulk pending;
        pending.mbarrier = place.offset;
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
enum class Action : u32 {
  init,
  inval,
  expect_tx,
  complete_tx,
  arrive,
  arrive_drop,
  arrive_expect,
  drop_expect
};
constexpr u32 kNoComplete = 1 << 4;  // in mods: the arrival must not be the phase's last

// The state that arrivals return: the phase, and the arrivals that it still waited for (at most 2^20 - 1).
constexpr int kPendingBits = 20;
u64 state_of(const Mbarrier& barrier) { return barrier.phase << kPendingBits | barrier.pending; }

void arrive(Warp& w, const Op& op, Block& owner, Mbarrier& barrier, u32 count, bool drop, int lane,
            u64 address) {
  if (count > barrier.pending) {
    return w.fault(op, FaultKind::mbarrier,
                   fmt::format("{} arrivals, but the phase waits for only {} more of {}", count,
                               barrier.pending, barrier.expected),
                   lane, &address);
  }
  w.block().races.release(w.who(), &barrier.clock);
  if ((op.mods & kNoComplete) && count == barrier.pending)
    return w.fault(op, FaultKind::mbarrier,
                   fmt::format("{} arrivals with .noComplete are the last that the phase waits for", count),
                   lane, &address);
  barrier.pending -= count;
  if (drop) barrier.expected -= count;
  owner.note_progress();
  owner.complete_phase_if_done(barrier);
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

// The list: count or transaction bytes, when given. small: the mbarrier may be another block's
void run_mbarrier(Warp& w, const Op& op) {
  auto action = static_cast<Action>(op.mods & 15);
  const u32* list = w.program().lists.data() + op.list;
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    SharedPlace place = shared_place(w, op, lane_address(w, op, l), l, 8, 8, !op.small);
    if (!place.block) return;
    Block& block = *place.block;
    u64 generic = kSharedWindow + place.address();
    u32 operand = op.list_size ? w.reg<u32>(list[0])[l] : 1;
    if (action == Action::init) {
      if (block.mbarriers.count(place.offset))
        return w.fault(op, FaultKind::mbarrier,
                       "an mbarrier object is already here; it needs mbarrier.inval first", l, &generic);
      if (operand == 0 || operand > 0xfffff)
        return w.fault(op, FaultKind::mbarrier,
                       fmt::format("count {} is out of range (1 to 1,048,575)", operand), l, &generic);
      std::memset(place.shadow(), kMbarrier, 8);
      block.mbarriers[place.offset] = {operand, operand, 0, 0, {}};
      return;
    }
    Mbarrier* barrier = block.find_mbarrier(w, op, place.offset, l);
    if (!barrier) return;
    if (&block != &w.block()) block.note_remote_use(w, op);
    u64 state = state_of(*barrier);
    switch (action) {
      case Action::inval:
        block.mbarriers.erase(place.offset);
        std::memset(place.shadow(), kUnwritten, 8);
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
      case Action::drop_expect:
        barrier->transactions += operand;
        if (!check_transactions(w, op, *barrier, l, generic)) return;
        arrive(w, op, block, *barrier, 1, action == Action::drop_expect, l, generic);
        break;
      case Action::arrive:
        arrive(w, op, block, *barrier, operand, false, l, generic);
        break;
      case Action::arrive_drop:
        arrive(w, op, block, *barrier, operand, true, l, generic);
        break;
      default:
        break;
    }
    if (op.d != kNone) w.reg<u64>(op.d)[l] = state;
  });
}

// mods: 0 parity form, 1 try. a: address; the list: state or parity
void run_wait(Warp& w, const Op& op) {
  bool parity = op.small & 1;
  u32 done = 0;
  Block& block = w.block();
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    SharedPlace place = shared_place(w, op, lane_address(w, op, l), l, 8, 8, true);
    Mbarrier* barrier = place.block ? block.find_mbarrier(w, op, place.offset, l) : nullptr;
    if (!barrier) return;
    u32 slot = w.program().lists[op.list];
    if (u64 state = parity ? barrier->phase : w.reg<u64>(slot)[l] >> kPendingBits;
        state != barrier->phase && state + 1 != barrier->phase) {
      u64 at = kSharedWindow + place.address();
      return w.fault(
          op, FaultKind::mbarrier,
          fmt::format("phase error: the state is of phase {}, the mbarrier is in phase {}; only the "
                      "current and the one before may be waited for",
                      state, barrier->phase),
          l, &at);
    }
    auto waits = [&] {
      return parity ? (barrier->phase & 1) == (w.reg<u32>(slot)[l] & 1)
                    : barrier->phase == w.reg<u64>(slot)[l] >> kPendingBits;
    };
    if (waits()) block.land_for(place.offset, *barrier);
    bool passed = !waits();
    if (passed) block.races.acquire(w.who(), barrier->clock);
    done |= u32(passed) << l;
  });
  if (w.stop) return;
  if (done) {
    block.note_progress();
    block.met_cluster = true;
  } else {
    ++block.failed_waits;
    w.stop = true;  // others must run before it can come true
  }
  w.write_pred(op.d, done);
}

void decode_mbarrier(Decoder& d) {
  bool cluster = false;
  auto take_scope = [&] {
    while (true) {
      if (d.take("shared::cluster"))
        cluster = true;
      else if (d.take_one_of({"release", "acquire", "relaxed", "cta", "cluster", "shared", "shared::cta"}) <
               0)
        return;
    }
  };
  if (d.take("pending_count")) {
    d.take("b64");
    d.expect_operands(2, 2);
    d.op.d = d.destination(0, 32);
    d.op.a = d.source(1, 64);
    d.op.run = [](Warp& w, const Op& op) {
      const u64* state = w.reg<u64>(op.a);
      for_lanes(w, w.reg<u32>(op.d),
                [=](int l) { return static_cast<u32>(state[l] & ((1u << kPendingBits) - 1)); });
    };
    return;
  }
  int wait = d.take_one_of({"test_wait", "try_wait"});
  if (wait >= 0) {
    bool parity = d.take("parity");
    take_scope();
    if (cluster) return d.fail("the mbarrier of another block cannot be waited for");
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
  bool arrives = action == Action::arrive || action == Action::arrive_drop;
  if (arrives && d.take("expect_tx"))
    action = action == Action::arrive ? Action::arrive_expect : Action::drop_expect;
  u32 no_complete = arrives && d.take("noComplete") ? kNoComplete : 0;
  take_scope();
  d.take("b64");
  if (cluster && (action == Action::init || action == Action::inval))
    return d.fail("an mbarrier is initialised and invalidated by its own block");
  d.op.small = cluster;
  d.op.mods = static_cast<u32>(action) | no_complete;
  // The state may be left out when the barrier is another block's.
  bool state = arrives && d.operand_count() > 0 && d.operand(0).kind != Operand::Kind::address;
  size_t next = state ? 1 : 0;
  if (state) d.op.d = d.destination(0, 64);
  if (cluster && d.op.d != kNone) return d.fail("the state of another block's mbarrier cannot be returned");
  decode_address(d, next++);
  if (next < d.operand_count())
    d.add_list(d.source(next, 32));
  else if (action == Action::init || action == Action::expect_tx || action == Action::complete_tx ||
           action == Action::arrive_expect || action == Action::drop_expect || no_complete)
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
