// One problem of a template with all its inputs and its judge. Knows no device.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "templates/manifest.h"

namespace rtjit::testing {

struct HostArgument {
  std::string name;
  DType dtype = DType::u8;
  std::vector<int64_t> shape, stride;  // stride in elements; empty: dense
  std::vector<unsigned char> bytes;    // empty for the output
  bool output = false;

  int64_t elements_from_first_to_last() const;  // gaps between rows included
};

struct Judgement {
  double rel_l2 = 0, max_per_rms = 0;
  std::string wrong;  // "" when the result is right
};

struct TestCase {
  std::string name, template_name, problem;
  int64_t value = 0;  // of the template's bucket scalar
  bool every_config = false;
  bool deterministic = true;               // two runs must give the same bits
  std::vector<HostArgument> launch, pack;  // exactly one of `launch` is the output
  // Looks at the output's elements, dense.
  std::function<Judgement(const std::vector<unsigned char>& output)> judge;
};

template <typename To, typename From>
std::vector<unsigned char> bytes_as(const std::vector<From>& values) {
  std::vector<To> converted(values.begin(), values.end());
  const auto* first = reinterpret_cast<const unsigned char*>(converted.data());
  return {first, first + converted.size() * sizeof(To)};
}

// "a third skipped, NaN weights" -> "a_third_skipped_NaN_weights", as GoogleTest wants names of parameters.
std::string test_name(const std::string& name);

}  // namespace rtjit::testing
