#include "tools/rtjit/quantity.h"

#include "base/text.h"

namespace rtjit {

Result<int64_t> parse_quantity(const std::string& option, const std::string& text, const std::vector<Unit>& units,
                               const char* allowed) {
  for (const Unit& unit : units) {
    if (text.empty() || text.back() != unit.letter) continue;
    const auto number = parse_int(std::string_view(text).substr(0, text.size() - 1));
    if (number && *number >= 0 && *number <= (int64_t{1} << 60) / unit.factor) return *number * unit.factor;
  }
  return make_error(ErrorCode::invalid_argument, "{}: '{}' is not {}", option, text, allowed);
}

Result<int64_t> parse_bytes(const std::string& option, const std::string& text) {
  return parse_quantity(option, text, {{'K', 1 << 10}, {'M', 1 << 20}, {'G', 1 << 30}},
                        "a size in KiB, MiB or GiB, for example 200M or 1G");
}

}  // namespace rtjit
