// How much a stress test does: an everyday amount in CI, more when a variable of the environment asks for it.
#pragma once

#include <algorithm>
#include <cstdlib>

namespace rtjit {

// The variable's value where it is larger than the everyday one.
inline int effort(const char* variable, int everyday) {
  const char* wanted = std::getenv(variable);
  return wanted == nullptr ? everyday : std::max(everyday, std::atoi(wanted));
}

}  // namespace rtjit
