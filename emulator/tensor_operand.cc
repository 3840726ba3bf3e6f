#include "emulator/tensor_operand.h"

#include <cmath>
#if defined(__FMA__)
#include <immintrin.h>
#endif

#include "emulator/matrix_descriptor.h"

namespace rtjit::emu {

const uint8_t* PieceReader::read(u32 address) {
  uint8_t* shadow = nullptr;
  u32 full = block_.window_base() + address;
  const uint8_t* piece = warp_.locate_shared(op_, full, lane_, 16, 16, false, &shadow);
  if (!piece) return nullptr;
  if (!is_written(shadow, 16) && !warp_.check_written(op_, shadow, 16, lane_, full)) return nullptr;
  if (block_.launch().strictness.races) {
    RaceDetector& races = block_.races;
    RaceDetector::Conflict c =
        races.read_async(races.agent(warp_.who()), block_.shared_start() + address, 16, op_.line);
    if (c.found()) {
      report_conflict(warp_, op_, c, "reads", lane_);
      return nullptr;
    }
  }
  snapshot_.addresses.push_back(address);
  snapshot_.bytes.insert(snapshot_.bytes.end(), piece, piece + 16);
  return piece;
}

bool gather_shared(Warp& w, const Op& op, int lane, Block& block, u64 descriptor, bool transposed,
                   u32 element_bytes, u32 first, u32 rows, const std::vector<bool>& zero, uint8_t* out,
                   SharedSnapshot* snapshot) {
  MatrixDescriptor matrix(descriptor);
  bool unsupported = false;
  if (std::string problem = matrix.problem(transposed, element_bytes == 4, &unsupported); !problem.empty()) {
    w.fault(op, unsupported ? FaultKind::unsupported : FaultKind::tensor_memory, std::move(problem), lane);
    return false;
  }
  PieceReader reader(w, op, lane, block, snapshot);
  snapshot->addresses.reserve(snapshot->addresses.size() + rows * 2);
  snapshot->bytes.reserve(snapshot->bytes.size() + rows * kRowBytes);
  std::memset(out, 0, rows * kRowBytes);
  auto wanted = [&](u32 row) { return row < rows && (zero.empty() || !zero[row]); };
  if (!transposed) {
    for (u32 row = 0; row < rows; ++row) {
      if (!wanted(row)) continue;
      for (u32 piece = 0; piece < kRowBytes / 16; ++piece) {
        const uint8_t* from = reader.read(matrix.row_piece(first + row, piece));
        if (!from) return false;
        std::memcpy(out + row * kRowBytes + piece * 16, from, 16);
      }
    }
    return true;
  }
  u32 rows_per_piece = 16 / element_bytes;
  for (u32 k = 0; k < kRowBytes / element_bytes; ++k) {
    for (u32 piece = first / rows_per_piece; piece * rows_per_piece < first + rows; ++piece) {
      const uint8_t* from = nullptr;
      for (u32 i = 0; i < rows_per_piece; ++i) {
        u32 row = piece * rows_per_piece + i - first;  // wraps below `first`, and then is not wanted
        if (!wanted(row)) continue;
        if (!from) from = reader.read(matrix.column_piece(k, piece));
        if (!from) return false;
        std::memcpy(out + row * kRowBytes + k * element_bytes, from + i * element_bytes, element_bytes);
      }
    }
  }
  return true;
}

u32 elements_of(MmaElement element, Packing packing) {
  u32 bits = static_cast<u32>(bits_of(element));
  return kRowBytes * 8 / (packing == Packing::dense ? bits : 8);
}

void unpack_elements(const uint8_t* packed, u32 bits, uint8_t* out) {
  for (u32 i = 0; i < 16; ++i) {
    u32 at = i * bits;
    u32 pair = packed[at / 8] | u32(packed[at / 8 + 1]) << 8;
    u32 value = pair >> at % 8 & ((1u << bits) - 1);
    out[i] = static_cast<uint8_t>(bits == 4 ? value << 2 : value);
  }
}

void to_numbers(const uint8_t* row, MmaElement element, Packing packing, float* out) {
  u32 count = elements_of(element, packing);
  switch (element) {
    case MmaElement::bf16:
    case MmaElement::f16:
      for (u32 i = 0; i < count; ++i) {
        uint16_t bits = 0;
        std::memcpy(&bits, row + i * 2, 2);
        out[i] = element == MmaElement::bf16 ? bf16_to_float(bits) : half_to_float(bits);
      }
      return;
    case MmaElement::tf32:
      for (u32 i = 0; i < count; ++i) {
        u32 bits = 0;
        std::memcpy(&bits, row + i * 4, 4);
        out[i] = as_float(bits & 0xffffe000);
      }
      return;
    case MmaElement::int8:
      for (u32 i = 0; i < count; ++i) out[i] = static_cast<int8_t>(row[i]);
      return;
    case MmaElement::uint8:
      for (u32 i = 0; i < count; ++i) out[i] = row[i];
      return;
    default:
      break;
  }
  if (bits_of(element) == 4 && packing == Packing::dense) {
    const float* values = byte_values(element, false).data();
    for (u32 i = 0; i < count; ++i) out[i] = values[row[i / 2] >> (4 * (i % 2)) & 15];
    return;
  }
  uint8_t bytes[kRowBytes];
  if (packing == Packing::padded && bits_of(element) < 8) {
    for (u32 piece = 0; piece < 2; ++piece)
      unpack_elements(row + piece * 16, static_cast<u32>(bits_of(element)), bytes + piece * 16);
  } else {
    std::memcpy(bytes, row, sizeof(bytes));
  }
  const float* values = byte_values(element, bits_of(element) < 8).data();
  for (u32 i = 0; i < count; ++i) out[i] = values[bytes[i]];
}

void multiply(const float* a, const float* b, float* sum, u32 rows, u32 columns, u32 depth) {
#if defined(__FMA__)
  // Eight sums of eight columns at a time hide the latency of the chain along k; rows come in eights.
  for (u32 m = 0; m < rows; m += 8) {
    for (u32 n = 0; n < columns; n += 8) {
      __m256 acc[8];
      for (u32 i = 0; i < 8; ++i) acc[i] = _mm256_loadu_ps(sum + (m + i) * columns + n);
      for (u32 k = 0; k < depth; ++k) {
        __m256 right = _mm256_loadu_ps(b + k * columns + n);
        for (u32 i = 0; i < 8; ++i)
          acc[i] = _mm256_fmadd_ps(_mm256_broadcast_ss(a + (m + i) * depth + k), right, acc[i]);
      }
      for (u32 i = 0; i < 8; ++i) _mm256_storeu_ps(sum + (m + i) * columns + n, acc[i]);
    }
  }
#else
  for (u32 m = 0; m < rows; ++m) {
    for (u32 k = 0; k < depth; ++k) {
      for (u32 n = 0; n < columns; ++n)
        sum[m * columns + n] = std::fma(a[m * depth + k], b[k * columns + n], sum[m * columns + n]);
    }
  }
#endif
}

}  // namespace rtjit::emu
