// A TOML text as a plain tree with line numbers and the order of the file (toml++ sorts its tables).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rtjit {

struct TomlEntry;

struct TomlNode {
  enum class Kind { text, integer, real, boolean, list, table };
  Kind kind = Kind::table;
  int line = 0;
  std::string text;
  int64_t integer = 0;
  double real = 0;
  bool boolean = false;
  std::vector<TomlNode> items;     // list
  std::vector<TomlEntry> entries;  // table, in the order of the file

  const TomlNode* find(std::string_view key) const;
  TomlNode* find(std::string_view key);
  // The text under a key of a table; empty where there is none.
  std::string text_of(std::string_view key) const;
  // A scalar as text: "abc", "5", "0.006", "true". Empty for lists and tables.
  std::string scalar_text() const;
};

struct TomlEntry {
  std::string key;
  TomlNode value;
};

const char* to_string(TomlNode::Kind kind);

// Errors name the file, the line and the column. Dates and times are refused.
Result<TomlNode> parse_toml(std::string_view text, const std::string& file_name);

}  // namespace rtjit
