// Comparison and selection: setp set selp slct.
#include <cmath>
#include <functional>

#include "emulator/lane_ops.h"

namespace rtjit::emu {
namespace {

using Kind = Type::Kind;

enum class Compare { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan };

template <Compare C, class T>
inline bool compare(T a, T b) {
  bool unordered = a != a || b != b;
  switch (C) {
    case Compare::eq:
      return a == b;
    case Compare::ne:
      return a != b && !unordered;
    case Compare::lt:
      return a < b;
    case Compare::le:
      return a <= b;
    case Compare::gt:
      return a > b;
    case Compare::ge:
      return a >= b;
    case Compare::equ:
      return a == b || unordered;
    case Compare::neu:
      return a != b;
    case Compare::ltu:
      return !(a >= b);
    case Compare::leu:
      return !(a > b);
    case Compare::gtu:
      return !(a <= b);
    case Compare::geu:
      return !(a < b);
    case Compare::num:
      return !unordered;
    case Compare::nan:
      return unordered;
  }
  return false;
}

// How a lane's register becomes a value to compare.
struct U16 {
  using Lane = u32;
  static u32 get(u32 x) { return x; }
};
struct S16 {
  using Lane = u32;
  static s32 get(u32 x) { return static_cast<int16_t>(x); }
};
struct U32 {
  using Lane = u32;
  static u32 get(u32 x) { return x; }
};
struct S32 {
  using Lane = u32;
  static s32 get(u32 x) { return static_cast<s32>(x); }
};
struct U64 {
  using Lane = u64;
  static u64 get(u64 x) { return x; }
};
struct S64 {
  using Lane = u64;
  static s64 get(u64 x) { return static_cast<s64>(x); }
};
struct F32 {
  using Lane = u32;
  static float get(u32 x) { return as_float(x); }
};
struct F32Ftz {
  using Lane = u32;
  static float get(u32 x) { return (x & 0x7f800000) ? as_float(x) : as_float(x & 0x80000000); }
};
struct F64 {
  using Lane = u64;
  static double get(u64 x) { return as_double(x); }
};
struct F16 {
  using Lane = u32;
  static float get(u32 x) { return half_to_float(x & 0xffff); }
};
struct B16 {
  using Lane = u32;
  static float get(u32 x) { return bf16_to_float(x & 0xffff); }
};

constexpr u32 kAnd = 1, kOr = 2, kXor = 3, kNegateC = 4, kFloatResult = 8;

u32 combine(Warp& w, const Op& op, u32 bits) {
  if ((op.mods & 3) == 0) return bits;
  u32 c = w.pred(op.c);
  if (op.mods & kNegateC) c = ~c;
  switch (op.mods & 3) {
    case kAnd:
      return bits & c;
    case kOr:
      return bits | c;
    default:
      return bits ^ c;
  }
}

template <class V, Compare C>
void run_setp(Warp& w, const Op& op) {
  using Lane = typename V::Lane;
  const Lane *a = w.reg<Lane>(op.a), *b = w.reg<Lane>(op.b);
  u32 bits = lanes_where([=](int l) { return compare<C>(V::get(a[l]), V::get(b[l])); });
  if (op.list_size) {  // p|q
    u32 q = w.program().lists[op.list];
    u32 second = combine(w, op, ~bits), first = combine(w, op, bits);
    w.write_pred(op.d, first);
    w.write_pred(q, second);
    return;
  }
  w.write_pred(op.d, combine(w, op, bits));
}

template <class V, Compare C>
void run_set(Warp& w, const Op& op) {
  using Lane = typename V::Lane;
  const Lane *a = w.reg<Lane>(op.a), *b = w.reg<Lane>(op.b);
  u32 bits = combine(w, op, lanes_where([=](int l) { return compare<C>(V::get(a[l]), V::get(b[l])); }));
  u32 yes = static_cast<u32>(op.imm);
  for_lanes(w, w.reg<u32>(op.d), [=](int l) { return (bits >> l & 1) ? yes : 0u; });
}

// Packed halves: setp gives p for the low half and q for the high one; set gives both in one register.
template <class V, Compare C>
void run_setp_packed(Warp& w, const Op& op) {
  const u32 *a = w.reg<u32>(op.a), *b = w.reg<u32>(op.b);
  u32 low = combine(w, op, lanes_where([=](int l) { return compare<C>(V::get(a[l]), V::get(b[l])); }));
  u32 high =
      combine(w, op, lanes_where([=](int l) { return compare<C>(V::get(a[l] >> 16), V::get(b[l] >> 16)); }));
  w.write_pred(op.d, low);
  if (op.list_size) w.write_pred(w.program().lists[op.list], high);
}
template <class V, Compare C>
void run_set_packed(Warp& w, const Op& op) {
  const u32 *a = w.reg<u32>(op.a), *b = w.reg<u32>(op.b);
  u32 low = combine(w, op, lanes_where([=](int l) { return compare<C>(V::get(a[l]), V::get(b[l])); }));
  u32 high =
      combine(w, op, lanes_where([=](int l) { return compare<C>(V::get(a[l] >> 16), V::get(b[l] >> 16)); }));
  u32 yes = static_cast<u32>(op.imm);
  for_lanes(w, w.reg<u32>(op.d),
            [=](int l) { return ((low >> l & 1) ? yes : 0u) | ((high >> l & 1) ? yes << 16 : 0u); });
}

enum class Form { setp, set, setp_packed, set_packed };

template <class V, Compare C>
Handler handler(Form form) {
  switch (form) {
    case Form::setp:
      return run_setp<V, C>;
    case Form::set:
      return run_set<V, C>;
    case Form::setp_packed:
      if constexpr (std::is_same_v<V, F16> || std::is_same_v<V, B16>) return run_setp_packed<V, C>;
      return nullptr;
    case Form::set_packed:
      if constexpr (std::is_same_v<V, F16> || std::is_same_v<V, B16>) return run_set_packed<V, C>;
      return nullptr;
  }
  return nullptr;
}

template <class V>
Handler pick(Compare c, Form form) {
  switch (c) {
    case Compare::eq:
      return handler<V, Compare::eq>(form);
    case Compare::ne:
      return handler<V, Compare::ne>(form);
    case Compare::lt:
      return handler<V, Compare::lt>(form);
    case Compare::le:
      return handler<V, Compare::le>(form);
    case Compare::gt:
      return handler<V, Compare::gt>(form);
    case Compare::ge:
      return handler<V, Compare::ge>(form);
    default:
      break;
  }
  if constexpr (std::is_floating_point_v<decltype(V::get(0))>) {
    switch (c) {
      case Compare::equ:
        return handler<V, Compare::equ>(form);
      case Compare::neu:
        return handler<V, Compare::neu>(form);
      case Compare::ltu:
        return handler<V, Compare::ltu>(form);
      case Compare::leu:
        return handler<V, Compare::leu>(form);
      case Compare::gtu:
        return handler<V, Compare::gtu>(form);
      case Compare::geu:
        return handler<V, Compare::geu>(form);
      case Compare::num:
        return handler<V, Compare::num>(form);
      default:
        return handler<V, Compare::nan>(form);
    }
  }
  return nullptr;
}

Handler pick(Type type, bool ftz, Compare c, Form form) {
  switch (type.kind) {
    case Kind::half:
    case Kind::half2:
      return pick<F16>(c, form);
    case Kind::bfloat:
    case Kind::bfloat2:
      return pick<B16>(c, form);
    case Kind::f:
      return type.bits == 64 ? pick<F64>(c, form) : ftz ? pick<F32Ftz>(c, form) : pick<F32>(c, form);
    case Kind::s:
      return type.bits == 64 ? pick<S64>(c, form) : type.bits == 32 ? pick<S32>(c, form) : pick<S16>(c, form);
    case Kind::u:
    case Kind::bits:
      return type.bits == 64 ? pick<U64>(c, form) : type.bits == 32 ? pick<U32>(c, form) : pick<U16>(c, form);
    default:
      return nullptr;
  }
}

void decode_setp(Decoder& d) {
  bool set = d.in().parts[0] == "set";
  int c = d.take_one_of(
      {"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"});
  if (c < 0) {
    int u = d.take_one_of({"lo", "ls", "hi", "hs"});
    if (u < 0) return d.fail("this comparison is not known");
    c = static_cast<int>(Compare::lt) + u;
  }
  int combination = d.take_one_of({"and", "or", "xor"});
  bool ftz = d.take("ftz");
  std::optional<Type> result;
  if (set) result = d.take_type();
  Type type = d.take_type();
  d.expect_operands(3, 4);
  bool packed = type.kind == Kind::half2 || type.kind == Kind::bfloat2;
  d.op.a = d.source(1, type);
  d.op.b = d.source(2, type);
  if (combination >= 0) {
    bool negated = false;
    d.op.c = d.predicate_source(d.operand(3), &negated);
    d.op.mods = static_cast<u32>(combination + 1) | (negated ? kNegateC : 0);
  }
  if (set) {
    d.op.d = d.destination(0, result->bits);
    bool is_float = !result->is_integer();
    d.op.imm = packed               ? (is_float ? (result->kind == Kind::half2 ? 0x3c00 : 0x3f80) : 0xffff)
               : is_float           ? (result->bits == 32           ? 0x3f800000u
                                       : result->kind == Kind::half ? 0x3c00u
                                                                    : 0x3f80u)
               : result->bits == 16 ? 0xffffu
                                    : 0xffffffffu;
    if (packed && !is_float && result->bits != 32) d.fail("this result type is not supported");
  } else {
    d.op.d = d.predicate_destination(d.operand(0));
    if (!d.operand(0).elements.empty()) d.add_list(d.predicate_destination(d.operand(0).elements[0]));
  }
  Form form = set ? (packed ? Form::set_packed : Form::set) : (packed ? Form::setp_packed : Form::setp);
  d.op.run = pick(type, ftz, static_cast<Compare>(c), form);
  if (!d.op.run) d.fail("this comparison is not allowed for the type");
}

template <class T>
void run_selp(Warp& w, const Op& op) {
  const T *a = w.reg<T>(op.a), *b = w.reg<T>(op.b);
  u32 p = w.pred(op.c);
  if (op.mods) p = ~p;
  for_lanes(w, w.reg<T>(op.d), [=](int l) { return (p >> l & 1) ? a[l] : b[l]; });
}

void decode_selp(Decoder& d) {
  Type type = d.take_type();
  d.expect_operands(4, 4);
  d.op.d = d.destination(0, type.bits);
  d.op.a = d.source(1, type);
  d.op.b = d.source(2, type);
  bool negated = false;
  d.op.c = d.predicate_source(d.operand(3), &negated);
  d.op.mods = negated;
  d.op.run = type.bits == 64 ? run_selp<u64> : run_selp<u32>;
}

// slct d, a, b, c: a where c >= 0.
template <class T, bool Float>
void run_slct(Warp& w, const Op& op) {
  const T *a = w.reg<T>(op.a), *b = w.reg<T>(op.b);
  const u32* c = w.reg<u32>(op.c);
  for_lanes(w, w.reg<T>(op.d), [=](int l) {
    return (Float ? as_float(c[l]) >= 0.0f : static_cast<s32>(c[l]) >= 0) ? a[l] : b[l];
  });
}

void decode_slct(Decoder& d) {
  d.take("ftz");
  Type type = d.take_type(), selector = d.take_type();
  d.expect_operands(4, 4);
  d.op.d = d.destination(0, type.bits);
  d.op.a = d.source(1, type);
  d.op.b = d.source(2, type);
  d.op.c = d.source(3, selector);
  bool is_float = selector.kind == Kind::f;
  d.op.run = type.bits == 64 ? (is_float ? run_slct<u64, true> : run_slct<u64, false>)
             : is_float      ? run_slct<u32, true>
                             : run_slct<u32, false>;
}

}  // namespace

void add_compare_instructions(InstructionTable& table) {
  table["setp"] = table["set"] = decode_setp;
  table["selp"] = decode_selp;
  table["slct"] = decode_slct;
}

}  // namespace rtjit::emu
