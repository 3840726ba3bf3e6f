// The 64-bit descriptor of a matrix in shared memory, as tcgen05 reads it (wgmma's has other fields).
#pragma once

#include <cstdint>
#include <string>

namespace rtjit::emu {

class MatrixDescriptor {
 public:
  explicit MatrixDescriptor(uint64_t bits);
  // What is wrong with it, or not supported; empty when nothing is. `transposed`: rows (of A, columns of B)
  // run fastest in memory instead of k. `wide`: elements of 32 bits.
  std::string problem(bool transposed, bool wide, bool* unsupported) const;

  // Shared address of the 16 bytes that hold piece `piece` of a row: k runs fastest.
  uint32_t row_piece(uint32_t row, uint32_t piece) const;
  // Shared address of the 16 bytes that hold piece `piece` of all rows at one k: rows run fastest.
  uint32_t column_piece(uint32_t k, uint32_t piece) const;

 private:
  uint32_t swizzle(uint32_t address) const;
  uint32_t start_, leading_, stride_, base_offset_, mode_, version_, fixed_;
  bool absolute_;
  uint32_t span_ = 16;  // bytes of a row within a swizzle pattern
};

}  // namespace rtjit::emu
