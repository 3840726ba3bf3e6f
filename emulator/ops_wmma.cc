// wmma: loads, stores and products of whole warp matrices. PTX leaves open where a fragment's elements lie;
// here lane l has the l-th 32nd of the matrix, row by row, repeated until its registers are full.
#include <cstring>

#include "emulator/memory_access.h"
#include "emulator/ops_matrix_plain.h"
#include "emulator/plain_matrix.h"

namespace rtjit::emu {
namespace {

using ptx::Operand;
using ptx::Space;

struct WmmaShape {
  std::string_view name;
  u32 m, n, k;
};
constexpr WmmaShape kShapes[] = {{"m16n16k16", 16, 16, 16}, {"m8n32k16", 8, 32, 16}, {"m32n8k16", 32, 8, 16},
                                 {"m16n16k8", 16, 16, 8},   {"m8n8k4", 8, 8, 4},     {"m8n8k32", 8, 8, 32},
                                 {"m8n8k128", 8, 8, 128}};

// A fragment of one operand: its matrix, and its registers.
struct Fragment {
  PlainElement element;
  u32 rows, columns, registers;
  u32 register_bits() const { return element == PlainElement::f64 ? 64 : 32; }
  u32 per_register() const { return register_bits() / bits_of(element); }
  u32 per_lane() const { return rows * columns / 32; }
};

// What `which` (a, b, c, d) of a shape looks like with these elements.
Fragment fragment_of(const WmmaShape& s, char which, PlainElement element) {
  Fragment f{element, which == 'b' ? s.k : s.m, which == 'a' ? s.k : s.n, 0};
  u32 slots = f.per_lane();
  // Fragments of f16 have eight registers whatever the shape.
  if (element == PlainElement::f16 && (which == 'a' || which == 'b')) slots = 16;
  f.registers = slots / f.per_register();
  return f;
}

bool exists(const WmmaShape& s, PlainElement e, char which) {
  bool result = which == 'c' || which == 'd';
  switch (e) {
    case PlainElement::f16:
    case PlainElement::s8:
    case PlainElement::u8:
    case PlainElement::bf16:
      return s.k == 16 && !(result && e != PlainElement::f16);
    case PlainElement::tf32:
      return s.k == 8 && !result;
    case PlainElement::f64:
      return s.k == 4;
    case PlainElement::s4:
    case PlainElement::u4:
      return s.k == 32 && !result;
    case PlainElement::b1:
      return s.k == 128 && !result;
    case PlainElement::f32:
      return result && (s.k == 16 || s.k == 8);
    case PlainElement::s32_:
      return result && (s.k == 16 || s.k == 32 || s.k == 128);
  }
  return false;
}

u64 slot_bits(Warp& w, const Fragment& f, const u32* registers, int lane, u32 slot) {
  u32 r = registers[slot / f.per_register()], bits = bits_of(f.element);
  if (bits == 64) return w.reg<u64>(r)[lane];
  u64 word = w.reg<u32>(r)[lane];
  return word >> (slot % f.per_register() * bits) & ((u64(1) << bits) - 1);
}

PlainMatrix read_fragment(Warp& w, const Fragment& f, const u32* registers) {
  PlainMatrix m(f.rows, f.columns);
  for (u32 i = 0; i < f.rows * f.columns; ++i)
    m.bits[i] = slot_bits(w, f, registers, static_cast<int>(i / f.per_lane()), i % f.per_lane());
  return m;
}

void write_fragment(Warp& w, const Fragment& f, const u32* registers, const PlainMatrix& m) {
  u32 bits = bits_of(f.element);
  for (int lane = 0; lane < 32; ++lane) {
    for (u32 r = 0; r < f.registers; ++r) {
      u64 word = 0;
      for (u32 e = 0; e < f.per_register(); ++e)
        word |= m.bits[static_cast<u32>(lane) * f.per_lane() + (r * f.per_register() + e) % f.per_lane()]
                << (e * bits);
      if (bits == 64)
        w.reg<u64>(registers[r])[lane] = word;
      else
        w.reg<u32>(registers[r])[lane] = static_cast<u32>(word);
    }
  }
}

bool all_lanes(Warp& w, const Op& op) {
  if (w.exec == ~0u) return true;
  w.fault(op, FaultKind::barrier, fmt::format("wmma needs all 32 lanes; lanes {:#x} execute it", w.exec));
  return false;
}

// How an access is packed into mods: 0-3 element, 4-6 shape, 7-8 operand (a, b, c, d), 9 columns run fastest
// in memory, 10 .shared. The list: registers, stride.
struct MemoryForm {
  Fragment fragment;
  bool by_column, shared;
};
MemoryForm unpack(const Op& op) {
  char which = static_cast<char>('a' + (op.mods >> 7 & 3));
  return {fragment_of(kShapes[op.mods >> 4 & 7], which, static_cast<PlainElement>(op.mods & 15)),
          bool(op.mods >> 9 & 1), bool(op.mods >> 10 & 1)};
}

// Calls f(element's index in the matrix, address of its bytes, its first bit there, bytes) until it returns
// false.
template <class F>
void each_element(Warp& w, const Op& op, const MemoryForm& form, u32 stride_slot, F f) {
  const Fragment& fragment = form.fragment;
  u64 base = lane_address(w, op, 0), bits = bits_of(fragment.element);
  u32 stride = w.reg<u32>(stride_slot)[0];
  for (int l = 1; l < 32; ++l) {
    if (lane_address(w, op, l) != base || w.reg<u32>(stride_slot)[l] != stride)
      return w.fault(op, FaultKind::invalid_address, "all lanes must give wmma the same address and stride",
                     l);
  }
  if (base % 32 != 0 || stride * bits % 128 != 0)
    return w.fault(
        op, FaultKind::misaligned,
        fmt::format("a matrix at address {:#x} with {} bits from one row to the next; multiples of 32 bytes "
                    "and of 128 bits are needed",
                    base, stride * bits),
        0, &base);
  for (u32 i = 0; i < fragment.rows * fragment.columns; ++i) {
    u32 row = i / fragment.columns, column = i % fragment.columns;
    u64 at = (form.by_column ? u64(column) * stride + row : u64(row) * stride + column) * bits;
    if (!f(i, base + at / 8, static_cast<u32>(at % 8), static_cast<u32>(bits + 7) / 8)) return;
  }
}

uint8_t* locate(Warp& w, const Op& op, const MemoryForm& form, u64 address, u32 bytes, int lane,
                Access access, uint8_t** shadow) {
  return form.shared ? w.locate_shared(op, static_cast<u32>(address), lane, bytes, bytes, true, shadow)
                     : w.locate_generic(op, address, lane, bytes, bytes, access, shadow);
}

void run_load(Warp& w, const Op& op) {
  if (!all_lanes(w, op)) return;
  MemoryForm form = unpack(op);
  const u32* list = w.program().lists.data() + op.list;
  PlainMatrix m(form.fragment.rows, form.fragment.columns);
  u32 bits = bits_of(form.fragment.element);
  each_element(w, op, form, list[form.fragment.registers], [&](u32 i, u64 address, u32 first_bit, u32 bytes) {
    auto lane = static_cast<int>(i / form.fragment.per_lane());
    uint8_t* shadow = nullptr;
    const uint8_t* p = locate(w, op, form, address, bytes, lane, Access::read, &shadow);
    if (!p || (!is_written(shadow, bytes) && !w.check_written(op, shadow, bytes, lane, address)) ||
        !check_race<false>(w, op, shadow, bytes, lane) ||
        (!form.shared && !check_blocks_read(w, op, address, bytes, lane, Path::ordinary)))
      return false;
    u64 value = 0;
    std::memcpy(&value, p, bytes);
    m.bits[i] = bits == 64 ? value : value >> first_bit & ((u64(1) << bits) - 1);
    return true;
  });
  if (!w.stop) write_fragment(w, form.fragment, list, m);
}

void run_store(Warp& w, const Op& op) {
  if (!all_lanes(w, op)) return;
  MemoryForm form = unpack(op);
  const u32* list = w.program().lists.data() + op.list;
  PlainMatrix m = read_fragment(w, form.fragment, list);
  each_element(w, op, form, list[form.fragment.registers], [&](u32 i, u64 address, u32, u32 bytes) {
    auto lane = static_cast<int>(i / form.fragment.per_lane());
    uint8_t* shadow = nullptr;
    uint8_t* p = locate(w, op, form, address, bytes, lane, Access::write, &shadow);
    if (!p || !mark_written(w, op, shadow, bytes, lane, address)) return false;
    if (!form.shared && !note_blocks_write(w, op, address, bytes, lane, Path::ordinary,
                                           std::memcmp(p, &m.bits[i], bytes) == 0))
      return false;
    std::memcpy(p, &m.bits[i], bytes);
    return true;
  });
}

// mods: 0-3 a, 4-7 b, 8-11 c, 12-15 d, 16-18 shape, 19 saturate, 20 and, 21-22 rounding. The list: d, a, b, c
void run_product(Warp& w, const Op& op) {
  if (!all_lanes(w, op)) return;
  const WmmaShape& s = kShapes[op.mods >> 16 & 7];
  PlainProduct form;
  form.a = static_cast<PlainElement>(op.mods & 15);
  form.b = static_cast<PlainElement>(op.mods >> 4 & 15);
  form.c = static_cast<PlainElement>(op.mods >> 8 & 15);
  form.d = static_cast<PlainElement>(op.mods >> 12 & 15);
  form.saturate = op.mods >> 19 & 1;
  form.bit_and = op.mods >> 20 & 1;
  form.rounding = static_cast<Rounding>(op.mods >> 21 & 3);
  Fragment d = fragment_of(s, 'd', form.d), a = fragment_of(s, 'a', form.a), b = fragment_of(s, 'b', form.b),
           c = fragment_of(s, 'c', form.c);
  const u32* list = w.program().lists.data() + op.list;
  const u32 *to = list, *left = to + d.registers, *right = left + a.registers, *sums = right + b.registers;
  write_fragment(
      w, d, to,
      multiply(read_fragment(w, a, left), read_fragment(w, b, right), read_fragment(w, c, sums), form));
}

int take_shape(Decoder& d) {
  for (size_t i = 0; i < std::size(kShapes); ++i) {
    if (d.take(kShapes[i].name)) return static_cast<int>(i);
  }
  d.fail(fmt::format("shape .{} is not known", d.peek_modifier()));
  return -1;
}

std::optional<PlainElement> take_element(Decoder& d) {
  std::optional<PlainElement> e = parse_plain_element(d.peek_modifier());
  if (e)
    d.take(d.peek_modifier());
  else
    d.fail(fmt::format("element type .{} is not known", d.peek_modifier()));
  return e;
}

bool add_fragment(Decoder& d, size_t index, const Fragment& f, bool destination) {
  const Operand& o = d.operand(index);
  std::vector<Operand> elements = o.kind == Operand::Kind::vector ? o.elements : std::vector<Operand>{o};
  if (elements.size() != f.registers) {
    d.fail(fmt::format("operand {} has {} registers where the fragment has {}", index + 1, elements.size(),
                       f.registers));
    return false;
  }
  int bits = static_cast<int>(f.register_bits());
  for (const Operand& e : elements)
    d.add_list(destination
                   ? d.destination(e, bits)
                   : d.source(e, bits, f.element == PlainElement::f64 ? Type::Kind::f : Type::Kind::bits));
  return true;
}

void decode_access(Decoder& d, bool load) {
  int which = load ? d.take_one_of({"a", "b", "c"}) : d.take("d") ? 3 : -1;
  if (which < 0) return d.fail("the operand's letter is missing");
  d.take("sync");
  d.take("aligned");
  int layout = d.take_one_of({"row", "col"}), shape = take_shape(d);
  if (shape < 0) return;
  if (layout < 0) return d.fail(".row or .col is missing");
  bool cluster = false;
  Space space = take_space(d, &cluster);
  if (cluster || (space != Space::none && space != Space::global && space != Space::shared))
    return d.fail("wmma accesses global memory, the block's shared memory and generic addresses");
  std::optional<PlainElement> element = take_element(d);
  if (!element) return;
  char letter = static_cast<char>('a' + which);
  if (!exists(kShapes[shape], *element, letter))
    return d.fail("this shape does not exist for the element type");
  d.expect_operands(2, 3);
  Fragment f = fragment_of(kShapes[shape], letter, *element);
  if (!add_fragment(d, load ? 0 : 1, f, load)) return;
  d.add_list(d.operand_count() > 2 ? d.source(2, 32) : d.constant(layout == 0 ? f.columns : f.rows, 32));
  d.op.mods = static_cast<u32>(*element) | static_cast<u32>(shape) << 4 | static_cast<u32>(which) << 7 |
              static_cast<u32>(layout) << 9 | u32(space == Space::shared) << 10;
  decode_address(d, load ? 1 : 0);
  d.op.run = load ? run_load : run_store;
}

void decode_product(Decoder& d) {
  int operation = d.take_one_of({"xor", "and"});
  if (operation >= 0 && !d.take("popc")) return d.fail(".popc is missing");
  d.take("sync");
  d.take("aligned");
  if (d.take_one_of({"row", "col"}) < 0 || d.take_one_of({"row", "col"}) < 0)
    return d.fail("two layouts are expected");
  int shape = take_shape(d), rounding = std::max(0, d.take_one_of({"rn", "rz", "rm", "rp"}));
  if (shape < 0) return;
  // d, c for f16 elements; d, a, b, c for all others.
  std::vector<PlainElement> types;
  while (!d.failed() && !d.peek_modifier().empty() && d.peek_modifier() != "satfinite") {
    if (auto e = take_element(d)) types.push_back(*e);
  }
  if (d.failed()) return;
  if (types.size() == 2) types = {types[0], PlainElement::f16, PlainElement::f16, types[1]};
  if (types.size() != 4) return d.fail("two or four element types are expected");
  PlainElement td = types[0], ta = types[1], tb = types[2], tc = types[3];
  bool integer = td == PlainElement::s32_, saturate = d.take("satfinite");
  const WmmaShape& s = kShapes[shape];
  bool bits = ta == PlainElement::b1;
  bool good =
      ta == tb && exists(s, ta, 'a') && exists(s, tb, 'b') && exists(s, tc, 'c') && exists(s, td, 'd') &&
      (td == PlainElement::s32_) == (tc == PlainElement::s32_) && bits == (operation >= 0) &&
      (bits_of(ta) < 16) == integer && (ta == PlainElement::f64) == (td == PlainElement::f64) &&
      (ta == PlainElement::f16 || (td == tc && td != PlainElement::f16)) && (!saturate || (integer && !bits));
  if (!good) return d.fail("this shape and these element types do not go together");
  d.expect_operands(4, 4);
  if (!add_fragment(d, 0, fragment_of(s, 'd', td), true) ||
      !add_fragment(d, 1, fragment_of(s, 'a', ta), false) ||
      !add_fragment(d, 2, fragment_of(s, 'b', tb), false) ||
      !add_fragment(d, 3, fragment_of(s, 'c', tc), false))
    return;
  d.op.mods = static_cast<u32>(ta) | static_cast<u32>(tb) << 4 | static_cast<u32>(tc) << 8 |
              static_cast<u32>(td) << 12 | static_cast<u32>(shape) << 16 | u32(saturate) << 19 |
              u32(operation == 1) << 20 | static_cast<u32>(rounding) << 21;
  d.op.run = run_product;
}

}  // namespace

void add_wmma_instructions(InstructionTable& table) {
  table["wmma"] = [](Decoder& d) {
    if (d.take("load")) return decode_access(d, true);
    if (d.take("store")) return decode_access(d, false);
    if (d.take("mma")) return decode_product(d);
    d.fail("this form of wmma is not known");
  };
}

}  // namespace rtjit::emu
