// atom and red: every operation and type, vectors of floats and packed halves.
#include <algorithm>
#include <cmath>

#include "emulator/async_copy.h"
#include "emulator/double_nan.h"
#include "emulator/memory_access.h"

namespace rtjit::emu {
namespace {

using Kind = Type::Kind;
using ptx::Operand;
using ptx::Space;

enum class Operation : u32 { add, min, max, inc, dec, bit_and, bit_or, bit_xor, exchange, compare_exchange };

// mods: bits 0-3 operation, 4-7 Kind, 8-15 bits of an element, 16 result wanted
u32 half_add(u32 a, u32 b) { return float_to_half(half_to_float(a) + half_to_float(b)); }
u32 bfloat_add(u32 a, u32 b) { return float_to_bf16(bf16_to_float(a) + bf16_to_float(b)); }

u32 half_pick(Operation what, Kind kind, u32 a, u32 b) {
  bool half = kind == Kind::half || kind == Kind::half2;
  if (what == Operation::add) return half ? half_add(a, b) : bfloat_add(a, b);
  float x = half ? half_to_float(a) : bf16_to_float(a), y = half ? half_to_float(b) : bf16_to_float(b);
  if (std::isnan(x)) return std::isnan(y) ? kCanonicalHalfNan : b;
  if (std::isnan(y)) return a;
  if (x == y) return what == Operation::max ? (a & b) : (a | b);
  return (what == Operation::max ? x > y : x < y) ? a : b;
}

float flush(float x) { return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x; }

// In global memory f32 sums are without subnormals.
u64 apply(Operation what, Kind kind, u32 bits, u64 old, u64 b, u64 c, bool global) {
  switch (what) {
    case Operation::exchange:
      return b;
    case Operation::compare_exchange:
      return old == b ? c : old;
    case Operation::bit_and:
      return old & b;
    case Operation::bit_or:
      return old | b;
    case Operation::bit_xor:
      return old ^ b;
    case Operation::inc:
      return old >= b ? 0 : old + 1;
    case Operation::dec:
      return old == 0 || old > b ? b : old - 1;
    default:
      break;
  }
  switch (kind) {
    case Kind::half:
    case Kind::bfloat:
      return half_pick(what, kind, static_cast<u32>(old), static_cast<u32>(b));
    case Kind::half2:
    case Kind::bfloat2:
      return half_pick(what, kind, old & 0xffff, b & 0xffff) |
             half_pick(what, kind, old >> 16 & 0xffff, b >> 16 & 0xffff) << 16;
    case Kind::f:
      if (bits == 64) {
        double x = as_double(old), y = as_double(b);
        return as_bits(global ? add_in_global_memory(x, y) : add_in_shared_memory(x, y));
      }
      {
        float x = as_float(static_cast<u32>(old)), y = as_float(static_cast<u32>(b));
        float sum = global ? flush(flush(x) + flush(y)) : x + y;
        return std::isnan(sum) ? kCanonicalNan : as_bits(sum);
      }
    case Kind::s: {
      s64 x = bits == 64 ? static_cast<s64>(old) : static_cast<s32>(old),
          y = bits == 64 ? static_cast<s64>(b) : static_cast<s32>(b);
      return what == Operation::add
                 ? old + b
                 : static_cast<u64>(what == Operation::min ? std::min(x, y) : std::max(x, y));
    }
    default:
      return what == Operation::add ? old + b : what == Operation::min ? std::min(old, b) : std::max(old, b);
  }
}

void run_atomic(Warp& w, const Op& op) {
  auto what = static_cast<Operation>(op.mods & 15);
  auto kind = static_cast<Kind>(op.mods >> 4 & 15);
  u32 bits = op.mods >> 8 & 0xff, bytes = bits / 8;
  bool wide = bits == 64;
  const u32* list = w.program().lists.data() + op.list;
  u32 count = op.small;  // list: operands b (count), then results (count), then c
  bool result = op.mods >> 16 & 1, shared = op.mods >> 17 & 1;
  const u32* results = list + count;
  const u32* third = what == Operation::compare_exchange ? list + (result ? 2 : 1) * count : nullptr;
  w.block().races.synchronise(w.who());
  w.block().met_cluster = true;
  if (!shared) w.block().met_others = true;
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    u64 address = lane_address(w, op, l);
    if (shared) address = kSharedWindow + (address & 0xffffffff);
    uint8_t* shadow = nullptr;
    uint8_t* p =
        shared
            ? w.locate_shared(op, static_cast<u32>(address), l, bytes * count, bytes * count, true, &shadow)
            : w.locate_generic(op, address, l, bytes * count, bytes * count, Access::atomic, &shadow);
    if (!p) return;
    bool is_global = (address >> 40) != (kSharedWindow >> 40);
    if (!is_written(shadow, bytes * count) && !w.check_written(op, shadow, bytes * count, l, address)) return;
    auto value = [&](u32 slot) { return wide ? w.reg<u64>(slot)[l] : static_cast<u64>(w.reg<u32>(slot)[l]); };
    std::atomic_flag* lock = is_global ? &w.block().launch().memory->lock_for(address) : nullptr;
    while (lock && lock->test_and_set(std::memory_order_acquire)) {
    }
    for (u32 i = 0; i < count; ++i) {
      u64 old = 0;
      std::memcpy(&old, p + i * bytes, bytes);
      u64 next = apply(what, kind, bits, old, value(list[i]), third ? value(third[0]) : 0, is_global);
      std::memcpy(p + i * bytes, &next, bytes);
      if (result && results[i] != kNone) {
        if (wide)
          w.reg<u64>(results[i])[l] = old;
        else
          w.reg<u32>(results[i])[l] = static_cast<u32>(old);
      }
    }
    if (lock) lock->clear(std::memory_order_release);
  });
}

