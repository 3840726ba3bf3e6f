#include "emulator/ops_ldmatrix.h"

#include <cstring>

#include "emulator/memory_access.h"

namespace rtjit::emu {
namespace {

using ptx::Operand;

// mods: 0 transposed, 1-2 source format (0 whole, 1 b4x16_p64, 2 b6x16_p32), 3 stmatrix of 8-bit elements
constexpr u32 kTranspose = 1, kBytes = 8;

bool all_lanes(Warp& w, const Op& op, const char* name) {
  if (w.exec == ~0u) return true;
  w.fault(op, FaultKind::barrier, fmt::format("{} needs all 32 lanes; lanes {:#x} execute it", name, w.exec));
  return false;
}

// The 16 bytes of the row whose address the lane gives. False after a fault.
bool load_row(Warp& w, const Op& op, u32 lane_index, uint8_t (&row)[16]) {
  int lane = static_cast<int>(lane_index);
  u32 format = op.mods >> 1 & 3, bytes = format == 1 ? 8 : format == 2 ? 12 : 16;
  u64 address = kSharedWindow + (lane_address(w, op, lane) & 0xffffffff);
  uint8_t* shadow = nullptr;
  const uint8_t* p =
      w.locate<ptx::Space::shared>(op, address & 0xffffffff, lane, 16, 16, Access::read, &shadow);
  if (!p || (!is_written(shadow, bytes) && !w.check_written(op, shadow, bytes, lane, address))) return false;
  if (!check_race<false>(w, op, shadow, bytes, lane)) return false;
  if (format == 0) {
    std::memcpy(row, p, 16);
    return true;
  }
  // Sub-byte elements are spread, each into the low bits of a byte.
  u32 bits = format == 1 ? 4 : 6;
  for (u32 e = 0; e < 16; ++e) {
    u32 position = e * bits, word = 0;
    std::memcpy(&word, p + position / 8, position / 8 + 2 <= bytes ? 2 : 1);
    row[e] = static_cast<uint8_t>(word >> position % 8 & ((1u << bits) - 1));
  }
  return true;
}

// Lane i gives the address of row i % 8 of matrix i / 8; lane 4r+c receives two 16-bit elements of row r.
void run_ldmatrix(Warp& w, const Op& op) {
  if (!all_lanes(w, op, "ldmatrix")) return;
  const u32* list = w.program().lists.data() + op.list;
  for (u32 m = 0; m < op.list_size; ++m) {
    uint8_t rows[8][16];
    for (u32 r = 0; r < 8; ++r) {
      if (!load_row(w, op, m * 8 + r, rows[r])) return;
    }
    u32* d = w.reg<u32>(list[m]);
    if (!(op.mods & kTranspose)) {
      std::memcpy(d, rows, sizeof(rows));
      continue;
    }
    auto element = [&](u32 row, u32 column) {
      return rows[row][column * 2] | u32(rows[row][column * 2 + 1]) << 8;
    };
    for (u32 l = 0; l < 32; ++l) d[l] = element(l % 4 * 2, l / 4) | element(l % 4 * 2 + 1, l / 4) << 16;
  }
}

// m16n16: lane i gives the address of row i % 16 of matrix i / 16. Lane 4c+t receives rows 4t to 4t + 3 of
// columns c and c + 8 (each register has two rows of both), as CUTLASS describes it.
void run_ldmatrix_bytes(Warp& w, const Op& op) {
  if (!all_lanes(w, op, "ldmatrix")) return;
  const u32* list = w.program().lists.data() + op.list;
  for (u32 m = 0; m * 2 < op.list_size; ++m) {
    uint8_t rows[16][16];
    for (u32 r = 0; r < 16; ++r) {
      if (!load_row(w, op, m * 16 + r, rows[r])) return;
    }
    for (u32 half = 0; half < 2; ++half) {
      u32* d = w.reg<u32>(list[m * 2 + half]);
      for (u32 l = 0; l < 32; ++l) {
        u32 row = l % 4 * 4 + half * 2, column = l / 4;
        d[l] = rows[row][column] | rows[row + 1][column] << 8 | rows[row][column + 8] << 16 |
               u32(rows[row + 1][column + 8]) << 24;
      }
    }
  }
}

// Lane i gives the address of row i % 8 of matrix i / 8, a row of 8 elements of 16 bits or 16 of 8 bits. The
// latter are a transposed fragment of m16n8: lane 4g+t holds columns 2t and 2t + 1 of rows g and g + 8.
void run_stmatrix(Warp& w, const Op& op) {
  if (!all_lanes(w, op, "stmatrix")) return;
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
      if (op.mods & kBytes) {
        for (u32 c = 0; c < 16; ++c)
          p[c] = static_cast<uint8_t>(a[c % 8 * 4 + r / 2] >> (r % 2 * 8 + c / 8 * 16));
        continue;
      }
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

enum MatrixShape { m8n8, m8n16, m16n16, m16n8 };

// The type behind the shape and .trans. Empty, or why the form does not exist.
std::string_view take_matrix_type(Decoder& d, int shape) {
  const bool transposed = d.op.mods & kTranspose;
  switch (shape) {
    case m8n8:
      return d.take("b16") ? "" : "m8n8 needs .b16";
    case m16n8:
      d.op.mods |= kBytes;
      return transposed && d.take("b8") ? "" : "m16n8 needs .trans and .b8";
    case m16n16:
      if (!transposed) return "m16n16 needs .trans";
      if (d.take("b8")) return "";
      break;
    default:
      if (transposed) return "m8n16 has no .trans";
  }
  if (!d.take("b8x16")) return "this shape needs .b8x16 and a source format";
  int format = d.take_one_of({"b4x16_p64", "b6x16_p32"});
  if (format < 0) return "the source format is not known";
  d.op.mods |= static_cast<u32>(format + 1) << 1;
  return "";
}

void decode_matrix_memory(Decoder& d) {
  bool load = d.in().parts[0] == "ldmatrix";
  d.take("sync");
  d.take("aligned");
  int shape = d.take_one_of({"m8n8", "m8n16", "m16n16", "m16n8"});
  if (shape < 0) return d.fail(fmt::format("shape .{} is not supported", d.peek_modifier()));
  int count_index = d.take_one_of({"x1", "x2", "x4"});
  size_t count = count_index < 0 ? 1 : size_t(1) << count_index;
  if (d.take("trans")) d.op.mods |= kTranspose;
  d.take("shared") || d.take("shared::cta");
  if (load ? shape == m16n8 : shape == m8n16 || shape == m16n16)
    return d.fail(load ? "ldmatrix has no .m16n8" : "stmatrix has .m8n8 and .m16n8 alone");
  if (std::string_view why = take_matrix_type(d, shape); !why.empty()) return d.fail(std::string(why));
  if (shape == m16n16) {
    if (count == 4) return d.fail("m16n16 has .x1 and .x2");
    count *= 2;  // two registers for each
  }
  d.expect_operands(2, 2);
  const Operand& registers = d.operand(load ? 0 : 1);
  std::vector<Operand> elements =
      registers.kind == Operand::Kind::vector ? registers.elements : std::vector<Operand>{registers};
  if (elements.size() != count)
    return d.fail(fmt::format("{} registers where {} are needed", elements.size(), count));
  decode_address(d, load ? 1 : 0);
  for (const Operand& e : elements) d.add_list(load ? d.destination(e, 32) : d.source(e, 32));
  d.op.run = !load ? run_stmatrix : shape == m16n16 ? run_ldmatrix_bytes : run_ldmatrix;
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
