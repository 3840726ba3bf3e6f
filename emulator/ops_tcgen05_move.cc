// tcgen05.ld and tcgen05.st: a warp moves registers from and to its own 32 lanes of tensor memory.
#include <algorithm>
#include <cmath>

#include "emulator/ops_tcgen05.h"

namespace rtjit::emu {
namespace {

using ptx::Operand;

enum class Shape : u32 { lanes16_64b, lanes16_128b, lanes16_256b, lanes32_32b, lanes16_32b_twice };
enum class Reduction : u32 { none, min, max };
enum class ReducedType : u32 { f32, u32_, s32_ };

// mods: 0-2 shape, 3 packed halves, 4-5 reduction, 6-7 its type, 8 abs, 9 NaN, 10-18 registers
struct Form {
  Shape shape;
  bool halves;
  Reduction reduction;
  ReducedType type;
  bool absolute, nan;
  u32 registers;
};
Form unpack(const Op& op) {
  return {static_cast<Shape>(op.mods & 7),
          bool(op.mods >> 3 & 1),
          static_cast<Reduction>(op.mods >> 4 & 3),
          static_cast<ReducedType>(op.mods >> 6 & 3),
          bool(op.mods >> 8 & 1),
          bool(op.mods >> 9 & 1),
          op.mods >> 10 & 0x1ff};
}

// Registers of a thread for .x1.
u32 registers_per_step(Shape shape) {
  return shape == Shape::lanes16_256b ? 4 : shape == Shape::lanes16_128b ? 2 : 1;
}

// Where register r of thread t lies: the lane below the base, and the word (32 bits) of that lane's row.
struct Place {
  u32 lane, word;
};
Place place_of(Shape shape, u32 t, u32 r) {
  switch (shape) {
    case Shape::lanes32_32b:
      return {t, r};
    case Shape::lanes16_32b_twice:
      return {t % 16, r};
    case Shape::lanes16_64b:  // neighbouring threads hold rows eight apart
      return {t / 4 + t % 2 * 8, 2 * r + t / 2 % 2};
    case Shape::lanes16_128b:
      return {t / 4 + r % 2 * 8, r / 2 * 4 + t % 4};
    case Shape::lanes16_256b:
      return {t / 4 + r / 2 % 2 * 8, r / 4 * 8 + t % 4 * 2 + r % 2};
  }
  return {0, 0};
}

// The regions of one access: one, or two for .16x32bx2. False after a fault.
bool regions_of(Warp& w, const Op& op, const Form& form, u32 address, TensorRegion* regions, u32* count) {
  u32 lane = address >> 16, rows = form.shape == Shape::lanes32_32b ? 32 : 16;
  u32 first = w.index() % 4 * 32;
  if (lane < first || lane + rows > first + 32 || lane % 16 != 0) {
    u64 at = address;
    w.fault(op, FaultKind::tensor_memory,
            fmt::format("warp {} reaches lanes {} to {} of tensor memory; {} lanes from lane {} are accessed",
                        w.index(), first, first + 31, rows, lane),
            0, &at);
    return false;
  }
  bool twice = form.shape == Shape::lanes16_32b_twice;
  u32 words = form.registers;  // of a lane's row, in one region
  if (form.shape == Shape::lanes16_64b) words *= 2;
  if (form.shape == Shape::lanes16_128b || form.shape == Shape::lanes16_256b) words *= 2;
  *count = twice ? 2 : 1;
  for (u32 i = 0; i < *count; ++i) {
    regions[i] = TensorRegion();
    regions[i].add_lanes(lane, rows);
    regions[i].column = (address & 0xffff) + i * static_cast<u32>(op.imm);
    regions[i].columns = words * (form.halves ? 2 : 1);
  }
  return true;
}

float reduce_float(float a, float b, const Form& form) {
  bool minimum = form.reduction == Reduction::min;
  if (a != a || b != b) {
    if (form.nan || (a != a && b != b)) return as_float(kCanonicalNan);
    return a != a ? b : a;
  }
  if (a == 0 && b == 0) return minimum == std::signbit(a) ? a : b;
  return (a < b) == minimum ? a : b;
}

u32 reduce(u32 a, u32 b, const Form& form) {
  bool minimum = form.reduction == Reduction::min;
  if (form.type == ReducedType::f32) return as_bits(reduce_float(as_float(a), as_float(b), form));
  bool less = form.type == ReducedType::u32_ ? a < b : static_cast<s32>(a) < static_cast<s32>(b);
  return less == minimum ? a : b;
}

// list: address, registers. d: the reduction's result. imm: columns between the halves of .16x32bx2
void run_load(Warp& w, const Op& op) {
  if (!whole_warp(w, op)) return;
  Form form = unpack(op);
  const u32 *list = w.program().lists.data() + op.list, *registers = list + kTensorAddressEntries;
  if (!same_in_all_lanes(w, op, w.reg<u32>(list[0]), "the tensor memory address")) return;
  TensorMemory& memory = w.block().tensor_memory();
  TensorRegion regions[2];
  u32 count = 0;
  if (!regions_of(w, op, form, tensor_address(w, list, 0), regions, &count)) return;
  for (u32 i = 0; i < count; ++i) {
    if (!memory.check(w, op, 0, regions[i], TensorAccess::load)) return;
    if (!memory.check_written(w, op, 0, regions[i])) return;
  }
  u32 base = tensor_address(w, list, 0) >> 16;
  u32 results[32] = {};
  for (u32 r = 0; r < form.registers; ++r) {
    u32 values[32];
    for (u32 t = 0; t < 32; ++t) {
      Place place = place_of(form.shape, t, r);
      const u32* row = memory.row(base + place.lane) + regions[count == 2 ? t / 16 : 0].column;
      values[t] =
          form.halves ? (row[place.word * 2] & 0xffff) | row[place.word * 2 + 1] << 16 : row[place.word];
    }
    if (form.reduction != Reduction::none) {
      for (u32 t = 0; t < 32; ++t) {
        u32 value = form.absolute ? values[t] & 0x7fffffff : values[t];
        results[t] = r == 0 ? value : reduce(results[t], value, form);
      }
    }
    if (registers[r] != kNone) std::memcpy(w.reg<u32>(registers[r]), values, sizeof(values));
  }
  if (op.d != kNone) std::memcpy(w.reg<u32>(op.d), results, sizeof(results));
  for (u32 i = 0; i < count; ++i) memory.add_pending(w, op, 0, regions[i], TensorAccess::load);
}

void run_store(Warp& w, const Op& op) {
  if (!whole_warp(w, op)) return;
  Form form = unpack(op);
  const u32 *list = w.program().lists.data() + op.list, *registers = list + kTensorAddressEntries;
  if (!same_in_all_lanes(w, op, w.reg<u32>(list[0]), "the tensor memory address")) return;
  TensorMemory& memory = w.block().tensor_memory();
  TensorRegion regions[2];
  u32 count = 0;
  if (!regions_of(w, op, form, tensor_address(w, list, 0), regions, &count)) return;
  for (u32 i = 0; i < count; ++i) {
    if (!memory.check(w, op, 0, regions[i], TensorAccess::store)) return;
  }
  u32 base = tensor_address(w, list, 0) >> 16;
  for (u32 r = 0; r < form.registers; ++r) {
    const u32* values = w.reg<u32>(registers[r]);
    for (u32 t = 0; t < 32; ++t) {
      Place place = place_of(form.shape, t, r);
      u32* row = memory.row(base + place.lane) + regions[count == 2 ? t / 16 : 0].column;
      if (form.halves) {
        row[place.word * 2] = values[t] & 0xffff;
        row[place.word * 2 + 1] = values[t] >> 16;
      } else {
        row[place.word] = values[t];
      }
    }
  }
  for (u32 i = 0; i < count; ++i) {
    memory.mark_written(regions[i]);
    memory.add_pending(w, op, 0, regions[i], TensorAccess::store);
  }
}

bool take_shape(Decoder& d, Form* form) {
  int shape = d.take_one_of({"16x64b", "16x128b", "16x256b", "32x32b", "16x32bx2"});
  int number = d.take_one_of({"x1", "x2", "x4", "x8", "x16", "x32", "x64", "x128"});
  if (shape < 0 || number < 0) {
    d.fail("the shape or its repetition is not known");
    return false;
  }
  form->shape = static_cast<Shape>(shape);
  form->registers = registers_per_step(form->shape) << number;
  if (form->registers > 128) {
    d.fail("this shape and this repetition do not go together");
    return false;
  }
  return true;
}

void encode(Decoder& d, const Form& f) {
  d.op.mods = static_cast<u32>(f.shape) | u32(f.halves) << 3 | static_cast<u32>(f.reduction) << 4 |
              static_cast<u32>(f.type) << 6 | u32(f.absolute) << 8 | u32(f.nan) << 9 | f.registers << 10;
}

// The registers of the vector operand; one may stand without braces.
bool add_registers(Decoder& d, size_t index, u32 count, bool destination) {
  const Operand& o = d.operand(index);
  std::vector<Operand> elements = o.kind == Operand::Kind::vector ? o.elements : std::vector<Operand>{o};
  if (elements.size() != count) {
    d.fail(fmt::format("{} registers where this shape has {}", elements.size(), count));
    return false;
  }
  for (const Operand& e : elements) d.add_list(destination ? d.destination(e, 32) : d.source(e, 32));
  return true;
}

bool take_split(Decoder& d, const Form& form, size_t index) {
  if (form.shape != Shape::lanes16_32b_twice) return true;
  auto split = d.immediate(index);
  if (!split || *split < 0 || *split > 512) {
    d.fail(".16x32bx2 needs the distance of its halves as a constant");
    return false;
  }
  d.op.imm = static_cast<u64>(*split);
  return true;
}

}  // namespace

void decode_tensor_load(Decoder& d) {
  Form form{};
  bool reduces = d.take("red");
  if (!d.take("sync") || !d.take("aligned")) return d.fail("tcgen05.ld needs .sync.aligned");
  if (!take_shape(d, &form)) return;
  if (reduces) {
    int reduction = d.take_one_of({"min", "max"});
    if (reduction < 0) return d.fail("tcgen05.ld.red needs .min or .max");
    form.reduction = reduction == 0 ? Reduction::min : Reduction::max;
    form.absolute = d.take("abs");
    form.nan = d.take("NaN");
    int type = d.take_one_of({"f32", "u32", "s32"});
    if (type < 0) return d.fail("tcgen05.ld.red needs .f32, .u32 or .s32");
    form.type = static_cast<ReducedType>(type);
    if (form.shape != Shape::lanes32_32b) return d.fail("tcgen05.ld.red is supported for .32x32b only");
    if (form.registers < 2) return d.fail("tcgen05.ld.red needs at least .x2");
  } else {
    form.halves = d.take("pack::16b");
    d.take("b32");
  }
  size_t expected = (reduces ? 3u : 2u) + (form.shape == Shape::lanes16_32b_twice ? 1u : 0u);
  d.expect_operands(expected, expected);
  if (d.failed()) return;
  encode(d, form);
  add_tensor_address(d, d.operand(reduces ? 2 : 1));
  if (!add_registers(d, 0, form.registers, true)) return;
  if (reduces) d.op.d = d.destination(1, 32);
  if (!take_split(d, form, expected - 1)) return;
  d.op.run = run_load;
}

void decode_tensor_store(Decoder& d) {
  Form form{};
  if (!d.take("sync") || !d.take("aligned")) return d.fail("tcgen05.st needs .sync.aligned");
  if (!take_shape(d, &form)) return;
  form.halves = d.take("unpack::16b");
  d.take("b32");
  size_t expected = form.shape == Shape::lanes16_32b_twice ? 3 : 2;
  d.expect_operands(expected, expected);
  if (d.failed()) return;
  encode(d, form);
  add_tensor_address(d, d.operand(0));
  if (!add_registers(d, expected - 1, form.registers, false) || !take_split(d, form, 1)) return;
  d.op.run = run_store;
}

}  // namespace rtjit::emu
