#include "templates/toml_tree.h"

#include <algorithm>
#include <utility>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace rtjit {
namespace {

using Position = std::pair<uint32_t, uint32_t>;

Position position_of(const toml::source_position& at) { return {at.line, at.column}; }

Result<TomlNode> convert(const toml::node& node, const std::string& file_name) {
  TomlNode out;
  out.line = static_cast<int>(node.source().begin.line);
  switch (node.type()) {
    case toml::node_type::string:
      out.kind = TomlNode::Kind::text;
      out.text = node.as_string()->get();
      return out;
    case toml::node_type::integer:
      out.kind = TomlNode::Kind::integer;
      out.integer = node.as_integer()->get();
      return out;
    case toml::node_type::floating_point:
      out.kind = TomlNode::Kind::real;
      out.real = node.as_floating_point()->get();
      return out;
    case toml::node_type::boolean:
      out.kind = TomlNode::Kind::boolean;
      out.boolean = node.as_boolean()->get();
      return out;
    case toml::node_type::array:
      out.kind = TomlNode::Kind::list;
      for (const toml::node& item : *node.as_array()) {
        auto converted = convert(item, file_name);
        if (!converted) return converted;
        out.items.push_back(std::move(*converted));
      }
      // [[name]] has no place of its own: it is where its first table is.
      if (out.line == 0 && !out.items.empty()) out.line = out.items.front().line;
      return out;
    case toml::node_type::table: {
      std::vector<std::pair<Position, const toml::key*>> order;
      for (const auto& [key, value] : *node.as_table()) {
        order.emplace_back(position_of(key.source().begin), &key);
      }
      std::stable_sort(order.begin(), order.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
      for (const auto& [position, key] : order) {
        auto converted = convert(*node.as_table()->get(key->str()), file_name);
        if (!converted) return converted;
        if (converted->line == 0) converted->line = static_cast<int>(position.first);
        out.entries.push_back({std::string(key->str()), std::move(*converted)});
      }
      return out;
    }
    default:
      return make_error(ErrorCode::invalid_argument, "{}:{}: dates and times have no use here", file_name,
                        out.line);
  }
}

bool beyond_ascii(char c) { return static_cast<unsigned char>(c) >= 0x80; }

// Where the string that begins at `at` ends. One that TOML refuses ends where toml++ gives up, or later.
// `exotic`: where it has a character that toml++ must not see; left alone when it has none.
size_t end_of_string(std::string_view text, size_t at, size_t* exotic) {
  const char quote = text[at];
  const std::string three(3, quote);
  const bool long_form = text.substr(at, 3) == three;
  for (at += long_form ? 3 : 1; at < text.size(); ++at) {
    if (text[at] == '\\' && quote == '"') {
      // In a long string toml++ skips white space behind a backslash, and looks whether what follows is some.
      const size_t next = long_form ? text.find_first_not_of(" \t\r\n\v\f", at + 1) : std::string_view::npos;
      if (next != std::string_view::npos && beyond_ascii(text[next])) *exotic = std::min(*exotic, next);
      ++at;
    } else if (!long_form && (text[at] == quote || text[at] == '\n')) {
      return at + 1;
    } else if (long_form && text.substr(at, 3) == three) {
      at += 3;  // two more quotes may be the string's last characters
      for (int more = 0; more < 2 && at < text.size() && text[at] == quote; ++more) ++at;
      return at;
    }
  }
  return text.size();
}

// "p.toml:3: column 7: ", of byte `at`.
std::string place_of(std::string_view text, size_t at, const std::string& file_name) {
  const std::string_view before = text.substr(0, at);
  return fmt::format("{}:{}: column {}: ", file_name, 1 + std::count(before.begin(), before.end(), '\n'),
                     at - (before.rfind('\n') + 1) + 1);
}

// TOML allows characters beyond ASCII in strings and comments only. toml++ must not see them elsewhere: its
// look at white space is undefined behaviour for many of them (version 3.3). A quote in the middle of a word
// is refused too, for toml++ does not always take it for the beginning of a string.
Status refuse_exotic_characters(std::string_view text, const std::string& file_name) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  size_t at = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  size_t exotic = std::string_view::npos;
  while (at < text.size() && exotic == std::string_view::npos) {
    if (text[at] == '"' || text[at] == '\'') {
      if (at > 0 && std::string_view(" \t\r\n\v\f=[,{").find(text[at - 1]) == std::string_view::npos)
        return make_error(
            ErrorCode::invalid_argument,
            "{}a quote in the middle of a word; strings begin after a space, a line's end or one "
            "of = [ , {{",
            place_of(text, at, file_name));
      at = end_of_string(text, at, &exotic);
    } else if (text[at] == '#') {
      at = std::min(text.find('\n', at), text.size());
    } else if (beyond_ascii(text[at])) {
      exotic = at;
    } else {
      ++at;
    }
  }
  if (exotic == std::string_view::npos) return {};
  return make_error(ErrorCode::invalid_argument,
                    "{}a character beyond ASCII; those are allowed in quotes, except behind a backslash, "
                    "and in comments",
                    place_of(text, exotic, file_name));
}

}  // namespace

const TomlNode* TomlNode::find(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    if (name == key) return &value;
  }
  return nullptr;
}

TomlNode* TomlNode::find(std::string_view key) {
  return const_cast<TomlNode*>(std::as_const(*this).find(key));
}

std::string TomlNode::text_of(std::string_view key) const {
  const TomlNode* node = find(key);
  return node && node->kind == Kind::text ? node->text : std::string();
}

std::string TomlNode::scalar_text() const {
  switch (kind) {
    case Kind::text:
      return text;
    case Kind::integer:
      return std::to_string(integer);
    case Kind::real:
      return fmt::format("{}", real);
    case Kind::boolean:
      return boolean ? "true" : "false";
    case Kind::list:
    case Kind::table:
      break;
  }
  return {};
}

const char* to_string(TomlNode::Kind kind) {
  switch (kind) {
    case TomlNode::Kind::text:
      return "a text";
    case TomlNode::Kind::integer:
      return "an integer";
    case TomlNode::Kind::real:
      return "a real number";
    case TomlNode::Kind::boolean:
      return "true or false";
    case TomlNode::Kind::list:
      return "a list";
    case TomlNode::Kind::table:
      return "a table";
  }
  return "?";
}

Result<TomlNode> parse_toml(std::string_view text, const std::string& file_name) {
  if (Status status = refuse_exotic_characters(text, file_name); !status) return status.error();
  toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return make_error(ErrorCode::invalid_argument, "{}:{}: column {}: {}", file_name,
                      error.source().begin.line, error.source().begin.column, error.description());
  }
  return convert(parsed.table(), file_name);
}

}  // namespace rtjit
