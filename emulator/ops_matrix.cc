// mma.sync in all dense forms, block-scaled kinds included. Fragments are spread into plain matrices,
// multiplied, and gathered again. Accumulation: for each element, products are exact and are added to the
// accumulator one after the other in the order of k, each sum rounded to f32 (the PTX ISA leaves order and
// intermediate precision open; docs/emulator.md gives the bound), or as matrix_sum.h says where silicon's own
// sums are asked for, which takes a third longer. f16 accumulators are rounded once at the end. Integer forms
// are exact.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "emulator/matrix_sum.h"
#include "emulator/memory_access.h"
#include "emulator/ops_ldmatrix.h"
#include "emulator/ops_matrix_plain.h"
#include "emulator/ops_wgmma.h"

namespace rtjit::emu {
namespace {

using ptx::Operand;

// Decoded form, packed into Op::mods and Op::imm.
struct MmaShape {
  uint32_t k;  // 4 to 64
  MmaElement a, b;
  bool half_c, half_d;    // f16 accumulators
  bool container;         // sub-byte floats sit in bytes
  bool saturate;          // integers
  uint8_t scale_vectors;  // 0: none; 1, 2, 4 scales along k
  bool ue4m3;             // scales are ue4m3 instead of ue8m0
  bool eight;             // m8n8, integers: the upper half of the rows is missing
};

MmaShape unpack(const Op& op) {
  return {op.mods & 0xff,
          static_cast<MmaElement>(op.mods >> 8 & 15),
          static_cast<MmaElement>(op.mods >> 12 & 15),
          bool(op.mods >> 16 & 1),
          bool(op.mods >> 17 & 1),
          bool(op.mods >> 18 & 1),
          bool(op.mods >> 19 & 1),
          static_cast<uint8_t>(op.mods >> 20 & 7),
          bool(op.mods >> 23 & 1),
          bool(op.mods >> 24 & 1)};
}

bool all_lanes(Warp& w, const Op& op) {
  if (w.exec == ~0u) return true;
  w.fault(op, FaultKind::barrier,
          fmt::format("a matrix instruction needs all 32 lanes; lanes {:#x} execute it", w.exec));
  return false;
}

float scale_of(u32 reg, u32 byte, bool ue4m3) {
  u32 bits = reg >> (8 * byte) & 0xff;
  return static_cast<float>(ue4m3 ? decode_float(bits & 0x7f, kE4M3) : decode_ue8m0(bits));
}

// fp8 is turned into f16 first: the lower halves of all registers are one block, the upper ones the next, and
// the accumulator comes in with an ordinary addition. The other types are one block.
void add_as_silicon_does(const Fragments<float>& f, const MmaShape& s, float (*sum)[8]) {
  SumRules rules = sum_rules(s.a, s.b, s.half_d, false);
  int k = static_cast<int>(s.k);
  if (f.elements != 4) return add_products(f, k, 0, f.elements, rules, sum);
  alignas(64) float products[16][8] = {};
  add_products(f, k, 0, 2, rules, products);
  add_products(f, k, 2, 4, rules, products);
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) sum[row][column] += products[row][column];
  }
}

// The list: d registers, a, b, c, then (block scale) scale-a, scale-b. imm: byte and thread selectors of the
// scales.
void run_mma_float(Warp& w, const Op& op) {
  if (!all_lanes(w, op)) return;
  MmaShape s = unpack(op);
  const u32* list = w.program().lists.data() + op.list;
  int d_count = s.half_d ? 2 : 4, c_count = s.half_c ? 2 : 4;
  int a_count = static_cast<int>(s.k) * container_bits(s.a, s.container) / 128 * 2,
      b_count = static_cast<int>(s.k) * container_bits(s.b, s.container) / 128;
  const u32 *d = list, *a_slots = d + d_count, *b_slots = a_slots + a_count, *c = b_slots + b_count,
            *scales = c + c_count;
  Fragments<float> f;
  alignas(64) float sum[16][8];
  f.gather_a(w, a_slots, static_cast<int>(s.k), s.a, s.container);
  f.gather_b(w, b_slots, static_cast<int>(s.k), s.b, s.container);
  for (int r = 0; r < c_count; ++r) {
    const u32* lanes = w.reg<u32>(c[r]);
    for (int l = 0; l < 32; ++l) {
      int column = l % 4 * 2;
      if (s.half_c) {
        sum[l / 4 + 8 * r][column] = half_to_float(lanes[l] & 0xffff);
        sum[l / 4 + 8 * r][column + 1] = half_to_float(lanes[l] >> 16);
      } else {
        sum[l / 4 + 8 * (r / 2)][column + r % 2] = as_float(lanes[l]);
      }
    }
  }
  if (s.scale_vectors) {
    const u32 *sa = w.reg<u32>(scales[0]), *sb = w.reg<u32>(scales[1]);
    u32 byte_a = op.imm & 0xff, thread_a = op.imm >> 8 & 0xff, byte_b = op.imm >> 16 & 0xff,
        thread_b = op.imm >> 24 & 0xff;
    u32 group = s.k / s.scale_vectors;
    for (u32 k = 0; k < s.k; ++k) {
      u32 v = k / group;
      for (u32 row = 0; row < 16; ++row)
        f.a_at(static_cast<int>(row), static_cast<int>(k)) *=
            scale_of(sa[(row % 8) * 4 + thread_a * 2 + row / 8], byte_a + v, s.ue4m3);
      for (u32 column = 0; column < 8; ++column)
        f.b[k][column] *= scale_of(sb[column * 4 + thread_b], byte_b + v, s.ue4m3);
    }
  }
  if (s.container || s.scale_vectors || !w.block().launch().strictness.silicon_sums) {
    multiply_rows(f, 0, static_cast<int>(s.k), sum);
    multiply_rows(f, 1, static_cast<int>(s.k), sum + 8);
  } else {
    add_as_silicon_does(f, s, sum);
  }
  for (int r = 0; r < d_count; ++r) {
    u32* lanes = w.reg<u32>(d[r]);
    for (int l = 0; l < 32; ++l) {
      int column = l % 4 * 2;
      if (s.half_d) {
        lanes[l] = float_to_half(sum[l / 4 + 8 * r][column]) | float_to_half(sum[l / 4 + 8 * r][column + 1])
                                                                   << 16;
      } else {
        float value = sum[l / 4 + 8 * (r / 2)][column + r % 2];
        lanes[l] = value != value ? kCanonicalNan : as_bits(value);
      }
    }
  }
}

