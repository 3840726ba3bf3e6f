// Operands of tcgen05.mma and tcgen05.cp: gathered from shared memory or tensor memory and turned into
// numbers.
#pragma once

#include <vector>

#include "emulator/memory_access.h"
#include "emulator/mma_elements.h"
#include "emulator/tensor_memory.h"

namespace rtjit::emu {

// Every row of an operand of one instruction has 32 bytes.
inline constexpr u32 kRowBytes = 32;

// Reads pieces of 16 bytes of a block's shared memory with the checks of an ordinary load, and keeps what it
// saw.
class PieceReader {
 public:
  PieceReader(Warp& w, const Op& op, int lane, Block& block, SharedSnapshot* snapshot)
      : warp_(w), op_(op), lane_(lane), block_(block), snapshot_(*snapshot) {
    snapshot_.block = &block;
  }
  // An address as descriptors hold it: from the start of the block's shared memory. Null after a fault.
  const uint8_t* read(u32 address);

 private:
  Warp& warp_;
  const Op& op_;
  int lane_;
  Block& block_;
  SharedSnapshot& snapshot_;
};

// `rows` rows of 32 bytes from row `first` on, k running fastest, whatever the layout. Rows whose entry in
// `zero` is set become zeros and need not exist. `block`: whose shared memory it is. False after a fault.
bool gather_shared(Warp& w, const Op& op, int lane, Block& block, u64 descriptor, bool transposed,
                   u32 element_bytes, u32 first, u32 rows, const std::vector<bool>& zero, uint8_t* out,
                   SharedSnapshot* snapshot);

// How elements lie in the 32 bytes of a row.
enum class Packing : uint8_t {
  dense,       // one after the other
  padded,      // 16 elements of 4 or 6 bits, then padding up to 16 bytes (shared memory, f8f6f4 kinds)
  containers,  // each of 4 or 6 bits in a byte (tensor memory, f8f6f4 kinds)
};
// Elements of a row of 32 bytes.
u32 elements_of(MmaElement element, Packing packing);
void to_numbers(const uint8_t* row, MmaElement element, Packing packing, float* out);
// 16 packed elements of 4 or 6 bits into 16 bytes, each where kind::f8f6f4 expects it.
void unpack_elements(const uint8_t* packed, u32 bits, uint8_t* out);

// sum[m][n] (+)= a[m][k] * b[k][n] for all m, n in the order of k, each sum rounded to f32. n: multiple of 8.
void multiply(const float* a, const float* b, float* sum, u32 rows, u32 columns, u32 depth);

}  // namespace rtjit::emu
