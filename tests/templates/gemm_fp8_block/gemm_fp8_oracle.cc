#include "gemm_fp8_oracle.h"

#include <algorithm>
#include <cmath>

#include "base/float_formats.h"

namespace rtjit::gemm_fp8_oracle {
namespace {

constexpr int kBlock = 128;

int blocks_of(int length) { return (length + kBlock - 1) / kBlock; }

}  // namespace

void compute_rows(const Gemm& gemm, int first_row, int rows, double* d) {
  double values[256];
  for (int code = 0; code < 256; ++code) values[code] = float_from_e4m3(static_cast<uint8_t>(code));
  const int blocks = blocks_of(gemm.k);
  for (int row = first_row; row < first_row + rows; ++row) {
    const uint8_t* a = gemm.a + row * gemm.a_stride;
    for (int column = 0; column < gemm.n; ++column) {
      const uint8_t* b = gemm.b + column * gemm.b_stride;
      double sum = 0;
      for (int block = 0; block < blocks; ++block) {
        double block_sum = 0;
        for (int i = block * kBlock; i < std::min(gemm.k, (block + 1) * kBlock); ++i) {
          block_sum += values[a[i]] * values[b[i]];
        }
        sum += gemm.sa[static_cast<int64_t>(row) * blocks + block] *
               gemm.sb[static_cast<int64_t>(column / kBlock) * blocks + block] * block_sum;
      }
      *d++ = sum;
    }
  }
}

std::vector<double> compute(const Gemm& gemm) {
  std::vector<double> d(static_cast<size_t>(gemm.m) * static_cast<size_t>(gemm.n));
  compute_rows(gemm, 0, gemm.m, d.data());
  return d;
}

Difference compare(const std::vector<double>& actual, const std::vector<double>& expected) {
  Difference result;
  if (actual.size() != expected.size()) {
    result.mismatched = static_cast<int64_t>(std::max(actual.size(), expected.size()));
    return result;
  }
  double error = 0, norm = 0, worst = 0;
  int64_t finite = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double x = actual[i], y = expected[i];
    if (!std::isfinite(x) || !std::isfinite(y)) {
      if (x != y && !(std::isnan(x) && std::isnan(y))) ++result.mismatched;
      continue;
    }
    error += (x - y) * (x - y);
    norm += y * y;
    worst = std::max(worst, std::fabs(x - y));
    ++finite;
  }
  if (error == 0) return result;
  result.rel_l2 = std::sqrt(error / norm);
  result.err_per_rms = worst / std::sqrt(norm / static_cast<double>(finite));
  return result;
}

}  // namespace rtjit::gemm_fp8_oracle
