// Lane loops for handlers, written so that the compiler vectorises them.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "emulator/warp.h"

namespace rtjit::emu {

// d[lane] = f(lane) for the lanes that take part.
template <class T, class F>
inline void for_lanes(Warp& w, T* d, F f) {
  uint32_t exec = w.exec;
  if (exec == ~0u) [[likely]] {
#pragma GCC ivdep
    for (int l = 0; l < 32; ++l) d[l] = f(l);
  } else {
#pragma GCC ivdep
    for (int l = 0; l < 32; ++l) {
      T value = f(l);
      d[l] = (exec >> l & 1) ? value : d[l];
    }
  }
}

// Calls f(lane) for each lane of a mask, lowest first.
template <class F>
inline void each_lane(uint32_t mask, F f) {
  while (mask) {
    f(std::countr_zero(mask));
    mask &= mask - 1;
  }
}

// A predicate's bits from a condition per lane.
template <class F>
inline uint32_t lanes_where(F f) {
  uint32_t flags[32];
#pragma GCC ivdep
  for (int l = 0; l < 32; ++l) flags[l] = f(l) ? 1u << l : 0u;
  uint32_t bits = 0;
  for (int l = 0; l < 32; ++l) bits |= flags[l];
  return bits;
}

// Registers are kept as unsigned lanes of 32 or 64 bits; this is a value of B bits read as signed.
template <int B>
inline int64_t sign_extend(uint64_t value) {
  return static_cast<int64_t>(value << (64 - B)) >> (64 - B);
}

// Called when a bar.red is released.
void finish_barrier_reduction(Warp& warp, const Op& op, uint32_t popc, uint32_t all, uint32_t any);

}  // namespace rtjit::emu
