// Flow of control: bra brx exit ret trap call, and instructions that order or hint but compute nothing.
#include "emulator/block.h"
#include "emulator/lane_ops.h"

namespace rtjit::emu {
namespace {

using ptx::Operand;

void run_nothing(Warp&, const Op&) {}

void decode_bra(Decoder& d) {
  bool uniform = d.take("uni");
  d.expect_operands(1, 1);
  d.op.target = d.jump(d.operand(0));
  d.ends_path();
  d.op.run = uniform ? Handler([](Warp& w, const Op& op) {
    if (w.exec != w.active)
      return w.fault(op, FaultKind::barrier,
                     "bra.uni promises that all active threads jump, but they differ");
    w.next_pc = op.target;
  })
                     : Handler([](Warp& w, const Op& op) { w.branch(w.exec, op); });
}

void decode_brx(Decoder& d) {
  bool uniform = d.take("idx.uni") || (d.take("idx") && d.take("uni"));
  (void)uniform;
  d.expect_operands(2, 2);
  d.op.a = d.source(0, 32);
  d.op.imm = d.add_branch_table(d.jump_table(d.operand(1)));
  d.ends_path();
  d.op.run = [](Warp& w, const Op& op) {
    const std::vector<uint32_t>& table = w.program().branch_tables[op.imm];
    const u32* index = w.reg<u32>(op.a);
    uint32_t targets[32] = {};
    bool ok = true;
    each_lane(w.exec, [&](int l) {
      if (index[l] >= table.size()) {
        if (ok)
          w.fault(op, FaultKind::trap,
                  fmt::format("branch index {} of a table of {}", index[l], table.size()), l);
        ok = false;
      } else {
        targets[l] = table[index[l]];
      }
    });
    if (ok) w.branch_many(targets, op);
  };
}

void decode_exit(Decoder& d) {
  d.take("uni");
  d.expect_operands(0, 0);
  d.ends_path();
  d.op.run = [](Warp& w, const Op&) { w.exit_lanes(w.exec); };
}

void decode_trap(Decoder& d) {
  d.ends_path();
  d.op.run = [](Warp& w, const Op& op) { w.fault(op, FaultKind::trap, "the kernel executed a trap"); };
}

// Calls of functions without a body. printf's text is not shown; it reports that nothing was printed (0).
void decode_call(Decoder& d) {
  d.skip_modifiers();
  size_t name_index = d.operand(0).kind == Operand::Kind::vector ? 1 : 0;
  const std::string& name = d.operand(name_index).name;
  if (name == "__assertfail" || name == "__assert_fail") {
    d.op.run = [](Warp& w, const Op& op) {
      w.fault(op, FaultKind::trap, "an assertion in the kernel failed");
    };
    return;
  }
  if (name != "vprintf") return d.fail(fmt::format("function '{}' has no body in this module", name));
  if (name_index == 1 && !d.operand(0).elements.empty()) {
    std::optional<SymbolAddress> result = d.symbol(d.operand(0).elements[0].name);
    if (!result) return d.fail("the result of vprintf has no address");
    d.op.imm = result->address;
  }
  d.op.run = [](Warp& w, const Op& op) {
    each_lane(w.exec, [&](int l) {
      std::memset(w.block().local(w.thread_index(l), op.imm), 0, 4);
      std::memset(w.block().local_shadow(w.thread_index(l), op.imm), kWritten, 4);
    });
  };
}

// Memory of the emulated device is sequentially consistent between instructions, so fences have nothing to
// do.
void decode_no_effect(Decoder& d) {
  d.skip_modifiers();
  d.op.run = run_nothing;
}

// A fence orders what its warp did before others' later fences and strong accesses. A proxy fence lets the
// asynchronous proxy see it; .global says that shared memory is not meant.
void decode_fence(Decoder& d) {
  bool async = d.has_modifier("async"), global = d.has_modifier("global");
  for (std::string_view part : d.in().parts) async = async || part.starts_with("async::generic");
  bool proxy = d.has_modifier("proxy") || d.has_modifier("mbarrier_init");
  d.skip_modifiers();
  d.op.small = global;
  if (async)
    d.op.run = [](Warp& w, const Op& op) {
      w.block().launch().async_fenced.store(true, std::memory_order_relaxed);
      if (!op.small) w.block().races.fence_async_proxy(w.who());
    };
  else if (proxy)
    d.op.run = run_nothing;
  else
    d.op.run = [](Warp& w, const Op&) {
      w.block().races.synchronise(w.who());
      w.block().met_others = true;
    };
}

void decode_nanosleep(Decoder& d) {
  d.take_type();
  d.op.a = d.source(0, 32);
  d.op.run = [](Warp& w, const Op&) { w.stop = true; };  // others may run
}

void decode_griddepcontrol(Decoder& d) {
  if (!d.take("wait") && !d.take("launch_dependents"))
    return d.fail("griddepcontrol needs .wait or .launch_dependents");
  d.op.run = run_nothing;  // launches run one after the other
}

// A cache policy is opaque and has no effect here.
void decode_createpolicy(Decoder& d) {
  const int form = d.take_one_of({"fractional", "range", "cvt"});
  if (form < 0) return d.fail("createpolicy needs .fractional, .range or .cvt");
  const size_t least[] = {1, 4, 2}, most[] = {2, 4, 2};
  d.skip_modifiers();
  d.expect_operands(least[form], most[form]);
  d.op.d = d.destination(0, 64);
  d.op.run = [](Warp& w, const Op& op) { for_lanes(w, w.reg<u64>(op.d), [](int) { return u64(0); }); };
}

}  // namespace

void add_control_instructions(InstructionTable& table) {
  table["bra"] = decode_bra;
  table["brx"] = decode_brx;
  table["exit"] = table["ret"] = decode_exit;
  table["trap"] = table["brkpt"] = decode_trap;
  table["call"] = decode_call;
  table["membar"] = table["fence"] = decode_fence;
  table["prefetch"] = table["prefetchu"] = table["setmaxnreg"] = table["pmevent"] = decode_no_effect;
  table["discard"] = table["applypriority"] = decode_no_effect;
  table["createpolicy"] = decode_createpolicy;
  table["nanosleep"] = decode_nanosleep;
  table["griddepcontrol"] = decode_griddepcontrol;
}

}  // namespace rtjit::emu
