#include "tests/silicon/inputs.h"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

namespace rtjit::silicon {
namespace {

const std::vector<uint64_t>& corners(OperandType type) {
  static const std::vector<uint64_t>
      kDouble = {0,
                 0x8000000000000000,
                 0x3ff0000000000000,
                 0xbff0000000000000,
                 0x7ff0000000000000,
                 0xfff0000000000000,
                 0x7ff8000000000000,
                 0xfff8000000001234,
                 0x7ff0000000000001,
                 0x0010000000000000,
                 0x000fffffffffffff,
                 1,
                 0x7fefffffffffffff,
                 0x41dfffffffc00000,
                 0x41e0000000000000,
                 0xc3e0000000000000,
                 0x3fe0000000000000,
                 0x3ff8000000000000,
                 0x3ff0000000000001,
                 0x4004000000000000,
                 0x36a0000000000000,
                 0x47efffffefffffff},
      kSingle = {0,          0x80000000, 0x3f800000, 0xbf800000, 0x3f000000, 0x7f800000, 0xff800000,
                 0x7fc00000, 0xffc12345, 0x7f800001, 0x00800000, 0x007fffff, 0x00000001, 0x80000001,
                 0x7f7fffff, 0x4f000000, 0xcf000001, 0x5f000000, 0x3f808000, 0x3f818000, 0x33800000,
                 0x477fe000, 0x477ff000, 0x43e00000, 0x43e80001, 0x3fc00000, 0x40200000, 0x38800000},
      kHalf = {0,      0x8000, 0x3c00, 0xbc00, 0x7c00, 0xfc00, 0x7e00, 0xfe12, 0x7c01, 0x0400, 0x03ff, 0x0001,
               0x8001, 0x7bff, 0xfbff, 0x3800, 0x3e00, 0x4100, 0x3c01, 0x1400, 0x5fff, 0x7800, 0x0bff},
      kBfloat = {0,      0x8000, 0x3f80, 0xbf80, 0x7f80, 0xff80, 0x7fc0, 0xffc1,
                 0x7f81, 0x0080, 0x007f, 0x0001, 0x8001, 0x7f7f, 0xff7f, 0x3f00,
                 0x3fc0, 0x4020, 0x3f81, 0x3b80, 0x5f00, 0x0100, 0x7f00},
      kBytes = {0x0000, 0x7f80, 0xff7e, 0x7c7b, 0xfc7d, 0x0180,
                0x0807, 0x3878, 0xb8f8, 0x3c04, 0x0302, 0x7e01},
      kWide = {0,
               1,
               2,
               31,
               32,
               63,
               64,
               0x7fffffff,
               0x80000000,
               0xffffffff,
               0x7fffffffffffffff,
               0x8000000000000000,
               0xffffffffffffffff,
               0xfffffffffffffffe,
               0x0123456789abcdef,
               0xff},
      kWord = {0,          1,          2,          7,          31,     32,     33,
               0x7fffffff, 0x80000000, 0xffffffff, 0x80000001, 0xffff, 0x8000, 0x7f,
               0xff,       0x00ff00ff, 0x12345678, 0xfffffff0, 100,    0xff80},
      kShort = {0, 1, 2, 5, 15, 16, 0x7fff, 0x8000, 0xffff, 0x8001, 0x7f, 0x80, 0xff, 0xff00, 0x1234};
  switch (type.kind) {
    case Kind::f64:
      return kDouble;
    case Kind::f32:
      return kSingle;
    case Kind::f16:
      return kHalf;
    case Kind::bf16:
      return kBfloat;
    case Kind::e4m3x2:
    case Kind::e5m2x2:
      return kBytes;
    default:
      return type.bits == 64 ? kWide : type.bits == 32 ? kWord : kShort;
  }
}

uint64_t with_moderate_exponent(OperandType type, uint64_t bits, uint64_t hash) {
  switch (type.kind) {
    case Kind::f64:
      return (bits & 0x800fffffffffffff) | (0x3f0 + hash % 32) << 52;
    case Kind::f32:
      return (bits & 0x807fffff) | (0x70 + hash % 32) << 23;
    case Kind::f16:
      return (bits & 0x83ff) | (8 + hash % 16) << 10;
    case Kind::bf16:
      return (bits & 0x807f) | (0x78 + hash % 16) << 7;
    default:
      return hash % 3 ? bits : bits & 0xff;
  }
}

}  // namespace

uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

uint64_t hash_bytes(const void* data, size_t bytes, uint64_t seed) {
  uint64_t hash = seed ^ 0xcbf29ce484222325;
  const auto* p = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < bytes; ++i) hash = (hash ^ p[i]) * 0x100000001b3;
  return mix(hash);
}

OperandType parse_operand_type(std::string_view name) {
  if (name == "f64") return {Kind::f64, 64};
  if (name == "f32" || name == "tf32") return {Kind::f32, 32};
  if (name == "f16") return {Kind::f16, 16};
  if (name == "bf16") return {Kind::bf16, 16};
  if (name == "f16x2") return {Kind::f16x2, 32};
  if (name == "bf16x2") return {Kind::bf16x2, 32};
  if (name == "e4m3x2") return {Kind::e4m3x2, 16};
  if (name == "e5m2x2") return {Kind::e5m2x2, 16};
  if (name == "angle") return {Kind::angle, 32};
  if (name == "moderate") return {Kind::moderate, 32};
  if (name == "index") return {Kind::index, 32};
  int bits = std::atoi(std::string(name.substr(1)).c_str());
  return {Kind::integer, bits < 16 ? 32 : bits};
}

uint64_t input_value(OperandType type, int operand, size_t index, uint64_t seed) {
  if (type.kind == Kind::f16x2 || type.kind == Kind::bf16x2) {
    OperandType half{type.kind == Kind::f16x2 ? Kind::f16 : Kind::bf16, 16};
    return input_value(half, operand, index, seed) | input_value(half, operand, index + 301, mix(seed)) << 16;
  }
  uint64_t hash = mix(mix(seed + index) ^ static_cast<uint64_t>(operand)), choice = hash >> 40;
  if (type.kind == Kind::index) return hash % 64;
  if (type.kind == Kind::angle || type.kind == Kind::moderate) {
    auto unit = static_cast<float>(hash & 0xffffff) / 8388608.0f - 1;  // [-1, 1)
    float value =
        type.kind == Kind::angle ? unit * 25.0f : std::ldexp(unit, static_cast<int>(choice % 121) - 60);
    return std::bit_cast<uint32_t>(value);
  }
  const std::vector<uint64_t>& list = corners(type);
  uint64_t mask = type.bits == 64 ? ~uint64_t(0) : (uint64_t(1) << type.bits) - 1;
  if (index < 640) {
    if (operand == 0) return list[index % list.size()] & mask;
    if (operand == 1) return list[(index / 25 + index) % list.size()] & mask;
    return list[hash % list.size()] & mask;
  }
  if (choice % 2) return hash & mask;
  return with_moderate_exponent(type, hash, choice / 2) & mask;
}

}  // namespace rtjit::silicon
