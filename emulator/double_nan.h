// Which NaN an f64 operation returns. PTX leaves the payload open; this is what silicon does. It is spelled
// out, since the host's own choice depends on the order in which the compiler hands over the operands.
#pragma once

#include <cstdint>

#include "emulator/numeric.h"

namespace rtjit::emu {

inline double quiet(double nan) { return as_double(as_bits(nan) | uint64_t(1) << 51); }

// `result`, or the NaN of inf - inf, 0 * inf and the like, whatever sign the host gives it.
inline double canonical_if_nan(double result) {
  return result != result ? as_double(0xfff8000000000000) : result;
}

// The NaN operand handed on: the second before the third before the first.
inline double pick_nan(double a, double result) { return a != a ? quiet(a) : canonical_if_nan(result); }
inline double pick_nan(double a, double b, double result) { return b != b ? quiet(b) : pick_nan(a, result); }
inline double pick_nan(double a, double b, double c, double result) {
  return b != b ? quiet(b) : c != c ? quiet(c) : pick_nan(a, result);
}

// A sum in global memory hands on its NaN as it is, the new value's first.
inline double add_in_global_memory(double old, double value) {
  return value != value ? value : old != old ? old : canonical_if_nan(old + value);
}
// In shared memory it is a loop of `add` and compare-and-swap, with the old value as the second operand.
inline double add_in_shared_memory(double old, double value) { return pick_nan(value, old, old + value); }

}  // namespace rtjit::emu
