// Draws test and measurement inputs on the host, as the manifest's `fill` says. Deterministic in seed and
// pattern, on every machine. Kinds, with their options (numbers, or formulas over the problem and the launch
// scalars):
//
// - normal (mean = 0, std = 1)
// - bytes (low = 0, high = 255): uniform bytes, each in low..high
// - range (low = 0, high = 1): uniform; integers include `high`
// - choice (count, first = 0): ids first .. first + count - 1, shaped by the pattern
// - softmax: rows that are positive and sum to 1
// - zero: all bits 0
// - none given: normal; integers zero
//
// Patterns of choices:
//
// - 0: uniform, distinct within a row as far as count allows
// - 1: every row picks the same
// - 2: as 0, but about one in five is invalid: negative, or beyond the last
// - 3: skewed: the k-th id with weight 1 / (k + 1), distinct
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "templates/launch_plan.h"

namespace rtjit {

// One set of launch arguments to draw.
struct InputCase {
  int64_t value = 1;  // of the template's bucket scalar
  uint64_t seed = 1;
  int pattern = 0;
  bool optionals = false;    // give optional arguments too (those whose fill is not `zero`)
  bool last_dtypes = false;  // the last accepted dtype instead of the first
  std::string text() const;  // "tokens=33 seed=1 pattern=2", for messages
};

// A tensor in host memory.
struct HostTensor {
  std::string_view name;  // lives in the template
  int argument = -1;      // index into Template::arguments
  DType dtype = DType::u8;
  int rank = 0;
  std::array<int64_t, 4> shape{}, stride{};  // stride in elements, always filled in
  bool is_output = false;
  // The contents, gaps between rows included, empty for outputs. Of large tensors only the first few million
  // bytes, which repeat over the rest.
  std::vector<unsigned char> data;
  int64_t bytes() const;  // that the device needs, gaps between rows included
  int64_t elements() const;
  int64_t columns() const;                // extent of the last dimension, 1 for rank 0
  int64_t rows() const;                   // elements() / columns()
  int64_t row_offset(int64_t row) const;  // of the row's first element, in elements
};

// All arguments of a role that `input` calls for, in the manifest's order. Strides are dense where the
// manifest leaves them open. Outputs are described, not filled. Launch scalars other than the bucket scalar
// that a shape needs take their smallest useful value.
Result<std::vector<HostTensor>> draw_inputs(const LaunchPlan& plan, const Problem& problem,
                                            ArgumentSpec::Role role, const InputCase& input);

// One element as a number; NaN and infinity come through. Integers convert exactly up to 2^53.
double element_value(DType dtype, const unsigned char* element);

// The small generator behind all draws (splitmix64).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next();
  // What this one will be after so many draws, of any of the kinds here.
  Random after(uint64_t draws) const { return Random(state_ + draws * kStep); }
  double uniform();              // [0, 1)
  int64_t below(int64_t count);  // 0 .. count - 1; count > 0

 private:
  static constexpr uint64_t kStep = 0x9E3779B97F4A7C15ull;
  uint64_t state_;
};

}  // namespace rtjit
