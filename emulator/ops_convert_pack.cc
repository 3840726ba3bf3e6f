// cvt.pack: two integers, saturated to a narrow type and put side by side, before what a third register
// holds.
#include "emulator/ops_convert_pack.h"

#include <algorithm>

#include "emulator/lane_ops.h"

namespace rtjit::emu {
namespace {

// mods: 0-7 bits of the narrow type, 8 it is signed
void run_pack(Warp& w, const Op& op) {
  u32 bits = op.mods & 0xff;
  s64 least = op.mods >> 8 & 1 ? -(s64(1) << (bits - 1)) : 0, most = least + (s64(1) << bits) - 1;
  u32 mask = (1u << bits) - 1;
  const s32 *a = w.reg<s32>(op.a), *b = w.reg<s32>(op.b);
  const u32* c = op.c == kNone ? nullptr : w.reg<u32>(op.c);
  auto narrow = [=](s32 value) { return static_cast<u32>(std::clamp<s64>(value, least, most)) & mask; };
  for_lanes(w, w.reg<u32>(op.d), [=](int l) {
    u32 pair = narrow(b[l]) | narrow(a[l]) << bits;
    return c ? pair | c[l] << 2 * bits : pair;
  });
}

}  // namespace

void decode_convert_pack(Decoder& d) {
  if (!d.take("sat")) return d.fail("cvt.pack needs .sat");
  int type = d.take_one_of({"u16", "s16", "u8", "s8", "u4", "s4", "u2", "s2"});
  if (type < 0 || !d.take("s32")) return d.fail("these types are not known to cvt.pack");
  bool third = type >= 2;
  if (third && !d.take("b32")) return d.fail("this type needs .b32 and a third operand");
  d.expect_operands(third ? 4 : 3, third ? 4 : 3);
  d.op.d = d.destination(0, 32);
  d.op.a = d.source(1, 32);
  d.op.b = d.source(2, 32);
  if (third) d.op.c = d.source(3, 32);
  d.op.mods = 16u >> type / 2 | u32(type % 2) << 8;
  d.op.run = run_pack;
}

}  // namespace rtjit::emu
