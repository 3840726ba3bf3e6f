// Numbers with a unit on the command line: "90d", "200M".
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace rtjit {

struct Unit {
  char letter;
  int64_t factor;
};

// "90d" -> 90 times the factor of 'd'. A number without a unit is an error: nobody should have to guess.
Result<int64_t> parse_quantity(const std::string& option, const std::string& text, const std::vector<Unit>& units,
                               const char* allowed);

// "200M" -> 209715200; K, M and G are KiB, MiB and GiB.
Result<int64_t> parse_bytes(const std::string& option, const std::string& text);

}  // namespace rtjit
