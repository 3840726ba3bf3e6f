// Matrices of every element type, as numbers and as shared memory holds them for tcgen05.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace rtjit {

struct Element {
  const char* name;
  int bits, exponent, mantissa;  // exponent 0: integer
  uint32_t code;                 // in the instruction descriptor
  bool is_signed = true;
};
inline const Element kF16{"f16", 16, 5, 10, 0}, kBf16{"bf16", 16, 8, 7, 1}, kTf32{"tf32", 32, 8, 23, 2},
    kE4m3{"e4m3", 8, 4, 3, 0}, kE5m2{"e5m2", 8, 5, 2, 1}, kE2m3{"e2m3", 6, 2, 3, 3},
    kE3m2{"e3m2", 6, 3, 2, 4}, kE2m1{"e2m1", 4, 2, 1, 5}, kPackedE2m1{"e2m1", 4, 2, 1, 1},
    kU8{"u8", 8, 0, 0, 0, false}, kS8{"s8", 8, 0, 0, 1};

inline double value_of(uint32_t bits, const Element& e) {
  if (e.exponent == 0) return e.is_signed ? static_cast<int8_t>(bits) : static_cast<int>(bits & 0xff);
  uint32_t mantissa = bits & ((1u << e.mantissa) - 1),
           exponent = bits >> e.mantissa & ((1u << e.exponent) - 1);
  if (e.bits == 32) mantissa &= ~0x1fffu;  // tf32: the lower 13 bits do not count
  int bias = (1 << (e.exponent - 1)) - 1;
  double magnitude =
      exponent ? std::ldexp(1.0 + std::ldexp(mantissa, -e.mantissa), static_cast<int>(exponent) - bias)
               : std::ldexp(mantissa, 1 - bias - e.mantissa);
  return bits >> (e.bits - 1) & 1 ? -magnitude : magnitude;
}

// Finite, of moderate size, with zeros and subnormals among them.
inline uint32_t random_element(std::mt19937& generator, const Element& e) {
  uint32_t bits = e.bits == 32 ? generator() : generator() & ((1u << e.bits) - 1);
  if (e.exponent == 0 || e.bits < 8) return bits;
  uint32_t field = ((1u << e.exponent) - 1), bias = field >> 1;
  uint32_t exponent = generator() % 16 == 0 ? 0 : bias - 3 + generator() % 6;
  return (bits & ~(field << e.mantissa)) | exponent << e.mantissa;
}

struct Matrix {  // rows x depth
  uint32_t rows, depth;
  std::vector<uint32_t> bits;
  uint32_t at(uint32_t row, uint32_t k) const { return bits[row * depth + k]; }
};
inline Matrix random_matrix(std::mt19937& generator, uint32_t rows, uint32_t depth, const Element& e) {
  Matrix m{rows, depth, std::vector<uint32_t>(rows * depth)};
  for (uint32_t& b : m.bits) b = random_element(generator, e);
  return m;
}

inline void put_bits(uint8_t* to, size_t at, uint32_t value, int count) {
  for (int b = 0; b < count; ++b) {
    size_t bit = at + static_cast<size_t>(b);
    to[bit / 8] = static_cast<uint8_t>((to[bit / 8] & ~(1u << bit % 8)) | (value >> b & 1u) << bit % 8);
  }
}

// Writes a matrix into `shared` from byte `start` on; returns its descriptor. `mode` is the descriptor's.
inline uint64_t place(const Matrix& m, const Element& e, bool padded, bool transposed, uint32_t mode,
                      std::vector<uint8_t>* shared) {
  uint32_t start = static_cast<uint32_t>((shared->size() + 1023) / 1024 * 1024), leading = 0, stride = 0;
  uint32_t span = mode == 2 || mode == 1 ? 128 : mode == 4 ? 64 : mode == 6 ? 32 : 16;
  shared->resize(start + 65536);
  uint8_t* base = shared->data() + start;
  size_t most = 0;
  auto step = static_cast<uint32_t>(e.bits) / 8;
  if (!transposed) {
    stride = span * 8 + (mode ? 0 : 32);  // without swizzling any stride will do
    leading = mode ? 16 : (m.rows / 8) * stride + 64;
  } else if (mode == 0) {
    stride = 128 + 16;
    leading = m.rows * step / 16 * stride + 48;
  } else {
    stride = span * (mode == 1 ? 4 : 8);
    leading = stride * (m.depth / (mode == 1 ? 4 : 8));
  }
  for (uint32_t row = 0; row < m.rows; ++row) {
    for (uint32_t k = 0; k < m.depth; ++k) {
      size_t chunk, in_chunk;  // bits within the chunk of 16 bytes
      if (!transposed) {
        uint32_t per_chunk = padded ? 16 : 128 / static_cast<uint32_t>(e.bits), c = k / per_chunk;
        in_chunk = k % per_chunk * static_cast<size_t>(e.bits);
        uint32_t exchanged = mode == 2   ? c ^ row % 8
                             : mode == 4 ? c ^ row / 2 % 4
                             : mode == 6 ? c ^ row / 4 % 2
                                         : 0;
        chunk = row / 8 * stride + row % 8 * span + (mode ? exchanged * 16 : c * leading);
      } else {
        uint32_t byte = row * step;
        in_chunk = byte % 16 * 8;
        uint32_t c = byte % span / 16, pattern = byte / span;
        if (mode == 0) {
          chunk = byte / 16 * stride + k / 8 * leading + k % 8 * 16;
        } else if (mode == 1) {  // pairs of chunks are exchanged
          chunk = pattern * leading + k / 4 * stride + k % 4 * 128 + ((c / 2 ^ k % 4) * 2 + c % 2) * 16;
        } else {
          uint32_t exchanged = mode == 2 ? c ^ k % 8 : mode == 4 ? c ^ k / 2 % 4 : c ^ k / 4 % 2;
          chunk = pattern * leading + k / 8 * stride + k % 8 * span + exchanged * 16;
        }
      }
      put_bits(base + chunk, in_chunk, m.at(row, k), e.bits);
      most = std::max(most, chunk + 16);
    }
  }
  shared->resize(start + (most + 15) / 16 * 16);
  return uint64_t(mode) << 61 | uint64_t(1) << 46 | uint64_t(stride >> 4) << 32 | (leading >> 4) << 16 |
         start >> 4;
}

}  // namespace rtjit
