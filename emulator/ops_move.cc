// mov (including packing and unpacking), cvta, isspacep, mapa, getctarank, clocks.
#include <chrono>

#include "emulator/cluster.h"
#include "emulator/lane_ops.h"

namespace rtjit::emu {
namespace {

using Kind = Type::Kind;
using ptx::Operand;

// mov.b64 {a,b}, c and back: `mods` = bits of one element, the list holds the elements, low first.
void run_pack(Warp& w, const Op& op) {
  const u32* list = w.program().lists.data() + op.list;
  u32 bits = op.mods, count = op.list_size;
  each_lane(w.exec, [&](int l) {
    u64 value = 0;
    for (u32 i = 0; i < count; ++i) {
      u64 element = bits == 32 || bits < 32 ? w.reg<u32>(list[i])[l] : w.reg<u64>(list[i])[l];
      value |= element << (bits * i);
    }
    if (op.small == 64)
      w.reg<u64>(op.d)[l] = value;
    else
      w.reg<u32>(op.d)[l] = static_cast<u32>(value);
  });
}
void run_unpack(Warp& w, const Op& op) {
  const u32* list = w.program().lists.data() + op.list;
  u32 bits = op.mods, count = op.list_size;
  each_lane(w.exec, [&](int l) {
    u64 value = op.small == 64 ? w.reg<u64>(op.a)[l] : w.reg<u32>(op.a)[l];
    for (u32 i = 0; i < count; ++i) {
      if (list[i] == kNone) continue;
      w.reg<u32>(list[i])[l] =
          static_cast<u32>(value >> (bits * i) & (bits == 32 ? 0xffffffffu : (1u << bits) - 1));
    }
  });
}
void run_pack_2x32(Warp& w, const Op& op) {
  const u32 *low = w.reg<u32>(op.a), *high = w.reg<u32>(op.b);
  for_lanes(w, w.reg<u64>(op.d), [=](int l) { return static_cast<u64>(high[l]) << 32 | low[l]; });
}
void run_pack_2x16(Warp& w, const Op& op) {
  const u32 *low = w.reg<u32>(op.a), *high = w.reg<u32>(op.b);
  for_lanes(w, w.reg<u32>(op.d), [=](int l) { return high[l] << 16 | (low[l] & 0xffff); });
}

u64 read_clock(int which) {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  (void)which;
  return static_cast<u64>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

void decode_mov(Decoder& d) {
  Type type = d.take_type();
  d.expect_operands(2, 2);
  const Operand &to = d.operand(0), &from = d.operand(1);
  if (from.kind == Operand::Kind::special &&
      (from.name == "%clock" || from.name == "%clock64" || from.name == "%clock_hi" ||
       from.name == "%globaltimer" || from.name == "%globaltimer_lo" || from.name == "%globaltimer_hi")) {
    // Clocks count nanoseconds of the host; programs may only rely on their growing.
    d.op.d = d.destination(0, type.bits);
    d.op.mods = from.name.ends_with("_hi");
    d.op.run = type.bits == 64 ? Handler([](Warp& w, const Op& op) {
      u64 now = read_clock(0);
      for_lanes(w, w.reg<u64>(op.d), [=](int) { return now; });
    })
                               : Handler([](Warp& w, const Op& op) {
                                   u64 now = read_clock(0);
                                   u32 value = static_cast<u32>(op.mods ? now >> 32 : now);
                                   for_lanes(w, w.reg<u32>(op.d), [=](int) { return value; });
                                 });
    return;
  }
  if (type.kind == Kind::pred && from.kind == Operand::Kind::special && from.name == "%is_explicit_cluster") {
    d.op.d = d.predicate_destination(to);
    d.op.run = [](Warp& w, const Op& op) {
      w.write_pred(op.d, w.block().value_of(Special::is_explicit_cluster, 0) ? ~0u : 0u);
    };
    return;
  }
  if (type.kind == Kind::pred) {
    bool negated = false;
    d.op.a = d.predicate_source(from, &negated);
    d.op.d = d.predicate_destination(to);
    d.op.mods = negated;
    d.op.run = [](Warp& w, const Op& op) { w.write_pred(op.d, op.mods ? ~w.pred(op.a) : w.pred(op.a)); };
    return;
  }
  if (type.bits > 64) return d.fail("128-bit moves are not supported");
  if (from.kind == Operand::Kind::vector) {
    int count = static_cast<int>(from.elements.size()), bits = type.bits / std::max(count, 1);
    d.op.d = d.destination(to, type.bits);
    if (count == 2 && bits >= 16) {
      d.op.a = d.source(from.elements[0], bits);
      d.op.b = d.source(from.elements[1], bits);
      d.op.run = bits == 32 ? run_pack_2x32 : run_pack_2x16;
      return;
    }
    for (const Operand& element : from.elements) d.add_list(d.source(element, bits));
    d.op.mods = static_cast<u32>(bits);
    d.op.small = static_cast<uint8_t>(type.bits);
    d.op.run = run_pack;
    return;
  }
  if (to.kind == Operand::Kind::vector) {
    int count = static_cast<int>(to.elements.size()), bits = type.bits / std::max(count, 1);
    d.op.a = d.source(from, type.bits, type.kind);
    for (const Operand& element : to.elements) d.add_list(d.destination(element, bits));
    d.op.mods = static_cast<u32>(bits);
    d.op.small = static_cast<uint8_t>(type.bits);
    d.op.run = run_unpack;
    return;
  }
  d.op.d = d.destination(to, type.bits);
  d.op.a = d.source(from, type.bits, type.kind);
  d.op.run =
      type.bits == 64 ? unary<u64, u64, [](u64 a) { return a; }> : unary<u32, u32, [](u32 a) { return a; }>;
}

u64 window_of(Decoder& d, bool* known) {
  *known = true;
  if (d.take("global") || d.take("const")) return 0;
  if (d.take("shared") || d.take("shared::cta") || d.take("shared::cluster")) return kSharedWindow;
  if (d.take("local")) return kLocalWindow;
  if (d.take("param") || d.take("param::entry")) return kParamWindow;
  *known = false;
  return 0;
}

void decode_cvta(Decoder& d) {
  bool to = d.take("to"), known = false;
  u64 window = window_of(d, &known);
  if (!known) return d.fail("this state space is not supported");
  Type type = d.take_type();
  d.expect_operands(2, 2);
  if (type.bits != 64) return d.fail("only 64-bit generic addresses are supported");
  d.op.d = d.destination(0, 64);
  d.op.a = d.source(1, 64);
  d.op.b = d.constant(to ? u64(0) - window : window, 64);
  d.op.run = binary<u64, u64, [](u64 a, u64 b) { return a + b; }>;
}

void decode_isspacep(Decoder& d) {
  bool global = d.take("global"), constant = !global && d.take("const"), known = true;
  bool own = d.peek_modifier() == "shared" || d.peek_modifier() == "shared::cta";
  u64 window = global || constant ? 0 : window_of(d, &known);
  if (!known || constant) return d.fail("this state space is not supported");
  d.expect_operands(2, 2);
  d.op.d = d.predicate_destination(d.operand(0));
  d.op.a = d.source(1, 64);
  d.op.imm = window;
  if (own) {
    d.op.run = [](Warp& w, const Op& op) {
      const u64* a = w.reg<u64>(op.a);
      Block& block = w.block();
      u64 first = kSharedWindow + block.window_base(),
          bytes = block.cluster().size() == 1 ? u64(1) << 32 : 1 << kRankShift;
      w.write_pred(op.d, lanes_where([=](int l) { return a[l] - first < bytes; }));
    };
    return;
  }
  d.op.run = [](Warp& w, const Op& op) {
    const u64* a = w.reg<u64>(op.a);
    u64 expected = op.imm;
    w.write_pred(op.d, lanes_where([=](int l) {
                   return expected ? (a[l] & ~u64(0xffffffff)) == expected
                                   : (a[l] >> 40) != (kSharedWindow >> 40);
                 }));
  };
}

// mapa: the address of the same place in another block of the cluster. imm: 1 within the shared window, else
// generic; small: 64-bit registers
void run_mapa(Warp& w, const Op& op) {
  u32 blocks = w.block().cluster().size();
  const u32* rank = w.reg<u32>(op.b);
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    u64 address = op.small ? w.reg<u64>(op.a)[l] : w.reg<u32>(op.a)[l];
    if (!op.imm && address >> 32 != kSharedWindow >> 32)
      return w.fault(op, FaultKind::invalid_address, "mapa needs an address of shared memory", l, &address);
    if (!w.shared_owner(op, static_cast<u32>(address), l, false)) return;
    if (rank[l] >= blocks)
      return w.fault(op, FaultKind::out_of_bounds,
                     fmt::format("mapa to the block with rank {} of a cluster of {} blocks", rank[l], blocks),
                     l);
    u64 mapped = (address & ~(u64(0xff) << kRankShift)) | u64(rank[l]) << kRankShift;
    if (blocks == 1) mapped = address;
    if (op.small)
      w.reg<u64>(op.d)[l] = mapped;
    else
      w.reg<u32>(op.d)[l] = static_cast<u32>(mapped);
  });
}

void run_getctarank(Warp& w, const Op& op) {
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    u64 address = op.small ? w.reg<u64>(op.a)[l] : w.reg<u32>(op.a)[l];
    if (!op.imm && address >> 32 != kSharedWindow >> 32)
      return w.fault(op, FaultKind::invalid_address, "getctarank needs an address of shared memory", l,
                     &address);
    Block* owner = w.shared_owner(op, static_cast<u32>(address), l, false);
    if (owner) w.reg<u32>(op.d)[l] = owner->rank();
  });
}

void decode_cluster_address(Decoder& d) {
  bool map = d.in().parts[0] == "mapa";
  d.op.imm = d.take("shared::cluster");
  Type type = d.take_type();
  if (type.bits != 32 && type.bits != 64) return d.fail("the type must be .u32 or .u64");
  if (!d.op.imm && type.bits == 32) return d.fail("only 64-bit generic addresses are supported");
  d.expect_operands(map ? 3 : 2, map ? 3 : 2);
  d.op.d = d.destination(0, map ? type.bits : 32);
  d.op.a = d.source(1, type.bits);
  if (map) d.op.b = d.source(2, 32);
  d.op.small = type.bits == 64;
  d.op.run = map ? run_mapa : run_getctarank;
}

}  // namespace

void add_move_instructions(InstructionTable& table) {
  table["mov"] = decode_mov;
  table["cvta"] = decode_cvta;
  table["isspacep"] = decode_isspacep;
  table["mapa"] = table["getctarank"] = decode_cluster_address;
}

}  // namespace rtjit::emu
