// Where GEMM2's results go: to rows of y, which combine sums up in a fixed order, or at once into `out`, in
// the order in which they come.
#pragma once

#include "device/add_global.cuh"
#include "moe_mxfp4/common.cuh"
#include "moe_mxfp4/fragments.cuh"

namespace rtjit::moe_mxfp4 {

// y[slot], not yet weighted.
struct SlotRows {
  static constexpr bool kAdds = false;
  using Entry = i32;
  u16* y;
  const Entry* sorted;  // the slot of each row, in the order of the token tiles
};

// out[token] += weight * row, rounded to bf16 each time. `out` was zeroed before (align.cuh).
struct SummedRows {
  static constexpr bool kAdds = true;
  using Entry = TokenShare;
  u16* out;
  const Entry* sorted;
  int hidden;

  __device__ u16* row(int token) const { return out + i64(token) * hidden; }

  // The results of eight tokens and a strip of weight rows, which are columns of out from `column` on, in the
  // fragments of mma: lane 4 g + t has those of weight rows g (lower) and g + 8 (upper) and of tokens 2t and
  // 2t+1. `share` is that of token g; without `take` there is none. All lanes must call.
  __device__ void add_strip(const float (&lower)[2], const float (&upper)[2], bool take,
                            const TokenShare& share, int column) const {
    const int t = int(threadIdx.x & 3);
    const float first_weight = __shfl_sync(0xffffffffu, share.weight, 8 * t);
    const float second_weight = __shfl_sync(0xffffffffu, share.weight, 8 * t + 4);
    // Now token g and weight rows 2t, 2t+1 of each half. A lane and its neighbour exchange halves: the even
    // one then has four rows of the lower half side by side, the odd one of the upper.
    const u32 low = transpose_pairs(lower[0] * first_weight, lower[1] * second_weight);
    const u32 high = transpose_pairs(upper[0] * first_weight, upper[1] * second_weight);
    const bool odd = (t & 1) != 0;
    const u32 other = __shfl_xor_sync(0xffffffffu, odd ? low : high, 1);
    add_bf16x4_if(take, row(share.token) + column + (odd ? 6 + 2 * t : 2 * t), odd ? other : low,
                  odd ? high : other);
  }
};

}  // namespace rtjit::moe_mxfp4
