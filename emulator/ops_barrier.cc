// bar and barrier: sync, arrive, red, warp.sync; barrier.cluster for clusters of one block.
#include "emulator/block.h"
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

void decode_barrier(Decoder& d) {
  if (d.take("cluster")) {
    d.skip_modifiers();
    d.op.run = [](Warp& w, const Op& op) {
      const auto& c = w.block().launch().cluster;
      if (c[0] * c[1] * c[2] > 1)
        w.fault(op, FaultKind::unsupported, "clusters of more than one block are not emulated yet");
    };
    return;
  }
  if (d.take("warp")) {
    d.take("sync");
    d.op.a = d.source(0, 32);
    d.op.run = [](Warp& w, const Op& op) {
      if (check_members(w, op, w.reg<u32>(op.a))) w.block().races.order_lanes(w.index());
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
