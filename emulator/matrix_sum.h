// How tensor cores add up. The products of one block of k and the accumulator are aligned to the largest
// exponent among them, cut off (towards zero) some bits below it, and added exactly; the sum is rounded once.
// Found to be what an H200 does, bit for bit (tests/silicon).
#pragma once

#include "emulator/mma_fragments.h"

namespace rtjit::emu {

struct SumRules {
  int fraction_bits;  // kept below the largest exponent
  int lowest_a,
      lowest_b;  // exponents of the operands' formats: subnormals count with them; zeros do not count
  enum class Result {
    single,
    short_single,
    half
  } result;  // truncated, truncated to 13 bits of mantissa, or nearest even
};

// The rules of a matrix instruction for these element types.
SumRules sum_rules(MmaElement a, MmaElement b, bool half_result, bool warpgroup);

// sum[0..15][0..7] becomes the sum of itself and A * B over the elements `first` to `last` - 1 of every
// register. Accumulators are f32 values (of an f16's precision for half results). NaNs come out canonical.
void add_products(const Fragments<float>& f, int k_count, int first, int last, const SumRules& rules,
                  float (*sum)[8]);

}  // namespace rtjit::emu
