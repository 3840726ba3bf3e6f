// Matrix products one element at a time, for the forms that are not worth a fast path: wmma, f64 and single
// bits.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "emulator/lane_ops.h"
#include "emulator/numeric.h"

namespace rtjit::emu {

enum class PlainElement : uint8_t { f16, bf16, tf32, f32, f64, s8, u8, s4, u4, s32_, b1 };
std::optional<PlainElement> parse_plain_element(std::string_view name);
u32 bits_of(PlainElement element);

struct PlainMatrix {
  u32 rows = 0, columns = 0;
  std::vector<u64> bits;  // of the elements, row by row
  PlainMatrix(u32 r, u32 c) : rows(r), columns(c), bits(size_t(r) * c) {}
  u64& at(u32 row, u32 column) { return bits[size_t(row) * columns + column]; }
  u64 at(u32 row, u32 column) const { return bits[size_t(row) * columns + column]; }
};

struct PlainProduct {
  PlainElement a{}, b{}, c{}, d{};
  bool saturate = false;                  // integers
  bool bit_and = false;                   // single bits: and instead of xor before counting
  Rounding rounding = Rounding::nearest;  // f64
};
// A * B + C. Floats as mma.sync does: exact products, added in the order of k, each sum rounded to f32; f64
// with a fused multiply-add for each k; integers exactly.
PlainMatrix multiply(const PlainMatrix& a, const PlainMatrix& b, const PlainMatrix& c,
                     const PlainProduct& form);

}  // namespace rtjit::emu
