// tcgen05.cp: shared memory to tensor memory, repeated for the warps' quarters and decompressed on request.
#include "emulator/matrix_descriptor.h"
#include "emulator/ops_tcgen05.h"
#include "emulator/tensor_operand.h"

namespace rtjit::emu {
namespace {

enum class CopyShape : u32 { r128_256b, r4_256b, r128_128b, r64_02_13, r64_01_23, r32_x4 };

u32 rows_of(CopyShape shape) {
  switch (shape) {
    case CopyShape::r4_256b:
      return 4;
    case CopyShape::r64_02_13:
    case CopyShape::r64_01_23:
      return 64;
    case CopyShape::r32_x4:
      return 32;
    default:
      return 128;
  }
}

// The lanes, counted from the base, that receive a row; returns how many.
u32 lanes_of(CopyShape shape, u32 row, u32* lanes) {
  switch (shape) {
    case CopyShape::r4_256b:  // one lane in each quarter
      lanes[0] = row * 32;
      return 1;
    case CopyShape::r64_02_13:
      lanes[0] = row;
      lanes[1] = row + 64;
      return 2;
    case CopyShape::r64_01_23:
      lanes[0] = row % 32 + row / 32 * 64;
      lanes[1] = lanes[0] + 32;
      return 2;
    case CopyShape::r32_x4:
      for (u32 i = 0; i < 4; ++i) lanes[i] = row + 32 * i;
      return 4;
    default:
      lanes[0] = row;
      return 1;
  }
}

// One thread's copy within one block. a: descriptor; the list: address. mods: 0-2 shape, 3-5 bits of packed
// elements (0: none). small: cta_group
void copy(Warp& w, const Op& op, int l, Block& block) {
  auto shape = static_cast<CopyShape>(op.mods & 7);
  u32 bits = op.mods >> 3 & 7;
  bool wide = shape == CopyShape::r128_256b || shape == CopyShape::r4_256b;
  TensorMemory& memory = block.tensor_memory();
  if (!memory.check_group(w, op, op.small)) return;
  u32 address = tensor_address(w, w.program().lists.data() + op.list, l), base = address >> 16;
  u64 at = address;
  u32 most = shape == CopyShape::r4_256b ? 31 : 0;
  if (base > most)
    return w.fault(op, FaultKind::tensor_memory,
                   fmt::format("lane {} of the address; this shape allows 0 to {}", base, most), l, &at);
  TensorRegion region;
  u32 lanes[4];
  for (u32 row = 0; row < rows_of(shape); ++row) {
    u32 count = lanes_of(shape, row, lanes);
    for (u32 i = 0; i < count; ++i) region.add_lanes(base + lanes[i], 1);
  }
  region.column = address & 0xffff;
  region.columns = wide ? 8 : 4;
  auto access = shape == CopyShape::r4_256b ? TensorAccess::copy_rows : TensorAccess::copy;
  if (!memory.check(w, op, l, region, access)) return;
  MatrixDescriptor matrix(w.reg<u64>(op.a)[l]);
  bool unsupported = false;
  if (std::string problem = matrix.problem(false, false, &unsupported); !problem.empty())
    return w.fault(op, unsupported ? FaultKind::unsupported : FaultKind::tensor_memory, std::move(problem),
                   l);
  SharedSnapshot snapshot;
  PieceReader reader(w, op, l, block, &snapshot);
  for (u32 row = 0; row < rows_of(shape); ++row) {
    for (u32 piece = 0; piece < (wide ? 2u : 1u); ++piece) {
      const uint8_t* from = reader.read(matrix.row_piece(row, piece));
      if (!from) return;
      uint8_t values[16];
      if (bits)
        unpack_elements(from, bits, values);
      else
        std::memcpy(values, from, 16);
      u32 count = lanes_of(shape, row, lanes);
      for (u32 i = 0; i < count; ++i)
        std::memcpy(memory.row(base + lanes[i]) + region.column + piece * 4, values, 16);
    }
  }
  memory.mark_written(region);
  memory.add_pending(w, op, l, region, access, 0, std::move(snapshot));
}

void run_copy(Warp& w, const Op& op) {
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    w.block().races.hand_to_agent(w.who());
    for (Block* block : blocks_of_group(w, op, op.small, l)) {
      if (!w.stop) copy(w, op, l, *block);
    }
  });
}

}  // namespace

void decode_tensor_fill(Decoder& d) {
  d.op.small = static_cast<uint8_t>(take_cta_group(d));
  CopyShape shape{};
  if (d.take("128x256b")) {
    shape = CopyShape::r128_256b;
  } else if (d.take("4x256b")) {
    shape = CopyShape::r4_256b;
  } else if (d.take("128x128b")) {
    shape = CopyShape::r128_128b;
  } else if (d.take("64x128b")) {
    int pairs = d.take_one_of({"warpx2::02_13", "warpx2::01_23"});
    if (pairs < 0) return d.fail(".64x128b needs .warpx2::02_13 or .warpx2::01_23");
    shape = pairs == 0 ? CopyShape::r64_02_13 : CopyShape::r64_01_23;
  } else if (d.take("32x128b")) {
    if (!d.take("warpx4")) return d.fail(".32x128b needs .warpx4");
    shape = CopyShape::r32_x4;
  } else {
    return d.fail("the shape is not known");
  }
  u32 bits = 0;
  if (d.take("b8x16")) {
    int source = d.take_one_of({"b4x16_p64", "b6x16_p32"});
    if (source < 0) return d.fail("the source format is not known");
    bits = source == 0 ? 4 : 6;
  }
  d.expect_operands(2, 2);
  if (d.failed()) return;
  add_tensor_address(d, d.operand(0));
  d.op.a = d.source(1, 64);
  d.op.mods = static_cast<u32>(shape) | bits << 3;
  d.op.run = run_copy;
}

// The PTX ISA's words leave open which way "down" is and which lanes move; guessing would be silent.
void decode_tensor_shift(Decoder& d) { d.fail("tcgen05.shift is not supported"); }

}  // namespace rtjit::emu
