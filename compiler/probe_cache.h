// The file that keeps what a feature probe found: text, one line per target, sealed by a hash.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rtjit {

// One string of cells per target of Target::all(); nothing when the file is missing, damaged, or about
// another compiler, target list or feature list.
std::optional<std::vector<std::string>> read_probe_cache(const std::string& path, std::string_view compiler);

// Replaces the file as a whole, making its folder. What cannot be written is left out: the next run probes
// again.
void write_probe_cache(const std::string& path, std::string_view compiler,
                       const std::vector<std::string>& columns);

}  // namespace rtjit
