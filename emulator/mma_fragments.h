// Operands of matrix products, spread from registers into arrays that multiply fast. Shared by mma and wgmma.
#pragma once

#include <cmath>
#if defined(__FMA__)
#include <immintrin.h>
#endif

#include "emulator/lane_ops.h"
#include "emulator/mma_elements.h"

namespace rtjit::emu {

inline int container_bits(MmaElement e, bool container) {
  return container && bits_of(e) < 8 ? 8 : bits_of(e);
}

// The elements of one register, for all lanes: out[e][lane].
inline void expand(const u32* lanes, MmaElement element, bool container, float (*out)[32]) {
  switch (element) {
    case MmaElement::bf16:
      for (int l = 0; l < 32; ++l) out[0][l] = as_float(lanes[l] << 16);
      for (int l = 0; l < 32; ++l) out[1][l] = as_float(lanes[l] & 0xffff0000);
      return;
    case MmaElement::f16:
      for (int l = 0; l < 32; ++l) out[0][l] = half_to_float(lanes[l] & 0xffff);
      for (int l = 0; l < 32; ++l) out[1][l] = half_to_float(lanes[l] >> 16);
      return;
    case MmaElement::tf32:
      for (int l = 0; l < 32; ++l) out[0][l] = as_float(lanes[l] & 0xffffe000);
      return;
    default: {
      const float* values = byte_values(element, container).data();
      int bits = container_bits(element, container);
      for (int e = 0; e < 32 / bits; ++e) {
        for (int l = 0; l < 32; ++l) out[e][l] = values[lanes[l] >> (bits * e) & ((1u << bits) - 1)];
      }
    }
  }
}
inline void expand(const u32* lanes, MmaElement element, bool, s32 (*out)[32]) {
  bool is_signed = element == MmaElement::int8 || element == MmaElement::int4;
  int bits = bits_of(element);
  for (int e = 0; e < 32 / bits; ++e) {
    for (int l = 0; l < 32; ++l) {
      u32 raw = lanes[l] >> (bits * e) & ((1u << bits) - 1);
      out[e][l] = is_signed ? static_cast<s32>(raw << (32 - bits)) >> (32 - bits) : static_cast<s32>(raw);
    }
  }
}

// Both operands of a product. A fragment register r of lane 4g+t holds row g + 8*(r odd) of A, columns from
// (t + 4*(r/2)) * elements; B has column g in place of the row. A stays as it comes:
// a[register][element][lane]; B is turned so that one k has its 8 columns side by side.
template <class T>
struct Fragments {
  alignas(64) T a[4][8][32];
  alignas(64) T b[64][8];
  int elements = 0;

  // A alone: `slots` are its registers.
  void gather_a(Warp& w, const u32* slots, int k, MmaElement element, bool container) {
    elements = 32 / container_bits(element, container);
    for (int r = 0; r < k / (4 * elements) * 2; ++r) expand(w.reg<u32>(slots[r]), element, container, a[r]);
  }
  void gather_b(Warp& w, const u32* slots, int k, MmaElement element, bool container) {
    int a_registers = k / (4 * elements) * 2;
    T values[8][32];
    for (int r = 0; r < a_registers / 2; ++r) {
      expand(w.reg<u32>(slots[r]), element, container, values);
      for (int t = 0; t < 4; ++t) {
        for (int e = 0; e < elements; ++e) {
          T* row = b[(t + 4 * r) * elements + e];
          for (int n = 0; n < 8; ++n) row[n] = values[e][n * 4 + t];
        }
      }
    }
  }
  T& a_at(int row, int k) {
    return a[k / (4 * elements) * 2 + row / 8][k % elements][row % 8 * 4 + k / elements % 4];
  }
};

// sum[row][0..7] += A * B for eight rows, in the order of k.
inline void multiply_rows(Fragments<float>& f, int half, int k_count, float (*sum)[8]) {
#if defined(__FMA__)
  __m256 acc[8];
  for (int row = 0; row < 8; ++row) acc[row] = _mm256_loadu_ps(sum[row]);
  for (int r = 0; r * 4 * f.elements < k_count; ++r) {
    for (int t = 0; t < 4; ++t) {
      for (int e = 0; e < f.elements; ++e) {
        __m256 b = _mm256_load_ps(f.b[(t + 4 * r) * f.elements + e]);
        const float* a = f.a[r * 2 + half][e] + t;
        for (int row = 0; row < 8; ++row)
          acc[row] = _mm256_fmadd_ps(_mm256_broadcast_ss(a + row * 4), b, acc[row]);
      }
    }
  }
  for (int row = 0; row < 8; ++row) _mm256_storeu_ps(sum[row], acc[row]);
#else
  for (int row = 0; row < 8; ++row) {
    for (int k = 0; k < k_count; ++k) {
      for (int n = 0; n < 8; ++n) sum[row][n] = std::fma(f.a_at(row + 8 * half, k), f.b[k][n], sum[row][n]);
    }
  }
#endif
}

}  // namespace rtjit::emu
