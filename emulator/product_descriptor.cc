#include "emulator/product_descriptor.h"

#include <optional>

#include "base/text.h"

namespace rtjit::emu {
namespace {

std::optional<MmaElement> element_of(ProductKind kind, uint32_t code) {
  switch (kind) {
    case ProductKind::f16:
      if (code == 0) return MmaElement::f16;
      if (code == 1) return MmaElement::bf16;
      return std::nullopt;
    case ProductKind::tf32:
      if (code == 2) return MmaElement::tf32;
      return std::nullopt;
    case ProductKind::i8:
      if (code == 0) return MmaElement::uint8;
      if (code == 1) return MmaElement::int8;
      return std::nullopt;
    case ProductKind::mxf4:
    case ProductKind::mxf4nvf4:
      if (code == 1) return MmaElement::e2m1;
      return std::nullopt;
    default:
      switch (code) {
        case 0:
          return MmaElement::e4m3;
        case 1:
          return MmaElement::e5m2;
        case 3:
          return MmaElement::e2m3;
        case 4:
          return MmaElement::e3m2;
        case 5:
          return MmaElement::e2m1;
        default:
          return std::nullopt;
      }
  }
}

bool shape_exists(uint32_t m, uint32_t n, ProductKind kind, uint32_t group, bool stationary_b) {
  if (stationary_b) return (m == 32 || m == 64 || m == 128) && (n == 64 || n == 128 || n == 256);
  bool rows = group == 2 ? m == 128 || m == 256 : m == 128 || (m == 64 && !is_block_scaled(kind));
  if (!rows || n > 256 || n == 0) return false;
  if (kind == ProductKind::i8) return group == 2 ? n % 32 == 0 : n == 8 || n == 24 || n % 16 == 0;
  return n % (group == 2 ? 16 : 8) == 0;
}

}  // namespace

std::string ProductDescriptor::read(uint32_t bits, ProductKind kind, uint32_t group, uint32_t scale_vectors,
                                    bool stationary_b, bool* unsupported) {
  auto field = [&](int at, int width) { return bits >> at & ((1u << width) - 1); };
  *unsupported = false;
  bool scaled = is_block_scaled(kind);
  n = field(17, 6) << 3;
  m = field(24, 5) << 4;
  negate_a = field(13, 1);
  negate_b = field(14, 1);
  transpose_a = field(15, 1);
  transpose_b = field(16, 1);
  if (field(2, 1)) return "the descriptor says sparse, the instruction is not .sp";
  if (field(6, 1)) return "bit 6 of the descriptor must be 0";
  std::optional<MmaElement> left = element_of(kind, field(7, 3)), right = element_of(kind, field(10, 3));
  if (!left || !right)
    return fmt::format("element types {} and {} do not exist for this kind", field(7, 3), field(10, 3));
  a = *left;
  b = *right;
  if (scaled) {
    if (field(0, 2) || field(3, 1))
      return "bits 0, 1 and 3 of the descriptor must be 0 for block-scaled kinds";
    scales_e4m3 = !field(23, 1);
    scale_id_a = field(29, 2);
    scale_id_b = field(4, 2);
    if (field(31, 1)) {
      *unsupported = true;
      return "block-scaled products with K = 96 are not supported";
    }
    if (scales_e4m3 && (kind != ProductKind::mxf4nvf4 || scale_vectors != 4))
      return "UE4M3 scales are for .kind::mxf4nvf4 with a block of 16 only";
    uint32_t step = scale_vectors == 4 ? 4 : scale_vectors;
    if (scale_id_a % step || scale_id_b % step)
      return fmt::format("scale factor ids {} and {}; with {} scales per row they must be multiples of {}",
                         scale_id_a, scale_id_b, scale_vectors, step);
    if (kind != ProductKind::mxf8f6f4 && (transpose_a || transpose_b))
      return "4-bit kinds cannot be transposed";
  } else {
    uint32_t result = field(4, 2);
    saturate = field(3, 1);
    half_sums = result == 0;
    bool good = kind == ProductKind::i8 ? result == 2 : kind == ProductKind::tf32 ? result == 1 : result <= 1;
    if (!good) return fmt::format("result type {} does not exist for this kind", result);
    if (half_sums && kind == ProductKind::f16 && (a != MmaElement::f16 || b != MmaElement::f16))
      return "an f16 result needs f16 elements";
    if (saturate && kind != ProductKind::i8) return "bit 3 (saturation) is for .kind::i8 only";
    if (kind == ProductKind::i8 && (negate_a || negate_b)) return ".kind::i8 cannot negate";
    if (field(23, 1) || field(29, 1)) return "bits 23 and 29 of the descriptor must be 0";
    most_shift = field(30, 2) ? 4u << field(30, 2) : 0;
    if (field(30, 2) && !stationary_b) return "bits 30 and 31 (maximum shift) are for .ws only";
  }
  auto narrow = [](MmaElement e) { return bits_of(e) < 8; };
  if ((transpose_a && narrow(a)) || (transpose_b && narrow(b)))
    return "elements of 4 and 6 bits cannot be transposed";
  if (transpose_b && bits_of(b) == 8 && n % (16 * group) != 0)
    return fmt::format("a transposed B of 8-bit elements needs N as a multiple of {}", 16 * group);
  if (!shape_exists(m, n, kind, group, stationary_b))
    return fmt::format("M = {}, N = {} is not a shape of this kind with .cta_group::{}", m, n, group);
  return {};
}

ColumnMask read_column_mask(uint64_t bits, uint32_t n, uint32_t parts) {
  ColumnMask mask;
  mask.zero.assign(n, false);
  mask.shift = static_cast<uint32_t>(bits >> 56 & 63);
  if (!(bits >> 39 & 1)) return mask;
  auto zeros = static_cast<uint32_t>(bits >> 40 & 255) + 1,
       used = static_cast<uint32_t>(bits >> 48 & 255) + 1;
  for (uint32_t c = 0; c < n; ++c) {
    uint32_t part = c / (n / parts), start = static_cast<uint32_t>(bits >> (8 * part) & 255);
    bool begins_with_zeros = bits >> (32 + part) & 1;
    uint32_t at = (c % (n / parts) + start) % (zeros + used);
    mask.zero[c] = begins_with_zeros ? at < zeros : at >= used;
  }
  return mask;
}

}  // namespace rtjit::emu
