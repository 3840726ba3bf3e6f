// Handlers made from a function of one lane's values. Every combination is a vectorised loop.
#pragma once

#include "emulator/decoder.h"
#include "emulator/execute.h"

namespace rtjit::emu {

using u32 = uint32_t;
using u64 = uint64_t;
using s32 = int32_t;
using s64 = int64_t;

template <class R, class A, auto F>
void unary(Warp& w, const Op& op) {
  const A* a = w.reg<A>(op.a);
  R* d = w.reg<R>(op.d);
  for_lanes(w, d, [=](int l) -> R { return F(a[l]); });
}
template <class R, class A, auto F>
void binary(Warp& w, const Op& op) {
  const A* a = w.reg<A>(op.a);
  const A* b = w.reg<A>(op.b);
  R* d = w.reg<R>(op.d);
  for_lanes(w, d, [=](int l) -> R { return F(a[l], b[l]); });
}
// The second operand of shifts is always 32 bits.
template <class R, class A, class B, auto F>
void binary_mixed(Warp& w, const Op& op) {
  const A* a = w.reg<A>(op.a);
  const B* b = w.reg<B>(op.b);
  R* d = w.reg<R>(op.d);
  for_lanes(w, d, [=](int l) -> R { return F(a[l], b[l]); });
}
template <class R, class A, class C, auto F>
void ternary(Warp& w, const Op& op) {
  const A* a = w.reg<A>(op.a);
  const A* b = w.reg<A>(op.b);
  const C* c = w.reg<C>(op.c);
  R* d = w.reg<R>(op.d);
  for_lanes(w, d, [=](int l) -> R { return F(a[l], b[l], c[l]); });
}

// Fills d, a (, b, c) of the common shape "op d, a, b, c" where every source has the same width.
inline void decode_operands(Decoder& d, int result_bits, Type source) {
  d.op.d = d.destination(0, result_bits);
  d.op.a = d.source(1, source);
  if (d.operand_count() > 2) d.op.b = d.source(2, source);
  if (d.operand_count() > 3) d.op.c = d.source(3, source);
}

// Floating-point forms of instructions that integers have too. The modifiers have not been read yet.
void decode_float_arithmetic(Decoder& d);
void decode_packed_single(Decoder& d);  // .f32x2
inline bool is_float_instruction(const Decoder& d) {
  std::optional<Type> type = parse_type(d.in().parts.back());
  return type && !type->is_integer() && type->kind != Type::Kind::pred;
}

}  // namespace rtjit::emu
