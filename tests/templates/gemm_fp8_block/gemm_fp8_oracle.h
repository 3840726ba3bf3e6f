// gemm_fp8_block on the CPU in fp64: what every kernel of the template is compared with. Plain C++, no
// librtjit.
#pragma once

#include <cstdint>
#include <vector>

namespace rtjit::gemm_fp8_oracle {

// One operation. Strides count elements; scale tensors hold values (float_from_e8m0 decodes E8M0 bytes).
struct Gemm {
  int m = 0, n = 0, k = 0;
  const uint8_t* a = nullptr;  // [m, k]
  int64_t a_stride = 0;
  const uint8_t* b = nullptr;  // [n, k]
  int64_t b_stride = 0;
  const double* sa = nullptr;  // [m, cdiv(k, 128)], dense
  const double* sb = nullptr;  // [cdiv(n, 128), cdiv(k, 128)], dense
};

// d[row, 0..n) for rows first_row .. first_row + rows - 1, dense, not rounded. Writes rows * n values.
void compute_rows(const Gemm& gemm, int first_row, int rows, double* d);
std::vector<double> compute(const Gemm& gemm);

// How far `actual` is from `expected`. Elements where exactly one is NaN or they are unlike infinities count
// as mismatched; where both are NaN (or the same infinity) they count as equal.
struct Difference {
  double rel_l2 = 0;  // ||actual - expected|| / ||expected||; infinite if expected is all 0 and actual is not
  double err_per_rms = 0;  // max |actual - expected| / rms(expected)
  int64_t mismatched = 0;
};
Difference compare(const std::vector<double>& actual, const std::vector<double>& expected);

}  // namespace rtjit::gemm_fp8_oracle
