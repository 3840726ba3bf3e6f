// Which sources a kernel is made of: the `#include "..."` lines followed through a template's sources.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rtjit {

struct IncludeLine {
  std::string path;  // between the quotes
  int line = 0;
};

// The `#include "..."` lines of a CUDA source outside comments. `#include <...>` names the toolkit and is
// left out.
std::vector<IncludeLine> scan_includes(std::string_view source);

// The keys of `sources` that `roots` are and include, directly or not; ascending, each once. Conditional
// includes count. A root or a quoted include that is not in `sources` is an error with file and line.
Result<std::vector<std::string>> reachable_sources(const std::map<std::string, std::string>& sources,
                                                   const std::vector<std::string>& roots);

}  // namespace rtjit