void decode_atomic(Decoder& d) {
  bool result = d.in().parts[0] == "atom";
  if (d.take("async")) return decode_reduce_async(d);
  Space space = Space::none;
  int operation = -1, vector = 1;
  bool policy = false, cluster = false;
  std::optional<Type> type;
  while (!d.peek_modifier().empty() && !type) {
    std::string_view m = d.peek_modifier();
    if (Space s = take_space(d, &cluster); s != Space::none) {
      space = s;
      continue;
    }
    if (d.peek_modifier() != m) continue;
    if (int found = d.take_one_of({"add", "min", "max", "inc", "dec", "and", "or", "xor", "exch", "cas"});
        found >= 0) {
      operation = found;
      continue;
    }
    if (d.take_one_of(
            {"relaxed", "acquire", "release", "acq_rel", "cta", "cluster", "gpu", "sys", "noftz"}) >= 0)
      continue;
    if (d.take("v2"))
      vector = 2;
    else if (d.take("v4"))
      vector = 4;
    else if (d.take("v8"))
      vector = 8;
    else if (m.starts_with("L2::"))
      policy = d.take(m);
    else
      type = d.take_type();
  }
  if (!type || operation < 0) return d.fail("the operation or type of the atomic is not known");
  auto what = static_cast<Operation>(operation);
  if (type->bits > 64) return d.fail("128-bit atomics are not supported");
  if (space != Space::none && space != Space::global && space != Space::shared)
    return d.fail("atomics need global or shared memory");
  if (type->kind == Kind::f && what != Operation::add &&
      !(what == Operation::exchange || what == Operation::compare_exchange))
    return d.fail("this operation is not defined for floats");
  size_t first = result ? 1 : 0;
  size_t wanted = first + 2 + (what == Operation::compare_exchange);
  d.expect_operands(wanted, wanted + policy);
  decode_address(d, first);
  if (cluster) d.op.imm += kSharedWindow;
  auto elements = [&](const Operand& o) {
    return o.kind == Operand::Kind::vector ? o.elements : std::vector<Operand>{o};
  };
  std::vector<Operand> values = elements(d.operand(first + 1));
  if (static_cast<int>(values.size()) != vector) return d.fail("the vector's length does not match");
  for (const Operand& v : values) d.add_list(d.source(v, type->bits, type->kind));
  if (result) {
    for (const Operand& v : elements(d.operand(0))) d.add_list(d.destination(v, type->bits));
  }
  if (what == Operation::compare_exchange) d.add_list(d.source(d.operand(first + 2), type->bits, type->kind));
  d.op.small = static_cast<uint8_t>(vector);
  d.op.mods |= static_cast<u32>(operation) | static_cast<u32>(type->kind) << 4 |
               static_cast<u32>(type->bits) << 8 | u32(result) << 16 | u32(space == Space::shared) << 17;
  d.op.run = run_atomic;
}

}  // namespace

void add_atomic_instructions(InstructionTable& table) { table["atom"] = table["red"] = decode_atomic; }

}  // namespace rtjit::emu