void run_mma_integer(Warp& w, const Op& op) {
  if (!all_lanes(w, op)) return;
  MmaShape s = unpack(op);
  const u32* list = w.program().lists.data() + op.list;
  int sums = s.eight ? 2 : 4, b_count = static_cast<int>(s.k) * bits_of(s.b) / 128,
      a_count = b_count * (s.eight ? 1 : 2);
  const u32 *d = list, *a_slots = d + sums, *b_slots = a_slots + a_count, *c = b_slots + b_count;
  const u32 both[2] = {a_slots[0], a_slots[0]};  // m8n8 has one register, and any upper half will do
  Fragments<s32> f;
  s64 sum[16][8] = {};
  f.gather_a(w, s.eight ? both : a_slots, static_cast<int>(s.k), s.a, s.container);
  f.gather_b(w, b_slots, static_cast<int>(s.k), s.b, s.container);
  for (int r = 0; r < sums; ++r) {
    for (int l = 0; l < 32; ++l)
      sum[l / 4 + 8 * (r / 2)][l % 4 * 2 + r % 2] = static_cast<s32>(w.reg<u32>(c[r])[l]);
  }
  for (int row = 0; row < 4 * sums; ++row) {
    for (int k = 0; k < static_cast<int>(s.k); ++k) {
      for (int n = 0; n < 8; ++n) sum[row][n] += s64(f.a_at(row, k)) * f.b[k][n];
    }
  }
  for (int r = 0; r < sums; ++r) {
    for (int l = 0; l < 32; ++l) {
      s64 value = sum[l / 4 + 8 * (r / 2)][l % 4 * 2 + r % 2];
      if (s.saturate) value = std::clamp<s64>(value, INT32_MIN, INT32_MAX);
      w.reg<u32>(d[r])[l] = static_cast<u32>(value);
    }
  }
}

bool add_fragment(Decoder& d, size_t index, size_t count, bool destination) {
  const Operand& o = d.operand(index);
  std::vector<Operand> elements = o.kind == Operand::Kind::vector ? o.elements : std::vector<Operand>{o};
  if (elements.size() != count) {
    d.fail(
        fmt::format("operand {} has {} registers where the shape has {}", index + 1, elements.size(), count));
    return false;
  }
  for (const Operand& e : elements) d.add_list(destination ? d.destination(e, 32) : d.source(e, 32));
  return true;
}

// The kind, with its block scales. False where there is none.
bool take_kind(Decoder& d, MmaShape* s, bool* scaled) {
  if (d.take("kind::f8f6f4")) {
    s->container = true;
    return true;
  }
  if (d.take("kind::mxf8f6f4"))
    s->container = true, s->scale_vectors = 1;
  else if (d.take("kind::mxf4"))
    s->scale_vectors = 2;
  else if (!d.take("kind::mxf4nvf4"))
    return false;
  *scaled = true;
  if (!d.take("block_scale")) d.fail("this kind needs .block_scale");
  if (d.take("scale_vec::1X"))
    s->scale_vectors = 1;
  else if (d.take("scale_vec::2X"))
    s->scale_vectors = 2;
  else if (d.take("scale_vec::4X"))
    s->scale_vectors = 4;
  if (!s->scale_vectors) d.fail("this kind needs .scale_vec");
  return true;
}

