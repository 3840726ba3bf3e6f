// A whole cache as text that diffs well: one JSON object per line, sorted by key, the first line naming the
// format. docs/cache-format.md documents it.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "cache/contents.h"

namespace rtjit {

// Equal contents give equal text, byte for byte. Winners, rows, quarantine, binaries.
std::string to_text(const Contents& contents);

// ErrorCode::invalid_argument with the number of the first bad line and what is wrong with it. Empty lines
// are passed over; the order of lines does not matter, and of several with one key the better counts when
// merged.
Result<Contents> parse_text(std::string_view text);

}  // namespace rtjit
