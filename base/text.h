// Small text helpers shared by messages, formulas and the command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace rtjit {

// 139264 -> "139,264". The form every message uses for byte counts.
std::string with_thousands(int64_t value);

// Splits at `separator` and trims blanks; an empty text gives an empty list.
std::vector<std::string> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);
std::string join(const std::vector<std::string>& parts, std::string_view separator);

// The decimal integer that fills the whole text, or nothing.
std::optional<int64_t> parse_int(std::string_view text);
std::optional<double> parse_double(std::string_view text);

// "block_m=128,store=plain" as ordered pairs. An element without '=' or a repeated key is an error naming it.
using KeyValues = std::vector<std::pair<std::string, std::string>>;
Result<KeyValues> parse_key_values(std::string_view text);
std::string format_key_values(const KeyValues& pairs);

// The nearest of `candidates` for "did you mean", or "" when none is near.
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace rtjit
