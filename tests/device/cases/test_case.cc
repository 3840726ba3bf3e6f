#include "tests/device/cases/test_case.h"

#include <cctype>

namespace rtjit::testing {

int64_t HostArgument::elements_from_first_to_last() const {
  int64_t last = 0, dense = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    if (shape[d] == 0) return 0;
    last += (shape[d] - 1) * (stride.empty() ? dense : stride[d]);
    dense *= shape[d];
  }
  return last + 1;
}

std::string test_name(const std::string& name) {
  std::string result;
  for (char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c))) {
      result += c;
    } else if (!result.empty() && result.back() != '_') {
      result += '_';
    }
  }
  return result;
}

}  // namespace rtjit::testing
