#include "tools/rtjit/table.h"

#include <algorithm>

namespace rtjit {
namespace {

// Columns on a terminal: UTF-8 continuation bytes take no room.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

std::string Table::render(int indent) const {
  std::vector<size_t> widths;
  for (const Column& column : columns_) widths.push_back(width_of(column.title));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size() && i < widths.size(); i++)
      widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string out;
  auto line = [&](auto cell) {
    out.append(static_cast<size_t>(indent), ' ');
    for (size_t i = 0; i < columns_.size(); i++) {
      const std::string text = cell(i);
      const size_t padding = widths[i] - width_of(text);
      const bool last = i + 1 == columns_.size();
      if (columns_[i].align == Align::right) out.append(padding, ' ');
      out += text;
      if (columns_[i].align == Align::left && !last) out.append(padding, ' ');
      if (!last) out += "  ";
    }
    while (!out.empty() && out.back() == ' ') out.pop_back();
    out += '\n';
  };
  line([&](size_t i) { return columns_[i].title; });
  for (const auto& row : rows_) {
    line([&](size_t i) { return i < row.size() ? row[i] : std::string(); });
  }
  return out;
}

}  // namespace rtjit
