// mma.sync with f64 elements and with single bits. Register r of lane 4g + t holds, of A, row g + 8 * (r odd)
// and the columns from (t + 4 * (r / 2)) * elements of a register; B has column g in place of the row.
#include "emulator/ops_matrix_plain.h"

#include <algorithm>
#include <span>

#include "emulator/memory_access.h"
#include "emulator/plain_matrix.h"

namespace rtjit::emu {
namespace {

using ptx::Operand;

struct Shape {
  std::string_view name;
  u32 m, k;
};
constexpr Shape kDoubles[] = {{"m8n8k4", 8, 4}, {"m16n8k4", 16, 4}, {"m16n8k8", 16, 8}, {"m16n8k16", 16, 16}};
constexpr Shape kBits[] = {{"m8n8k128", 8, 128}, {"m16n8k128", 16, 128}, {"m16n8k256", 16, 256}};

u64 lane_bits(Warp& w, u32 slot, int lane, bool wide) {
  return wide ? w.reg<u64>(slot)[lane] : w.reg<u32>(slot)[lane];
}

// A fragment of A (or of B, whose columns stand for A's rows) as a matrix of rows x k.
PlainMatrix gather(Warp& w, const u32* slots, u32 rows, u32 k, bool doubles) {
  PlainMatrix m(rows, k);
  u32 elements = doubles ? 1 : 32, halves = rows / 8;
  for (u32 r = 0; r * 4 * elements / halves < k; ++r) {
    for (u32 lane = 0; lane < 32; ++lane) {
      u64 bits = lane_bits(w, slots[r], static_cast<int>(lane), doubles);
      u32 row = lane / 4 + r % halves * 8, first = (lane % 4 + r / halves * 4) * elements;
      for (u32 e = 0; e < elements; ++e) m.at(row, first + e) = doubles ? bits : bits >> e & 1;
    }
  }
  return m;
}

// mods: 0-8 k, 9 sixteen rows, 10 doubles, 11 and instead of xor, 12-13 rounding. The list: d, a, b, c
void run_plain_mma(Warp& w, const Op& op) {
  if (w.exec != ~0u)
    return w.fault(op, FaultKind::barrier,
                   fmt::format("a matrix instruction needs all 32 lanes; lanes {:#x} execute it", w.exec));
  u32 k = op.mods & 0x1ff, rows = op.mods >> 9 & 1 ? 16 : 8;
  bool doubles = op.mods >> 10 & 1;
  u32 d_count = rows / 4, b_count = k / (doubles ? 4 : 128);
  const u32 *d = w.program().lists.data() + op.list, *a = d + d_count, *b = a + b_count * (rows / 8),
            *c = b + b_count;
  PlainMatrix left = gather(w, a, rows, k, doubles), turned = gather(w, b, 8, k, doubles), right(k, 8),
              sums(rows, 8);
  for (u32 i = 0; i < k; ++i) {
    for (u32 n = 0; n < 8; ++n) right.at(i, n) = turned.at(n, i);
  }
  auto each = [&](auto f) {
    for (u32 r = 0; r < d_count; ++r) {
      for (u32 lane = 0; lane < 32; ++lane)
        f(r, static_cast<int>(lane), lane / 4 + r / 2 * 8, lane % 4 * 2 + r % 2);
    }
  };
  each([&](u32 r, int lane, u32 row, u32 column) {
    sums.at(row, column) = lane_bits(w, c[r], lane, doubles);
  });
  PlainProduct form;
  form.a = form.b = doubles ? PlainElement::f64 : PlainElement::b1;
  form.c = form.d = doubles ? PlainElement::f64 : PlainElement::s32_;
  form.bit_and = op.mods >> 11 & 1;
  form.rounding = static_cast<Rounding>(op.mods >> 12 & 3);
  PlainMatrix result = multiply(left, right, sums, form);
  each([&](u32 r, int lane, u32 row, u32 column) {
    if (doubles)
      w.reg<u64>(d[r])[lane] = result.at(row, column);
    else
      w.reg<u32>(d[r])[lane] = static_cast<u32>(result.at(row, column));
  });
}

bool add_registers(Decoder& d, size_t index, size_t count, int bits, bool destination) {
  const Operand& o = d.operand(index);
  std::vector<Operand> elements = o.kind == Operand::Kind::vector ? o.elements : std::vector<Operand>{o};
  if (elements.size() != count) {
    d.fail(
        fmt::format("operand {} has {} registers where the shape has {}", index + 1, elements.size(), count));
    return false;
  }
  for (const Operand& e : elements)
    d.add_list(destination ? d.destination(e, bits)
                           : d.source(e, bits, bits == 64 ? Type::Kind::f : Type::Kind::bits));
  return true;
}

}  // namespace

bool decode_plain_mma(Decoder& d) {
  bool doubles = d.has_modifier("f64");
  if (!doubles && !d.has_modifier("b1")) return false;
  const Shape* shape = nullptr;
  for (const Shape& s : doubles ? std::span<const Shape>(kDoubles) : std::span<const Shape>(kBits)) {
    if (d.take(s.name)) shape = &s;
  }
  if (!shape) {
    d.fail(fmt::format("shape .{} does not exist for these elements", d.peek_modifier()));
    return true;
  }
  if (!d.take("row") || !d.take("col")) d.fail("mma needs .row.col");
  int rounding = doubles ? std::max(0, d.take_one_of({"rn", "rz", "rm", "rp"})) : 0;
  for (const char* type :
       {doubles ? "f64" : "s32", doubles ? "f64" : "b1", doubles ? "f64" : "b1", doubles ? "f64" : "s32"}) {
    if (!d.take(type)) d.fail(fmt::format("type .{} is expected", type));
  }
  int operation = doubles ? 0 : d.take_one_of({"xor", "and"});
  if (operation < 0 || (!doubles && !d.take("popc"))) d.fail(".xor.popc or .and.popc is expected");
  d.expect_operands(4, 4);
  if (d.failed()) return true;
  int bits = doubles ? 64 : 32;
  size_t b_count = shape->k / (doubles ? 4 : 128);
  if (!add_registers(d, 0, shape->m / 4, bits, true) ||
      !add_registers(d, 1, b_count * (shape->m / 8), bits, false) ||
      !add_registers(d, 2, b_count, bits, false) || !add_registers(d, 3, shape->m / 4, bits, false))
    return true;
  d.op.mods = shape->k | u32(shape->m == 16) << 9 | u32(doubles) << 10 | u32(operation == 1) << 11 |
              static_cast<u32>(rounding) << 12;
  d.op.run = run_plain_mma;
  return true;
}

}  // namespace rtjit::emu
