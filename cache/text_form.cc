#include "cache/text_form.h"

#include <algorithm>

#include "base/text.h"
#include "cache/row_fields.h"
#include "cache/row_text.h"

namespace rtjit {
namespace {

constexpr std::string_view kHeader = R"({"format":"rtjit cache text","version":1})";

template <typename Content>
void append(std::string* out, std::vector<const Content*> contents, auto&& before) {
  std::sort(contents.begin(), contents.end(),
            [&](const Content* a, const Content* b) { return before(*a, *b); });
  for (const Content* content : contents) *out += to_line(*content) + '\n';
}

template <typename Content>
std::vector<const Content*> pointers(const std::vector<Content>& contents) {
  std::vector<const Content*> all;
  for (const Content& content : contents) all.push_back(&content);
  return all;
}

}  // namespace

std::string to_text(const Contents& contents) {
  const auto by_identity = [](const auto& a, const auto& b) { return row_identity(a) < row_identity(b); };
  std::string out = std::string(kHeader) + '\n';
  append(&out, pointers(contents.winners), by_identity);
  append(&out, pointers(contents.rows), by_identity);
  append(&out, pointers(contents.quarantine), by_identity);
  append(&out, pointers(contents.binaries),
         [](const StoredBinary& a, const StoredBinary& b) { return a.key < b.key; });
  return out;
}

Result<Contents> parse_text(std::string_view text) {
  Contents contents;
  bool header_seen = false;
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    if (!header_seen) {
      if (line != kHeader) {
        return make_error(ErrorCode::invalid_argument,
                          "line {}: not the text form of a cache; it must begin with the line {}", number,
                          kHeader);
      }
      header_seen = true;
      continue;
    }
    Result<LineContent> content = parse_line(line);
    if (!content.ok()) return content.error().with_context(fmt::format("line {}", number));
    if (auto* row = std::get_if<TuningRow>(&*content)) contents.rows.push_back(std::move(*row));
    if (auto* winner = std::get_if<WinnerRow>(&*content)) contents.winners.push_back(std::move(*winner));
    if (auto* row = std::get_if<QuarantineRow>(&*content)) contents.quarantine.push_back(std::move(*row));
    if (auto* binary = std::get_if<StoredBinary>(&*content)) contents.binaries.push_back(std::move(*binary));
  }
  if (!header_seen) {
    return make_error(ErrorCode::invalid_argument, "the text is empty; it must begin with the line {}",
                      kHeader);
  }
  return contents;
}

}  // namespace rtjit
