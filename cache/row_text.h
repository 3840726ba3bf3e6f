// One row, winner or binary as one line of JSON, and back. Equal lines mean equal content, bit for bit:
// numbers are the shortest text that reads back as the same number, fields at their default are left out, and
// text that is not UTF-8 stands as base64. docs/cache-format.md documents the fields.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "cache/binary_codec.h"
#include "cache/records.h"

namespace rtjit {

std::string to_line(const TuningRow& row);
std::string to_line(const WinnerRow& row);
std::string to_line(const QuarantineRow& row);
std::string to_line(const StoredBinary& binary);

// What one line may say.
using LineContent = std::variant<TuningRow, WinnerRow, QuarantineRow, StoredBinary>;

// ErrorCode::invalid_argument with the reason where the line is no JSON object, names an unknown kind or
// field, has a value of the wrong type, or holds what may not be stored (check_row(), decode_binary()).
Result<LineContent> parse_line(std::string_view line);

}  // namespace rtjit
