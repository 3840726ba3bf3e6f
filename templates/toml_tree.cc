#include "templates/toml_tree.h"

#include <algorithm>

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

}  // namespace

const TomlNode* TomlNode::find(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    if (name == key) return &value;
  }
  return nullptr;
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
  toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return make_error(ErrorCode::invalid_argument, "{}:{}: column {}: {}", file_name,
                      error.source().begin.line, error.source().begin.column, error.description());
  }
  return convert(parsed.table(), file_name);
}

}  // namespace rtjit