void decode_mma(Decoder& d) {
  if (d.take("sp") || d.take("sp::ordered_metadata")) return d.fail("sparse mma is not supported");
  if (!d.take("sync")) return d.fail("mma needs .sync");
  d.take("aligned");
  if (decode_plain_mma(d)) return;
  MmaShape s{};
  bool scaled = false, kind = take_kind(d, &s, &scaled);  // ptxas takes it here and behind .row.col
  std::string_view shape = d.peek_modifier();
  s.eight = shape == "m8n8k16" || shape == "m8n8k32";
  if (shape == "m16n8k4")
    s.k = 4;
  else if (shape == "m16n8k8")
    s.k = 8;
  else if (shape == "m16n8k16" || shape == "m8n8k16")
    s.k = 16;
  else if (shape == "m16n8k32" || shape == "m8n8k32")
    s.k = 32;
  else if (shape == "m16n8k64")
    s.k = 64;
  else
    return d.fail(fmt::format("shape .{} is not supported", shape));
  d.take(shape);
  if (!d.take("row") || !d.take("col")) return d.fail("mma needs .row.col");
  if (!kind) take_kind(d, &s, &scaled);
  if (d.failed()) return;
  s.saturate = d.take("satfinite");
  auto take_element = [&]() {
    std::optional<MmaElement> e = parse_mma_element(d.peek_modifier());
    if (!e) {
      d.fail(fmt::format("element type .{} is not supported", d.peek_modifier()));
      return MmaElement::single;
    }
    d.take(d.peek_modifier());
    return *e;
  };
  MmaElement dt = take_element();
  s.a = take_element();
  s.b = take_element();
  MmaElement ct = take_element();
  if (d.failed()) return;
  if (scaled) {
    s.ue4m3 = d.take("ue4m3");
    if (!s.ue4m3 && !d.take("ue8m0")) return d.fail("the scale type is missing");
  }
  s.half_d = dt == MmaElement::f16;
  s.half_c = ct == MmaElement::f16;
  bool integer = is_integer(s.a);
  int a_bits = container_bits(s.a, s.container), b_bits = container_bits(s.b, s.container);
  if (integer != (dt == MmaElement::int32) || integer != is_integer(s.b) || a_bits != b_bits)
    return d.fail("the element types do not go together");
  size_t b_count = static_cast<size_t>(s.k) * static_cast<size_t>(b_bits) / 128,
         a_count = b_count * (s.eight ? 1 : 2), sums = s.eight ? 2 : 4;
  if (b_count < 1 || b_count > 2 || (s.eight && (!integer || b_count != 1)))
    return d.fail("this shape does not exist for the element type");
  d.expect_operands(scaled ? 8 : 4, scaled ? 8 : 4);
  if (d.failed()) return;
  add_fragment(d, 0, s.half_d ? 2 : sums, true);
  add_fragment(d, 1, a_count, false);
  add_fragment(d, 2, b_count, false);
  add_fragment(d, 3, s.half_c ? 2 : sums, false);
  if (scaled) {
    d.add_list(d.source(4, 32));
    d.add_list(d.source(6, 32));
    u64 selectors = 0;
    for (size_t i : {5, 7}) {
      const Operand& o = d.operand(i);
      if (o.elements.size() != 2 || o.elements[0].kind != Operand::Kind::integer ||
          o.elements[1].kind != Operand::Kind::integer)
        return d.fail("scale selectors must be two constants");
      int shift = i == 5 ? 0 : 16;
      selectors |= static_cast<u64>(o.elements[0].value & 0xff) << shift |
                   static_cast<u64>(o.elements[1].value & 0xff) << (shift + 8);
    }
    u32 byte_a = selectors & 0xff, thread_a = selectors >> 8 & 0xff, byte_b = selectors >> 16 & 0xff,
        thread_b = selectors >> 24 & 0xff;
    if (byte_a + s.scale_vectors > 4 || byte_b + s.scale_vectors > 4 || thread_a > 1 || thread_b > 3)
      return d.fail("a scale selector is out of range");
    d.op.imm = selectors;
  }
  d.op.mods = s.k | static_cast<u32>(s.a) << 8 | static_cast<u32>(s.b) << 12 | u32(s.half_c) << 16 |
              u32(s.half_d) << 17 | u32(s.container) << 18 | u32(s.saturate) << 19 |
              static_cast<u32>(s.scale_vectors) << 20 | u32(s.ue4m3) << 23 | u32(s.eight) << 24;
  d.op.run = integer ? run_mma_integer : run_mma_float;
}

}  // namespace

void add_matrix_instructions(InstructionTable& table) {
  table["mma"] = decode_mma;
  add_matrix_memory_instructions(table);
  add_warpgroup_instructions(table);
  add_wmma_instructions(table);
}

}  // namespace rtjit::emu
