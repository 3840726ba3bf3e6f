// The environment, read when a library or store is opened, never on the launch path.
#pragma once

#include <cstdlib>
#include <string>

namespace rtjit {

// "" where it is not set.
inline std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace rtjit
