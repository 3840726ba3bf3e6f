#include "templates/manifest_reader.h"

#include <algorithm>
#include <cctype>

#include "base/text.h"

namespace rtjit {

Error ManifestErrors::error() const { return {ErrorCode::invalid_argument, join(messages_, "\n")}; }

TableReader::TableReader(const TomlNode& table, std::string what, ManifestErrors& errors)
    : table_(table), what_(std::move(what)), errors_(errors) {}

TableReader::~TableReader() {
  std::vector<std::string> known(known_.begin(), known_.end());
  for (const auto& [key, value] : table_.entries) {
    if (known_.contains(key)) continue;
    std::string near = nearest_name(key, known);
    std::string hint =
        near.empty() ? "known are " + join(known, ", ") : fmt::format("did you mean '{}'?", near);
    errors_.add(value.line, "{}: unknown key '{}'; {}", what_, key, hint);
  }
}

int TableReader::line_of(std::string_view key) const {
  const TomlNode* value = table_.find(key);
  return value ? value->line : table_.line;
}

const TomlNode* TableReader::any(std::string_view key) {
  known_.emplace(key);
  return table_.find(key);
}

const TomlNode* TableReader::take(std::string_view key, TomlNode::Kind kind) {
  const TomlNode* value = any(key);
  if (!value || value->kind == kind) return value;
  errors_.add(value->line, "{}: '{}' must be {}, not {}", what_, key, to_string(kind),
              to_string(value->kind));
  return nullptr;
}

std::string TableReader::text(std::string_view key, std::string_view fallback) {
  const TomlNode* value = take(key, TomlNode::Kind::text);
  return value ? value->text : std::string(fallback);
}

std::string TableReader::required_text(std::string_view key) {
  if (!has(key)) {
    known_.emplace(key);
    errors_.add(line(), "{}: '{}' is missing", what_, key);
    return {};
  }
  std::string value = text(key);
  if (value.empty() && table_.find(key)->kind == TomlNode::Kind::text) {
    errors_.add(line_of(key), "{}: '{}' is empty", what_, key);
  }
  return value;
}

std::string TableReader::formula_text(std::string_view key, std::string_view fallback) {
  const TomlNode* value = any(key);
  if (!value) return std::string(fallback);
  if (value->kind == TomlNode::Kind::text || value->kind == TomlNode::Kind::integer) {
    return value->scalar_text();
  }
  errors_.add(value->line, "{}: '{}' must be a formula (a text or an integer), not {}", what_, key,
              to_string(value->kind));
  return std::string(fallback);
}

bool TableReader::boolean(std::string_view key, bool fallback) {
  const TomlNode* value = take(key, TomlNode::Kind::boolean);
  return value ? value->boolean : fallback;
}

int64_t TableReader::integer(std::string_view key, int64_t fallback) {
  const TomlNode* value = take(key, TomlNode::Kind::integer);
  return value ? value->integer : fallback;
}

double TableReader::real(std::string_view key, double fallback) {
  const TomlNode* value = any(key);
  if (value && value->kind == TomlNode::Kind::integer) return static_cast<double>(value->integer);
  value = take(key, TomlNode::Kind::real);
  return value ? value->real : fallback;
}

const TomlNode* TableReader::list(std::string_view key) { return take(key, TomlNode::Kind::list); }
const TomlNode* TableReader::table(std::string_view key) { return take(key, TomlNode::Kind::table); }

std::vector<std::string> TableReader::scalars(std::string_view key, bool integers_too) {
  std::vector<std::string> out;
  const TomlNode* value = list(key);
  if (!value) return out;
  for (const TomlNode& item : value->items) {
    bool right = item.kind == TomlNode::Kind::text || (integers_too && item.kind == TomlNode::Kind::integer);
    if (!right) {
      errors_.add(item.line, "{}: '{}' must be a list of {}, not {}", what_, key,
                  integers_too ? "formulas" : "texts", to_string(item.kind));
      return {};
    }
    out.push_back(item.scalar_text());
  }
  return out;
}

std::vector<std::string> TableReader::texts(std::string_view key) { return scalars(key, false); }
std::vector<std::string> TableReader::formula_texts(std::string_view key) { return scalars(key, true); }

std::vector<int64_t> TableReader::integers(std::string_view key) {
  std::vector<int64_t> out;
  const TomlNode* value = list(key);
  if (!value) return out;
  for (const TomlNode& item : value->items) {
    if (item.kind != TomlNode::Kind::integer) {
      errors_.add(item.line, "{}: '{}' must be a list of integers, not {}", what_, key, to_string(item.kind));
      return {};
    }
    out.push_back(item.integer);
  }
  return out;
}

std::vector<const TomlNode*> TableReader::tables(std::string_view key) {
  std::vector<const TomlNode*> out;
  const TomlNode* value = any(key);
  if (!value) return out;
  bool right = value->kind == TomlNode::Kind::list;
  for (const TomlNode& item : value->items) right = right && item.kind == TomlNode::Kind::table;
  if (!right) {
    errors_.add(value->line, "{}: '{}' must be written as [[...{}]], once per entry", what_, key, key);
    return out;
  }
  for (const TomlNode& item : value->items) out.push_back(&item);
  return out;
}

std::vector<std::pair<std::string, const TomlNode*>> TableReader::rest() {
  std::vector<std::pair<std::string, const TomlNode*>> out;
  for (const auto& [key, value] : table_.entries) {
    if (known_.insert(key).second) out.emplace_back(key, &value);
  }
  return out;
}

bool is_identifier(std::string_view text) {
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0]))) return false;
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
}

}  // namespace rtjit
