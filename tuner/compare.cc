#include "tuner/compare.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/parallel.h"

namespace rtjit {
namespace {

// Elements that one thread compares before it takes more.
constexpr int64_t kElementsAtOnce = int64_t{1} << 17;

// What rows first .. first + n - 1 came to.
struct Part {
  double error_sum = 0, reference_sum = 0, worst = 0;
  int64_t finite = 0, compared = 0, different = 0;
  std::string reason;  // of the first element or row that is wrong, where the part ends
};

struct Bf16Element {
  double operator()(const unsigned char* at) const {
    uint16_t bits;
    std::memcpy(&bits, at, sizeof bits);
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
};

struct AnyElement {
  DType dtype;
  double operator()(const unsigned char* at) const { return element_value(dtype, at); }
};

bool same_special(double reference, double value) {
  if (std::isnan(reference) || std::isnan(value)) return std::isnan(reference) && std::isnan(value);
  return reference == value;  // infinities of equal sign
}

// `element`: what a place in memory holds, as a number. Inlined for what is compared by the hundred million.
template <typename Element>
Part compare_rows(const HostTensor& shape, const unsigned char* reference, const unsigned char* output,
                  int64_t first, int64_t last, const Element& element) {
  Part part;
  const int64_t size = bytes_of(shape.dtype), columns = shape.columns();
  for (int64_t row = first; row < last; ++row) {
    const int64_t at = shape.row_offset(row) * size;
    bool reference_zero = true, output_zero = true;
    for (int64_t column = 0; column < columns; ++column) {
      const double want = element(reference + at + column * size), got = element(output + at + column * size);
      ++part.compared;
      reference_zero &= want == 0;
      output_zero &= got == 0;
      if (!std::isfinite(want) || !std::isfinite(got)) {
        if (same_special(want, got)) continue;
        part.reason =
            fmt::format("wrong: {} row {} column {} is {}, must be {}", shape.name, row, column, got, want);
        return part;
      }
      part.different += got != want;
      const double error = std::fabs(got - want);
      part.error_sum += error * error;
      part.reference_sum += want * want;
      part.worst = std::max(part.worst, error);
      ++part.finite;
    }
    if (reference_zero && !output_zero) {
      part.reason = fmt::format("wrong: {} row {} must be all zeros", shape.name, row);
      return part;
    }
  }
  return part;
}

}  // namespace

bool same_bytes(std::span<const unsigned char> a, std::span<const unsigned char> b) {
  if (a.size() != b.size()) return false;
  std::atomic<bool> same = true;
  parallel_for(a.size(), size_t{1} << 21, [&](size_t begin, size_t end) {
    if (std::memcmp(a.data() + begin, b.data() + begin, end - begin) != 0) same = false;
  });
  return same;
}

Comparison compare_output(const HostTensor& shape, std::span<const unsigned char> reference,
                          std::span<const unsigned char> output, const VerifySpec& limits) {
  const size_t rows = static_cast<size_t>(shape.rows());
  const size_t at_once =
      static_cast<size_t>(std::max<int64_t>(1, kElementsAtOnce / std::max<int64_t>(1, shape.columns())));
  std::vector<Part> parts((rows + at_once - 1) / at_once);
  parallel_for(rows, at_once, [&](size_t begin, size_t end) {
    const auto first = static_cast<int64_t>(begin), last = static_cast<int64_t>(end);
    parts[begin / at_once] =
        shape.dtype == DType::bf16
            ? compare_rows(shape, reference.data(), output.data(), first, last, Bf16Element())
            : compare_rows(shape, reference.data(), output.data(), first, last, AnyElement{shape.dtype});
  });

  // In the order of the rows: what is said is the same, however many threads there were.
  Comparison result;
  double error_sum = 0, reference_sum = 0, worst = 0;
  int64_t finite = 0;
  for (const Part& part : parts) {
    result.compared += part.compared;
    result.different += part.different;
    if (!part.reason.empty()) {
      result.reason = part.reason;
      return result;
    }
    error_sum += part.error_sum;
    reference_sum += part.reference_sum;
    worst = std::max(worst, part.worst);
    finite += part.finite;
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
