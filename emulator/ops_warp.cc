// Instructions among the lanes of a warp: shfl vote match redux activemask elect, and bar.warp.sync.
#include "emulator/ops_warp.h"

#include <algorithm>

#include "emulator/memory_access.h"

namespace rtjit::emu {

// The lanes named by a member mask must be exactly those that execute the instruction together.
bool check_members(Warp& w, const Op& op, const uint32_t* masks) {
  uint32_t alive = w.valid & ~w.exited;
  bool ok = true;
  each_lane(w.exec, [&](int l) {
    if (!ok) return;
    if (!(masks[l] >> l & 1)) {
      w.fault(op, FaultKind::barrier, fmt::format("lane {} is not in its own member mask {:#x}", l, masks[l]),
              l);
      ok = false;
    } else if (masks[l] & alive & ~w.exec) {
      w.fault(
          op, FaultKind::barrier,
          fmt::format("member mask {:#x} names lanes that are elsewhere; lanes {:#x} execute the instruction",
                      masks[l], w.exec),
          l);
      ok = false;
    }
  });
  return ok;
}

namespace {

using Kind = Type::Kind;
using ptx::Operand;

void decode_second_destination(Decoder& d) {
  const Operand& o = d.operand(0);
  if (!o.elements.empty()) d.add_list(d.predicate_destination(o.elements[0]));
}

enum class Shuffle : u32 { up, down, bfly, idx };

// a: value, b: lane or delta, c: clamp and segment mask; the list: member mask, then the predicate.
void run_shfl(Warp& w, const Op& op) {
  const u32* list = w.program().lists.data() + op.list;
  if (!check_members(w, op, w.reg<u32>(list[0]))) return;
  u32 a[32];
  std::copy_n(w.reg<u32>(op.a), 32, a);
  const u32 *b = w.reg<u32>(op.b), *c = w.reg<u32>(op.c);
  u32 result[32], valid = 0;
  for (u32 l = 0; l < 32; ++l) {
    u32 value = b[l] & 0x1f, clamp = c[l] & 0x1f, segment = c[l] >> 8 & 0x1f;
    s32 max_lane = static_cast<s32>((l & segment) | (clamp & ~segment)),
        min_lane = static_cast<s32>(l & segment), j = 0;
    bool p = false;
    switch (static_cast<Shuffle>(op.mods)) {
      case Shuffle::up:
        j = static_cast<s32>(l) - static_cast<s32>(value), p = j >= max_lane;
        break;
      case Shuffle::down:
        j = static_cast<s32>(l + value), p = j <= max_lane;
        break;
      case Shuffle::bfly:
        j = static_cast<s32>(l ^ value), p = j <= max_lane;
        break;
      case Shuffle::idx:
        j = min_lane | static_cast<s32>(value & ~segment), p = j <= max_lane;
        break;
    }
    if (!p) j = static_cast<s32>(l);
    if ((w.exec >> l & 1) && !(w.exec >> j & 1)) {
      w.fault(op, FaultKind::uninitialised,
              fmt::format("the value comes from lane {}, which does not take part", j), static_cast<int>(l));
      return;
    }
    valid |= u32(p) << l;
    result[l] = a[j];
  }
  if (op.d != kNone) for_lanes(w, w.reg<u32>(op.d), [&](int l) { return result[l]; });
  if (op.list_size > 1) w.write_pred(list[1], valid);
}

void decode_shfl(Decoder& d) {
  if (!d.take("sync")) return d.fail("only the .sync form exists on sm_70 and later");
  int mode = d.take_one_of({"up", "down", "bfly", "idx"});
  d.take_type();
  d.expect_operands(5, 5);
  d.op.mods = static_cast<u32>(mode);
  d.op.d = d.destination(0, 32);
  d.op.a = d.source(1, 32);
  d.op.b = d.source(2, 32);
  d.op.c = d.source(3, 32);
  d.add_list(d.source(4, 32));
  decode_second_destination(d);
  d.op.run = run_shfl;
}

enum class Vote : u32 { all, any, uni, ballot };
void run_vote(Warp& w, const Op& op) {
  if (!check_members(w, op, w.reg<u32>(op.b))) return;
  u32 p = op.mods & 8 ? ~w.pred(op.a) : w.pred(op.a);
  // Groups of lanes with different masks vote separately.
  u32 left = w.exec, saved = w.exec;
  while (left) {
    u32 group = w.reg<u32>(op.b)[std::countr_zero(left)] & saved, yes = p & group;
    left &= ~group;
    w.exec = group;
    switch (static_cast<Vote>(op.mods & 3)) {
      case Vote::all:
        w.write_pred(op.d, yes == group ? ~0u : 0u);
        break;
      case Vote::any:
        w.write_pred(op.d, yes ? ~0u : 0u);
        break;
      case Vote::uni:
        w.write_pred(op.d, yes == group || !yes ? ~0u : 0u);
        break;
      case Vote::ballot:
        for_lanes(w, w.reg<u32>(op.d), [=](int) { return yes; });
        break;
    }
  }
  w.exec = saved;
}

void decode_vote(Decoder& d) {
  if (!d.take("sync")) return d.fail("only the .sync form exists on sm_70 and later");
  int mode = d.take_one_of({"all", "any", "uni", "ballot"});
  d.take_type();
  d.expect_operands(3, 3);
  bool negated = false;
  d.op.a = d.predicate_source(d.operand(1), &negated);
  d.op.b = d.source(2, 32);
  d.op.d = mode == 3 ? d.destination(0, 32) : d.predicate_destination(d.operand(0));
  d.op.mods = static_cast<u32>(mode) | (negated ? 8 : 0);
  d.op.run = run_vote;
}

template <class T>
void run_match(Warp& w, const Op& op) {
  if (!check_members(w, op, w.reg<u32>(op.b))) return;
  const T* a = w.reg<T>(op.a);
  const u32* masks = w.reg<u32>(op.b);
  u32 result[32] = {}, predicate = 0;
  each_lane(w.exec, [&](int l) {
    u32 same = 0, group = masks[l] & w.exec;
    each_lane(group, [&](int k) { same |= u32(a[k] == a[l]) << k; });
    if (op.mods) {  // .all
      result[l] = same == group ? group : 0;
      predicate |= u32(same == group) << l;
    } else {
      result[l] = same;
    }
  });
  if (op.d != kNone) for_lanes(w, w.reg<u32>(op.d), [&](int l) { return result[l]; });
  if (op.list_size) w.write_pred(w.program().lists[op.list], predicate);
}

void decode_match(Decoder& d) {
  bool all = d.take("all");
  if (!all) d.take("any");
  d.take("sync");
  Type type = d.take_type();
  d.expect_operands(3, 3);
  d.op.d = d.destination(0, 32);
  d.op.a = d.source(1, type.bits);
  d.op.b = d.source(2, 32);
  d.op.mods = all;
  decode_second_destination(d);
  d.op.run = type.bits == 64 ? run_match<u64> : run_match<u32>;
}

enum class Reduction : u32 { add, min, max, bit_and, bit_or, bit_xor };
// mods: 0-3 operation, 4 signed, 5 float, 6 abs, 7 NaN
void run_redux(Warp& w, const Op& op) {
  if (!check_members(w, op, w.reg<u32>(op.b))) return;
  const u32 *a = w.reg<u32>(op.a), *masks = w.reg<u32>(op.b);
  u32 left = w.exec, result[32] = {};
  auto what = static_cast<Reduction>(op.mods & 15);
  while (left) {
    u32 group = masks[std::countr_zero(left)] & w.exec, total = 0;
    left &= ~group;
    bool first = true;
    each_lane(group, [&](int l) {
      u32 x = a[l];
      if (op.mods & 32) {
        if (op.mods & 64) x &= 0x7fffffff;
        float f = as_float(x), t = as_float(total);
        bool max = what == Reduction::max;
        if (first)
          total = x;
        else if (f != f || t != t)
          total = (op.mods & 128) ? kCanonicalNan : t != t ? x : total;
        else if (f == t)
          total = max ? (x & total) : (x | total);
        else
          total = (max ? f > t : f < t) ? x : total;
        if (total << 1 > 0xff000000u) total = kCanonicalNan;
      } else if (first) {
        total = x;
      } else {
        bool is_signed = op.mods & 16;
        switch (what) {
          case Reduction::add:
            total += x;
            break;
          case Reduction::min:
            total = is_signed ? static_cast<u32>(std::min(s32(total), s32(x))) : std::min(total, x);
            break;
          case Reduction::max:
            total = is_signed ? static_cast<u32>(std::max(s32(total), s32(x))) : std::max(total, x);
            break;
          case Reduction::bit_and:
            total &= x;
            break;
          case Reduction::bit_or:
            total |= x;
            break;
          case Reduction::bit_xor:
            total ^= x;
            break;
        }
      }
      first = false;
    });
    each_lane(group, [&](int l) { result[l] = total; });
  }
  for_lanes(w, w.reg<u32>(op.d), [&](int l) { return result[l]; });
}

void decode_redux(Decoder& d) {
  if (!d.take("sync")) return d.fail("redux needs .sync");
  int operation = d.take_one_of({"add", "min", "max", "and", "or", "xor"});
  bool absolute = d.take("abs"), nan = d.take("NaN");
  Type type = d.take_type();
  d.expect_operands(3, 3);
  d.op.d = d.destination(0, 32);
  d.op.a = d.source(1, type);
  d.op.b = d.source(2, 32);
  d.op.mods = static_cast<u32>(operation) | u32(type.is_signed()) << 4 | u32(type.kind == Kind::f) << 5 |
              u32(absolute) << 6 | u32(nan) << 7;
  d.op.run = run_redux;
}

void decode_activemask(Decoder& d) {
  d.take_type();
  d.op.d = d.destination(0, 32);
  d.op.run = [](Warp& w, const Op& op) {
    u32 mask = w.exec;
    for_lanes(w, w.reg<u32>(op.d), [=](int) { return mask; });
  };
}

// elect.sync d|p, mask: the lowest lane is chosen.
void decode_elect(Decoder& d) {
  d.take("sync");
  d.expect_operands(2, 2);
  d.op.d = d.destination(0, 32);
  d.op.a = d.source(1, 32);
  decode_second_destination(d);
  d.op.run = [](Warp& w, const Op& op) {
    const u32* masks = w.reg<u32>(op.a);
    if (!check_members(w, op, masks)) return;
    u32 leader = static_cast<u32>(std::countr_zero(w.exec));
    if (op.d != kNone) for_lanes(w, w.reg<u32>(op.d), [=](int) { return leader; });
    if (op.list_size) w.write_pred(w.program().lists[op.list], 1u << leader);
  };
}

}  // namespace

void add_warp_instructions(InstructionTable& table) {
  table["shfl"] = decode_shfl;
  table["vote"] = decode_vote;
  table["match"] = decode_match;
  table["redux"] = decode_redux;
  table["activemask"] = decode_activemask;
  table["elect"] = decode_elect;
}

}  // namespace rtjit::emu
