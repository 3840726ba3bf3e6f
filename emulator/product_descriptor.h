// The 32-bit instruction descriptor of tcgen05.mma.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "emulator/mma_elements.h"

namespace rtjit::emu {

enum class ProductKind : uint8_t { f16, tf32, f8f6f4, i8, mxf8f6f4, mxf4, mxf4nvf4 };
inline bool is_block_scaled(ProductKind kind) { return kind >= ProductKind::mxf8f6f4; }

struct ProductDescriptor {
  uint32_t m = 0, n = 0;
  MmaElement a{}, b{};
  bool half_sums = false;  // D is f16
  bool saturate = false;   // integers
  bool negate_a = false, negate_b = false, transpose_a = false, transpose_b = false;
  bool scales_e4m3 = false;                 // block scales are ue4m3 instead of ue8m0
  uint32_t most_shift = 0;                  // columns that .ws may shift B by
  uint32_t scale_id_a = 0, scale_id_b = 0;  // byte of a word where the scales begin

  // Reads the fields of a kind. Returns what is wrong with them, "" when nothing is. *unsupported: it is
  // right, but not modelled. `scale_vectors`: scales of a row along k; `stationary_b`: .ws.
  std::string read(uint32_t bits, ProductKind kind, uint32_t group, uint32_t scale_vectors, bool stationary_b,
                   bool* unsupported);
};

// The zero-column mask of .ws: which of the n columns of B count as zeros.
struct ColumnMask {
  std::vector<bool> zero;
  uint32_t shift = 0;  // column c of the product is column c + shift of B
};
// `parts`: how many parts of n have a start and a first span of their own.
ColumnMask read_column_mask(uint64_t bits, uint32_t n, uint32_t parts);

}  // namespace rtjit::emu
