// bar and barrier: sync, arrive, red, warp.sync; barrier.cluster.
#include <bit>

#include "emulator/cluster.h"
#include "emulator/lane_ops.h"
#include "emulator/ops_warp.h"

namespace rtjit::emu {

// mods: 0-1 reduction (0 popc, 1 and, 2 or)
void finish_barrier_reduction(Warp& warp, const Op& op, uint32_t popc, uint32_t all, uint32_t any) {
  warp.exec = warp.valid & ~warp.exited;
  if (op.mods == 0)
    for_lanes(warp, warp.reg<u32>(op.d), [=](int) { return popc; });
  else
    warp.write_pred(op.d, (op.mods == 1 ? all : any) ? ~0u : 0u);
}

namespace {

using ptx::Operand;

u32 uniform(Warp& w, u32 slot) { return slot == kNone ? 0 : w.reg<u32>(slot)[std::countr_zero(w.exec)]; }

void run_sync(Warp& w, const Op& op) { w.block().barrier(w, op, uniform(w, op.a), uniform(w, op.b), true); }
void run_arrive(Warp& w, const Op& op) {
  w.block().barrier(w, op, uniform(w, op.a), uniform(w, op.b), false);
}
void run_reduce(Warp& w, const Op& op) {
  u32 bits = op.small ? ~w.pred(op.c) : w.pred(op.c);
  w.block().barrier_reduce(w, op, uniform(w, op.a), uniform(w, op.b), bits);
}

// small: 1 acquires or releases (not .relaxed), 2 .aligned
void run_cluster(Warp& w, const Op& op, bool wait) {
  u32 alive = w.valid & ~w.exited;
  if ((op.small & 2) && w.exec != alive)
    return w.fault(op, FaultKind::barrier,
                   fmt::format("{} of the warp's {} live threads reached this .aligned barrier.cluster",
                               std::popcount(w.exec), std::popcount(alive)));
  if (wait)
    w.block().cluster().wait(w, op, op.small & 1);
  else
    w.block().cluster().arrive(w, op, op.small & 1);
}

void decode_cluster_barrier(Decoder& d) {
  int form = d.take_one_of({"arrive", "wait"});
  if (form < 0) return d.fail("barrier.cluster needs .arrive or .wait");
  bool relaxed = form == 0 && d.take("relaxed");
  if (!relaxed) d.take(form == 0 ? "release" : "acquire");
  d.op.small = static_cast<uint8_t>(u32(!relaxed) | u32(d.take("aligned")) << 1);
  d.expect_operands(0, 0);
  d.op.run = form == 0 ? Handler([](Warp& w, const Op& op) { run_cluster(w, op, false); })
                       : Handler([](Warp& w, const Op& op) { run_cluster(w, op, true); });
}

void decode_barrier(Decoder& d) {
  if (d.take("cluster")) {
    return decode_cluster_barrier(d);
  }
  if (d.take("warp")) {
    d.take("sync");
    d.op.a = d.source(0, 32);
    d.op.run = [](Warp& w, const Op& op) {
      if (check_members(w, op, w.reg<u32>(op.a))) w.block().races.order_lanes(w.who());
    };
    return;
  }
  d.take("cta");
  int form = d.take_one_of({"sync", "arrive", "red"});
  int reduction = form == 2 ? d.take_one_of({"popc", "and", "or"}) : -1;
  d.take("aligned");
  if (form == 2) d.take_type();
  if (form < 0) return d.fail("this barrier form is not known");
  size_t first = form == 2 ? 1 : 0;
  size_t last = d.operand_count() - (form == 2 ? 1 : 0);
  if (first >= last) return d.fail("the barrier's number is missing");
  d.op.a = d.source(first, 32);
  if (first + 1 < last) d.op.b = d.source(first + 1, 32);
  if (form == 2) {
    bool negated = false;
    d.op.c = d.predicate_source(d.operand(last), &negated);
    d.op.small = negated;
    d.op.mods = static_cast<u32>(reduction);
    d.op.d = reduction == 0 ? d.destination(0, 32) : d.predicate_destination(d.operand(0));
  }
  d.op.run = form == 0 ? run_sync : form == 1 ? run_arrive : run_reduce;
}

}  // namespace

void add_barrier_instructions(InstructionTable& table) { table["bar"] = table["barrier"] = decode_barrier; }

}  // namespace rtjit::emu
