#include "templates/problem.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "templates/formula.h"

namespace rtjit {
namespace {

std::string list_values(const std::vector<Value>& values) {
  std::vector<std::string> texts;
  for (const Value& value : values) texts.push_back(to_string(value));
  return join(texts, ", ");
}

std::string describe_integers(const KeySpec& spec) {
  if (!spec.values.empty()) return "one of " + list_values(spec.values);
  std::string text = spec.multiple_of == 1 ? "an integer" : fmt::format("a multiple of {}", spec.multiple_of);
  if (spec.max == INT64_MAX) return fmt::format("{}, at least {}", text, with_thousands(spec.min));
  return fmt::format("{} from {} to {}", text, with_thousands(spec.min), with_thousands(spec.max));
}

bool allows(const KeySpec& spec, int64_t value) {
  if (!spec.values.empty()) {
    return std::find(spec.values.begin(), spec.values.end(), Value(value)) != spec.values.end();
  }
  return value >= spec.min && value <= spec.max && value % spec.multiple_of == 0;
}

}  // namespace

std::string to_string(const Value& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) return std::to_string(*integer);
  if (const auto* real = std::get_if<double>(&value)) return fmt::format("{}", *real);
  return std::get<std::string>(value);
}

int64_t formula_value(const Value& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) return *integer;
  if (const auto* text = std::get_if<std::string>(&value)) return text_value(*text);
  double real = std::trunc(std::get<double>(value));
  // The ends of int64_t: converting beyond them would be undefined.
  if (real >= 0x1p63) return INT64_MAX;
  if (real < -0x1p63) return INT64_MIN;
  return static_cast<int64_t>(real);
}

Result<Value> KeySpec::parse(std::string_view text) const {
  auto refuse = [&](const std::string& allowed) {
    return make_error(ErrorCode::invalid_argument, "{}={}: it must be {}", name, text, allowed);
  };
  switch (type) {
    case Type::integer: {
      std::optional<int64_t> value = parse_int(text);
      if (!value || !allows(*this, *value)) return refuse(describe_integers(*this));
      return Value(*value);
    }
    case Type::real: {
      std::optional<double> value = parse_double(text);
      if (!value) return refuse("a finite real number, such as 1.702");
      return Value(*value + 0.0);  // -0 and 0 are one problem
    }
    case Type::choice: {
      Value value = std::string(text);
      if (std::find(values.begin(), values.end(), value) != values.end()) return value;
      std::vector<std::string> names;
      for (const Value& allowed : values) names.push_back(to_string(allowed));
      std::string near = nearest_name(text, names);
      return refuse("one of " + list_values(values) +
                    (near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
    }
  }
  return make_error(ErrorCode::internal, "{}: unknown type of key", name);
}

const Value* Problem::find(std::string_view key) const {
  for (const auto& [name, value] : values_) {
    if (name == key) return &value;
  }
  return nullptr;
}

int64_t Problem::integer(std::string_view key) const {
  const Value* value = find(key);
  assert(value && std::holds_alternative<int64_t>(*value));
  return std::get<int64_t>(*value);
}

std::string Problem::canonical() const {
  KeyValues pairs;
  for (const auto& [name, value] : values_) pairs.emplace_back(name, to_string(value));
  return format_key_values(pairs);
}

}  // namespace rtjit
