#include "emulator/ops_ldmatrix.h"

#include <cstring>

#include "emulator/memory_access.h"

namespace rtjit::emu {
namespace {

using ptx::Operand;

// mods: 0 transposed, 1-2 source format (0 whole, 1 b4x16_p64, 2 b6x16_p32)
constexpr u32 kTranspose = 1;

// Lane i gives the address of row i % 8 of matrix i / 8; lane 4r+c receives two 16-bit elements of row r.
void run_ldmatrix(Warp& w, const Op& op) {
  if (w.exec != ~0u)
    return w.fault(op, FaultKind::barrier,
                   fmt::format("ldmatrix needs all 32 lanes; lanes {:#x} execute it", w.exec));
  const u32* list = w.program().lists.data() + op.list;
  u32 format = op.mods >> 1 & 3;
  for (u32 m = 0; m < op.list_size; ++m) {
    u32 rows[8][4];
    for (u32 r = 0; r < 8; ++r) {
      int lane = static_cast<int>(m * 8 + r);
      u64 address = kSharedWindow + (lane_address(w, op, lane) & 0xffffffff);
      u32 bytes = format == 1 ? 8 : format == 2 ? 12 : 16;
      const uint8_t* p = nullptr;
      uint8_t* shadow = nullptr;
      p = w.locate<ptx::Space::shared>(op, address & 0xffffffff, lane, 16, 16, Access::read, &shadow);
      if (!p || (!is_written(shadow, bytes) && !w.check_written(op, shadow, bytes, lane, address))) return;
      if (!check_race<false>(w, op, shadow, bytes, lane)) return;
      if (format == 0) {
        std::memcpy(rows[r], p, 16);
      } else {
        // Sub-byte elements are spread, each into the low bits of a byte.
        uint8_t out[16];
        u32 bits = format == 1 ? 4 : 6;
        for (u32 e = 0; e < 16; ++e) {
          u32 position = e * bits, word = 0;
          std::memcpy(&word, p + position / 8, position / 8 + 2 <= bytes ? 2 : 1);
          out[e] = static_cast<uint8_t>(word >> position % 8 & ((1u << bits) - 1));
        }
        std::memcpy(rows[r], out, 16);
      }
    }
    u32* d = w.reg<u32>(list[m]);
    for (u32 l = 0; l < 32; ++l) {
      if (op.mods & kTranspose) {
        auto element = [&](u32 row, u32 column) {
          return rows[row][column / 2] >> (column % 2 * 16) & 0xffff;
        };
        d[l] = element(l % 4 * 2, l / 4) | element(l % 4 * 2 + 1, l / 4) << 16;
      } else {
        d[l] = rows[l / 4][l % 4];
      }
    }
  }
}

void run_stmatrix(Warp& w, const Op& op) {
  if (w.exec != ~0u)
    return w.fault(op, FaultKind::barrier,
                   fmt::format("stmatrix needs all 32 lanes; lanes {:#x} execute it", w.exec));
  const u32* list = w.program().lists.data() + op.list;
  for (u32 m = 0; m < op.list_size; ++m) {
    const u32* a = w.reg<u32>(list[m]);
    for (u32 r = 0; r < 8; ++r) {
      int lane = static_cast<int>(m * 8 + r);
      u64 address = kSharedWindow + (lane_address(w, op, lane) & 0xffffffff);
      uint8_t* shadow = nullptr;
      uint8_t* p =
          w.locate<ptx::Space::shared>(op, address & 0xffffffff, lane, 16, 16, Access::write, &shadow);
      if (!p || !mark_written(w, op, shadow, 16, lane, address)) return;
      uint16_t row[8];
      for (u32 c = 0; c < 8; ++c) {
        // Element (r, c) of the fragment, or (c, r) when transposed.
        u32 i = op.mods & kTranspose ? c : r, j = op.mods & kTranspose ? r : c;
        row[c] = static_cast<uint16_t>(a[i * 4 + j / 2] >> (j % 2 * 16));
      }
      std::memcpy(p, row, 16);
    }
  }
}

void decode_matrix_memory(Decoder& d) {
  bool load = d.in().parts[0] == "ldmatrix";
  d.take("sync");
  d.take("aligned");
  int shape = d.take_one_of({"m8n8", "m8n16"});
  if (shape < 0) return d.fail(fmt::format("shape .{} is not supported", d.peek_modifier()));
  int count_index = d.take_one_of({"x1", "x2", "x4"});
  size_t count = count_index < 0 ? 1 : size_t(1) << count_index;
  if (d.take("trans")) d.op.mods |= kTranspose;
  d.take("shared") || d.take("shared::cta");
  if (shape == 0) {
    if (!d.take("b16")) return d.fail("m8n8 needs .b16");
  } else {
    if (!load || (d.op.mods & kTranspose)) return d.fail("this form is not supported");
    if (d.take("b8x16")) {
      if (d.take("b4x16_p64"))
        d.op.mods |= 1 << 1;
      else if (d.take("b6x16_p32"))
        d.op.mods |= 2 << 1;
      else
        return d.fail("the source format is not known");
    } else {
      return d.fail("m8n16 needs .b8x16");
    }
  }
  d.expect_operands(2, 2);
  const Operand& registers = d.operand(load ? 0 : 1);
  std::vector<Operand> elements =
      registers.kind == Operand::Kind::vector ? registers.elements : std::vector<Operand>{registers};
  if (elements.size() != count)
    return d.fail(fmt::format("{} registers for {} matrices", elements.size(), count));
  decode_address(d, load ? 1 : 0);
  for (const Operand& e : elements) d.add_list(load ? d.destination(e, 32) : d.source(e, 32));
  d.op.run = load ? run_ldmatrix : run_stmatrix;
}

void decode_movmatrix(Decoder& d) {
  d.take("sync");
  d.take("aligned");
  if (!d.take("m8n8") || !d.take("trans") || !d.take("b16")) return d.fail("only .m8n8.trans.b16 exists");
  d.op.d = d.destination(0, 32);
  d.op.a = d.source(1, 32);
  d.op.run = [](Warp& w, const Op& op) {
    if (w.exec != ~0u) return w.fault(op, FaultKind::barrier, "movmatrix needs all 32 lanes");
    u32 a[32];
    std::memcpy(a, w.reg<u32>(op.a), sizeof(a));
    u32* d_lanes = w.reg<u32>(op.d);
    auto element = [&](u32 row, u32 column) { return a[row * 4 + column / 2] >> (column % 2 * 16) & 0xffff; };
    for (u32 l = 0; l < 32; ++l) d_lanes[l] = element(l % 4 * 2, l / 4) | element(l % 4 * 2 + 1, l / 4) << 16;
  };
}

}  // namespace

void add_matrix_memory_instructions(InstructionTable& table) {
  table["ldmatrix"] = table["stmatrix"] = decode_matrix_memory;
  table["movmatrix"] = decode_movmatrix;
}

}  // namespace rtjit::emu
