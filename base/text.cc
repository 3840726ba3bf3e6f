#include "base/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

namespace rtjit {
namespace {

// Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`.
int edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = static_cast<int>(i);
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      int replace = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, replace});
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

template <typename Number>
std::optional<Number> parse_whole(std::string_view text) {
  Number value{};
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

}  // namespace

std::string with_thousands(int64_t value) {
  std::string digits = std::to_string(value);
  int first = value < 0 ? 1 : 0;
  for (int at = static_cast<int>(digits.size()) - 3; at > first; at -= 3) digits.insert(at, 1, ',');
  return digits;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  if (trim(text).empty()) return parts;
  for (size_t start = 0;;) {
    size_t end = text.find(separator, start);
    parts.emplace_back(trim(text.substr(start, end == std::string_view::npos ? end : end - start)));
    if (end == std::string_view::npos) return parts;
    start = end + 1;
  }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += separator;
    text += parts[i];
  }
  return text;
}

std::optional<int64_t> parse_int(std::string_view text) { return parse_whole<int64_t>(text); }

std::optional<double> parse_double(std::string_view text) {
  std::optional<double> value = parse_whole<double>(text);
  if (value && !std::isfinite(*value)) return std::nullopt;
  return value;
}

Result<KeyValues> parse_key_values(std::string_view text) {
  KeyValues pairs;
  std::set<std::string, std::less<>> seen;
  for (const std::string& element : split(text, ',')) {
    size_t equals = element.find('=');
    std::string key(trim(std::string_view(element).substr(0, equals)));
    if (equals == std::string::npos || key.empty()) {
      return make_error(ErrorCode::invalid_argument, "'{}' in '{}' is not key=value", element, text);
    }
    if (!seen.insert(key).second) {
      return make_error(ErrorCode::invalid_argument, "'{}' is given twice in '{}'", key, text);
    }
    pairs.emplace_back(std::move(key), std::string(trim(std::string_view(element).substr(equals + 1))));
  }
  return pairs;
}

std::string format_key_values(const KeyValues& pairs) {
  std::string text;
  for (const auto& [key, value] : pairs) {
    if (!text.empty()) text += ',';
    text += key + '=' + value;
  }
  return text;
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates) {
  // A third of the letters may differ: 'hiden' finds 'hidden', 'x' does not find 'y'.
  int best = static_cast<int>(name.size()) / 3 + (name.size() >= 2 ? 1 : 0);
  std::string nearest;
  for (const std::string& candidate : candidates) {
    int distance = edit_distance(name, candidate);
    bool nearer = nearest.empty() ? distance <= best : distance < best;
    if (nearer && distance < static_cast<int>(candidate.size())) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace rtjit
