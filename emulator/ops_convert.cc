// cvt between integers, floats, halves and the small formats, with every rounding and saturation PTX gives
// them.
#include <cmath>
#include <limits>

#include "emulator/lane_ops.h"
#include "emulator/ops_convert_pack.h"

namespace rtjit::emu {
namespace {

using Kind = Type::Kind;

struct Modifiers {
  Rounding rounding = Rounding::nearest;
  bool has_rounding = false, to_integer = false, ftz = false, saturate = false, satfinite = false,
       relu = false, stochastic = false;
};

Modifiers take_modifiers(Decoder& d) {
  Modifiers m;
  static constexpr std::string_view kNames[] = {"rn", "rz", "rm", "rp", "rna"};
  while (true) {
    bool found = false;
    for (int i = 0; i < 5 && !found; ++i) {
      if (d.take(kNames[i])) m.rounding = static_cast<Rounding>(i), m.has_rounding = found = true;
    }
    static constexpr std::string_view kInteger[] = {"rni", "rzi", "rmi", "rpi"};
    for (int i = 0; i < 4 && !found; ++i) {
      if (d.take(kInteger[i])) m.rounding = static_cast<Rounding>(i), m.to_integer = found = true;
    }
    if (found) continue;
    if (d.take("ftz"))
      m.ftz = true;
    else if (d.take("sat"))
      m.saturate = true;
    else if (d.take("satfinite"))
      m.satfinite = true;
    else if (d.take("relu"))
      m.relu = true;
    else if (d.take("rs"))
      m.stochastic = true;
    else
      break;
  }
  return m;
}

// --- between integers ---
// mods: bits 0-7 source bits, 8-15 destination bits, 16 source signed, 17 destination signed, 18 saturate, 19
// source slot is wide, 20 destination slot is wide
u64 read_integer(u64 raw, u32 bits, bool is_signed) {
  if (bits == 64) return raw;
  raw &= (u64(1) << bits) - 1;
  if (is_signed && (raw >> (bits - 1) & 1)) raw |= ~u64(0) << bits;
  return raw;
}
void run_integer(Warp& w, const Op& op) {
  u32 from = op.mods & 0xff, to = op.mods >> 8 & 0xff;
  bool from_signed = op.mods >> 16 & 1, to_signed = op.mods >> 17 & 1, saturate = op.mods >> 18 & 1;
  bool wide_in = op.mods >> 19 & 1, wide_out = op.mods >> 20 & 1;
  each_lane(w.exec, [&](int l) {
    u64 value = read_integer(wide_in ? w.reg<u64>(op.a)[l] : w.reg<u32>(op.a)[l], from, from_signed);
    if (saturate) {
      auto v = from_signed ? static_cast<__int128>(static_cast<s64>(value)) : static_cast<__int128>(value);
      __int128 high = to_signed ? (__int128(1) << (to - 1)) - 1 : (__int128(1) << to) - 1,
               low = to_signed ? -(__int128(1) << (to - 1)) : 0;
      value = static_cast<u64>(v > high ? high : v < low ? low : v);
    }
    // A destination wider than the type holds the value extended by the type's sign.
    value = read_integer(value, to, to_signed);
    if (wide_out)
      w.reg<u64>(op.d)[l] = value;
    else
      w.reg<u32>(op.d)[l] = static_cast<u32>(op.imm & value);
  });
}

// --- floats ---
double load_float(Warp& w, u32 slot, int lane, Kind kind, int bits) {
  switch (kind) {
    case Kind::half:
      return half_to_float(w.reg<u32>(slot)[lane] & 0xffff);
    case Kind::bfloat:
      return bf16_to_float(w.reg<u32>(slot)[lane] & 0xffff);
    default:
      return bits == 64 ? w.reg<double>(slot)[lane] : static_cast<double>(w.reg<float>(slot)[lane]);
  }
}

struct FloatConversion {  // packed into op.mods
  Kind from, to;
  int from_bits, to_bits;
  Rounding rounding;
  bool to_integer, ftz, saturate, satfinite, relu, wide_in, wide_out, dest_signed, source_signed;
};
u32 pack(const FloatConversion& c) {
  auto log = [](int bits) { return static_cast<u32>(std::countr_zero(static_cast<unsigned>(bits))); };
  return static_cast<u32>(c.from) | static_cast<u32>(c.to) << 4 | log(c.from_bits) << 8 |
         log(c.to_bits) << 12 | static_cast<u32>(c.rounding) << 16 | u32(c.to_integer) << 20 |
         u32(c.ftz) << 21 | u32(c.saturate) << 22 | u32(c.satfinite) << 23 | u32(c.relu) << 24 |
         u32(c.wide_in) << 25 | u32(c.wide_out) << 26;
}
FloatConversion unpack(u32 m) {
  return {static_cast<Kind>(m & 15),
          static_cast<Kind>(m >> 4 & 15),
          1 << (m >> 8 & 15),
          1 << (m >> 12 & 15),
          static_cast<Rounding>(m >> 16 & 15),
          bool(m >> 20 & 1),
          bool(m >> 21 & 1),
          bool(m >> 22 & 1),
          bool(m >> 23 & 1),
          bool(m >> 24 & 1),
          bool(m >> 25 & 1),
          bool(m >> 26 & 1),
          static_cast<Kind>(m >> 4 & 15) == Kind::s,
          static_cast<Kind>(m & 15) == Kind::s};
}

double round_to_whole(double x, Rounding rounding) {
  switch (rounding) {
    case Rounding::nearest:
      return std::nearbyint(x);
    case Rounding::zero:
      return std::trunc(x);
    case Rounding::down:
      return std::floor(x);
    case Rounding::up:
      return std::ceil(x);
    case Rounding::nearest_away:
      return std::round(x);
  }
  return x;
}

void store_float(Warp& w, const Op& op, int lane, double value, const FloatConversion& c) {
  if (c.saturate) value = value > 0 ? (value < 1 ? value : 1.0) : 0.0;
  if (c.relu && value < 0) value = 0;
  if (c.relu && value == 0) value = 0;
  switch (c.to) {
    case Kind::half:
      w.reg<u32>(op.d)[lane] = encode_float(value, kHalf, c.rounding, c.satfinite);
      return;
    case Kind::bfloat:
      w.reg<u32>(op.d)[lane] = encode_float(value, kBfloat, c.rounding, c.satfinite);
      return;
    case Kind::tf32: {
      w.reg<u32>(op.d)[lane] = encode_float(value, kTf32, c.rounding, c.satfinite) << 13;
      return;
    }
    default:
      break;
  }
  if (c.to_bits == 64) {
    w.reg<double>(op.d)[lane] = value;
    return;
  }
  u32 bits = std::isnan(value) ? kCanonicalNan : encode_float(value, kSingle, c.rounding, c.satfinite);
  if (c.ftz && (bits & 0x7f800000) == 0) bits &= 0x80000000;
  w.reg<u32>(op.d)[lane] = bits;
}

// What becomes of a NaN (PTX leaves its payload open): f64 hands the upper bits of its payload to f32 and
// f16, and itself to f64, quiet; .ftz makes an f32 canonical first.
bool convert_nan(Warp& w, const Op& op, int lane, double value, const FloatConversion& c) {
  if (!std::isnan(value) || c.saturate || c.relu || c.satfinite) return false;
  if (c.from == Kind::f && c.from_bits == 64) {
    u64 bits = as_bits(value);
    u32 sign = static_cast<u32>(bits >> 63);
    if (c.to == Kind::f && c.to_bits == 64)
      w.reg<u64>(op.d)[lane] = bits | u64(1) << 51;
    else if (c.to == Kind::f)
      w.reg<u32>(op.d)[lane] = sign << 31 | 0x7fc00000 | (static_cast<u32>(bits >> 29) & 0x3fffff);
    else if (c.to == Kind::half)
      w.reg<u32>(op.d)[lane] = sign << 15 | 0x7e00 | (static_cast<u32>(bits >> 42) & 0x1ff);
    else
      return false;
    return true;
  }
  if (c.from == Kind::f && c.to == Kind::f && c.to_bits == 64 && c.ftz) {
    w.reg<double>(op.d)[lane] = static_cast<double>(as_float(kCanonicalNan));
    return true;
  }
  return false;
}

void run_float_to_float(Warp& w, const Op& op) {
  FloatConversion c = unpack(op.mods);
  each_lane(w.exec, [&](int l) {
    double value = load_float(w, op.a, l, c.from, c.from_bits);
    if (convert_nan(w, op, l, value, c)) return;
    if (c.to == Kind::tf32 && std::isnan(value)) {
      // Rounding to nearest away cuts the bits off, also those of a NaN; the other roundings are canonical.
      u32 kept = c.rounding == Rounding::nearest_away ? w.reg<u32>(op.a)[l] : kCanonicalNan;
      w.reg<u32>(op.d)[l] = kept & 0xffffe000;
      return;
    }
    if (c.ftz && c.from == Kind::f && c.from_bits == 32 &&
        std::fabs(value) < std::numeric_limits<float>::min())
      value = std::copysign(0.0, value);
    if (c.to_integer && std::isfinite(value)) value = std::copysign(round_to_whole(value, c.rounding), value);
    store_float(w, op, l, value, c);
  });
}

void run_float_to_integer(Warp& w, const Op& op) {
  FloatConversion c = unpack(op.mods);
  each_lane(w.exec, [&](int l) {
    double value = load_float(w, op.a, l, c.from, c.from_bits);
    if (c.ftz && std::fabs(value) < std::numeric_limits<float>::min() && c.from_bits == 32) value = 0;
    u64 result;
    if (std::isnan(value)) {
      // PTX: NaN becomes zero, except that with a 64-bit side it becomes the top bit alone.
      result = c.to_bits == 64 || c.from_bits == 64 ? u64(1) << (c.to_bits - 1) : 0;
    } else {
      double whole = round_to_whole(value, c.rounding);
      double low = c.dest_signed ? -std::ldexp(1.0, c.to_bits - 1) : 0,
             limit = std::ldexp(1.0, c.dest_signed ? c.to_bits - 1 : c.to_bits);
      if (whole < low)
        result = c.dest_signed ? u64(1) << (c.to_bits - 1) : 0;
      else if (whole >= limit)
        result = c.dest_signed ? (u64(1) << (c.to_bits - 1)) - 1 : ~u64(0);
      else
        result = c.dest_signed ? static_cast<u64>(static_cast<s64>(whole)) : static_cast<u64>(whole);
    }
    result = read_integer(result, static_cast<u32>(c.to_bits), c.dest_signed);
    if (c.wide_out)
      w.reg<u64>(op.d)[l] = result;
    else
      w.reg<u32>(op.d)[l] = static_cast<u32>(result & op.imm);
  });
}

void run_integer_to_float(Warp& w, const Op& op) {
  FloatConversion c = unpack(op.mods);
  each_lane(w.exec, [&](int l) {
    u64 raw = read_integer(c.wide_in ? w.reg<u64>(op.a)[l] : w.reg<u32>(op.a)[l],
                           static_cast<u32>(c.from_bits), c.source_signed);
    // 64-bit integers do not fit a double: the high part and a sticky low part keep every rounding right.
    bool negative = c.source_signed && static_cast<s64>(raw) < 0;
    u64 magnitude = negative ? u64(0) - raw : raw;
    if (c.to == Kind::f && c.to_bits == 64) {
      auto high = static_cast<double>(magnitude & ~u64(0x7ff)), low = static_cast<double>(magnitude & 0x7ff);
      double value = high + low;
      bool exact_is_larger = (value - high)<low, exact_is_smaller = (value - high)> low;
      bool up = negative ? c.rounding == Rounding::down : c.rounding == Rounding::up;
      bool down = c.rounding == Rounding::zero ||
                  (negative ? c.rounding == Rounding::up : c.rounding == Rounding::down);
      if (exact_is_larger && up) value = std::nextafter(value, HUGE_VAL);
      if (exact_is_smaller && down) value = std::nextafter(value, 0);
      w.reg<double>(op.d)[l] = negative ? -value : value;
      return;
    }
    double value = magnitude >> 53
                       ? static_cast<double>((magnitude >> 11 | ((magnitude & 0x7ff) != 0))) * 2048.0
                       : static_cast<double>(magnitude);
    store_float(w, op, l, negative ? -value : value, c);
  });
}

// Vectorised forms of the most frequent conversions.
Handler quick_float(const FloatConversion& c) {
  bool plain =
      !c.ftz && !c.saturate && !c.satfinite && !c.relu && !c.to_integer && c.rounding == Rounding::nearest;
  if (!plain) return nullptr;
  if (c.from == Kind::bfloat && c.to == Kind::f && c.to_bits == 32)
    return unary<u32, u32, [](u32 a) { return a << 16; }>;
  if (c.from == Kind::half && c.to == Kind::f && c.to_bits == 32)
    return unary<u32, u32,
                 [](u32 a) { return ((a & 0x7fff) > 0x7c00) ? kCanonicalNan : as_bits(half_to_float(a)); }>;
  if (c.from == Kind::f && c.from_bits == 32 && c.to == Kind::bfloat)
    return unary<u32, float, [](float a) { return float_to_bf16(a); }>;
  if (c.from == Kind::f && c.from_bits == 32 && c.to == Kind::half)
    return unary<u32, float, [](float a) { return float_to_half(a); }>;
  return nullptr;
}

// --- two values packed in one register ---
struct PackedFormat {
  std::string_view name;
  int bits;  // of one element
  FloatFormat format;
  bool scale;  // ue8m0
};
constexpr PackedFormat kPacked[] = {
    {"f16x2", 16, kHalf, false}, {"bf16x2", 16, kBfloat, false}, {"e4m3x2", 8, kE4M3, false},
    {"e5m2x2", 8, kE5M2, false}, {"e2m3x2", 8, kE2M3, false},    {"e3m2x2", 8, kE3M2, false},
    {"e2m1x2", 4, kE2M1, false}, {"ue8m0x2", 8, kE4M3, true},
};
int packed_index(std::string_view name) {
  for (size_t i = 0; i < std::size(kPacked); ++i) {
    if (kPacked[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

u32 encode_element(double value, const PackedFormat& f, u32 mods) {
  auto rounding = static_cast<Rounding>(mods >> 8 & 7);
  bool satfinite = mods & 1 << 11, relu = mods & 1 << 12;
  if (f.scale) return encode_ue8m0(value, rounding, satfinite);
  if (relu && (value < 0 || value == 0)) value = 0;
  return encode_float(value, f.format, rounding, satfinite);
}

// From two f32 registers: the first operand becomes the upper half.
void run_pack_pair(Warp& w, const Op& op) {
  const PackedFormat& f = kPacked[op.mods & 0xff];
  const float *a = w.reg<float>(op.a), *b = w.reg<float>(op.b);
  for_lanes(w, w.reg<u32>(op.d), [&](int l) {
    return encode_element(a[l], f, op.mods) << f.bits | encode_element(b[l], f, op.mods);
  });
}
void run_pack_bf16(Warp& w, const Op& op) {
  const float *a = w.reg<float>(op.a), *b = w.reg<float>(op.b);
  for_lanes(w, w.reg<u32>(op.d), [=](int l) { return float_to_bf16(a[l]) << 16 | float_to_bf16(b[l]); });
}
void run_pack_half(Warp& w, const Op& op) {
  const float *a = w.reg<float>(op.a), *b = w.reg<float>(op.b);
  for_lanes(w, w.reg<u32>(op.d), [=](int l) { return float_to_half(a[l]) << 16 | float_to_half(b[l]); });
}
// Between packed formats.
void run_packed(Warp& w, const Op& op) {
  const PackedFormat &to = kPacked[op.mods & 0xff], &from = kPacked[op.imm & 0xff];
  const u32* a = w.reg<u32>(op.a);
  u32 mask = (1u << from.bits) - 1;
  for_lanes(w, w.reg<u32>(op.d), [&](int l) {
    auto element = [&](u32 bits) {
      double value = from.scale ? decode_ue8m0(bits) : decode_float(bits, from.format);
      return encode_element(value, to, op.mods);
    };
    return element(a[l] & mask) | element(a[l] >> from.bits & mask) << to.bits;
  });
}

void decode_packed(Decoder& d, const Modifiers& m, int to) {
  const PackedFormat& f = kPacked[to];
  d.take(f.name);
  d.op.mods =
      static_cast<u32>(to) | static_cast<u32>(m.rounding) << 8 | u32(m.satfinite) << 11 | u32(m.relu) << 12;
  if (m.stochastic || m.saturate) return d.fail("this rounding of packed conversions is not supported");
  d.op.d = d.destination(0, f.bits * 2);
  if (d.take("f32")) {
    d.expect_operands(3, 3);
    d.op.a = d.source(1, Type{Kind::f, 32});
    d.op.b = d.source(2, Type{Kind::f, 32});
    bool plain = !m.satfinite && !m.relu && m.rounding == Rounding::nearest;
    d.op.run = plain && f.name == "bf16x2"  ? run_pack_bf16
               : plain && f.name == "f16x2" ? run_pack_half
                                            : run_pack_pair;
    return;
  }
  int from = packed_index(d.peek_modifier());
  if (from < 0) return d.fail("this packed conversion is not supported");
  d.take(d.peek_modifier());
  d.expect_operands(2, 2);
  d.op.a = d.source(1, kPacked[from].bits * 2);
  d.op.imm = static_cast<u64>(from);
  d.op.run = run_packed;
}

void decode_cvt(Decoder& d) {
  if (d.take("pack")) return decode_convert_pack(d);
  Modifiers m = take_modifiers(d);
  if (int to = packed_index(d.peek_modifier()); to >= 0) return decode_packed(d, m, to);
  Type to = d.take_type(), from = d.take_type();
  d.expect_operands(2, 2);
  if (d.failed()) return;
  int in_width = d.register_width(d.operand(1)), out_width = d.register_width(d.operand(0));
  if (in_width == 0) in_width = from.bits <= 32 ? 32 : 64;
  FloatConversion c{from.kind,      to.kind,         from.bits,      to.bits,         m.rounding,
                    m.to_integer,   m.ftz,           m.saturate,     m.satfinite,     m.relu,
                    in_width == 64, out_width == 64, to.is_signed(), from.is_signed()};
  d.op.d = d.destination(0, out_width);
  d.op.a = d.source(d.operand(1), in_width, from.kind);
  d.op.mods = pack(c);
  // A 16-bit destination register keeps its upper half zero.
  d.op.imm = d.declared_bits(d.operand(0)) == 16  ? 0xffff
             : d.declared_bits(d.operand(0)) == 8 ? 0xff
                                                  : 0xffffffff;
  if (from.is_integer() && to.is_integer()) {
    d.op.mods = static_cast<u32>(from.bits) | static_cast<u32>(to.bits) << 8 | u32(from.is_signed()) << 16 |
                u32(to.is_signed()) << 17 | u32(m.saturate) << 18 | u32(in_width == 64) << 19 |
                u32(out_width == 64) << 20;
    d.op.run = run_integer;
    if (m.saturate) return;
    if (from.bits == 32 && to.bits == 64 && in_width == 32)
      d.op.run = from.is_signed() ? unary<u64, u32, [](u32 a) { return static_cast<u64>(s64(s32(a))); }>
                                  : unary<u64, u32, [](u32 a) { return u64(a); }>;
    else if (from.bits == 64 && to.bits == 32 && out_width == 32)
      d.op.run = unary<u32, u64, [](u64 a) { return static_cast<u32>(a); }>;
    else if (from.bits == 16 && to.bits == 32 && in_width == 32 && out_width == 32)
      d.op.run = from.is_signed()
                     ? unary<u32, u32, [](u32 a) { return static_cast<u32>(static_cast<int16_t>(a)); }>
                     : unary<u32, u32, [](u32 a) { return a & 0xffff; }>;
    else if (to.bits == 16 && in_width == 32 && out_width == 32 && !to.is_signed() && from.bits >= 16)
      d.op.run = unary<u32, u32, [](u32 a) { return a & 0xffff; }>;
    else if (from.bits == 32 && to.bits == 32 && in_width == 32 && out_width == 32)
      d.op.run = unary<u32, u32, [](u32 a) { return a; }>;
    return;
  }
  if (to.is_integer()) {
    d.op.run = run_float_to_integer;
  } else if (from.is_integer()) {
    d.op.run = run_integer_to_float;
    if (from.bits == 32 && in_width == 32 && to.kind == Kind::f && to.bits == 32 &&
        m.rounding == Rounding::nearest && !m.saturate)
      d.op.run = from.is_signed()
                     ? unary<float, s32, [](s32 a) { return static_cast<float>(a); }>
                     : unary<float, u32, [](u32 a) { return static_cast<float>(static_cast<double>(a)); }>;
  } else {
    d.op.run = run_float_to_float;
    if (Handler quick = quick_float(c)) d.op.run = quick;
  }
}

}  // namespace

void add_convert_instructions(InstructionTable& table) { table["cvt"] = decode_cvt; }

}  // namespace rtjit::emu
