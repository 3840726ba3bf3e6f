#include "tuner/compare.h"

#include <algorithm>
#include <cmath>

namespace rtjit {
namespace {

bool same_special(double reference, double value) {
  if (std::isnan(reference) || std::isnan(value)) return std::isnan(reference) && std::isnan(value);
  return reference == value;  // infinities of equal sign
}

}  // namespace

Comparison compare_output(const HostTensor& shape, std::span<const unsigned char> reference,
                          std::span<const unsigned char> output, const VerifySpec& limits) {
  Comparison result;
  const size_t size = static_cast<size_t>(bytes_of(shape.dtype));
  double error_sum = 0, reference_sum = 0, worst = 0;
  int64_t finite = 0;
  for (int64_t row = 0; row < shape.rows(); ++row) {
    bool reference_zero = true, output_zero = true;
    for (int64_t column = 0; column < shape.columns(); ++column) {
      size_t at = static_cast<size_t>(shape.row_offset(row) + column) * size;
      double want = element_value(shape.dtype, reference.data() + at);
      double got = element_value(shape.dtype, output.data() + at);
      ++result.compared;
      reference_zero &= want == 0;
      output_zero &= got == 0;
      if (!std::isfinite(want) || !std::isfinite(got)) {
        if (same_special(want, got)) continue;
        result.reason =
            fmt::format("wrong: {} row {} column {} is {}, must be {}", shape.name, row, column, got, want);
        return result;
      }
      result.different += got != want;
      double error = std::fabs(got - want);
      error_sum += error * error;
      reference_sum += want * want;
      worst = std::max(worst, error);
      ++finite;
    }
    if (reference_zero && !output_zero) {
      result.reason = fmt::format("wrong: {} row {} must be all zeros", shape.name, row);
      return result;
    }
  }
  if (finite > 0 && reference_sum > 0) {
    result.informative = true;
    result.rel_l2 = std::sqrt(error_sum / reference_sum);
    result.max_err = worst / std::sqrt(reference_sum / static_cast<double>(finite));
  }
  if (result.rel_l2 > limits.max_rel_l2) {
    result.reason = fmt::format("wrong: {} has relative error {:.2e}, limit {:.2e}", shape.name,
                                result.rel_l2, limits.max_rel_l2);
  } else if (result.max_err > limits.max_err_per_rms) {
    result.reason = fmt::format("wrong: {} has an error of {:.2e} of its rms, limit {:.2e}", shape.name,
                                result.max_err, limits.max_err_per_rms);
  } else {
    result.ok = true;
  }
  return result;
}

}  // namespace rtjit
