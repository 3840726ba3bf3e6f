// A problem: the values that are fixed when a kernel is opened (dimensions, layout flags, activation).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/text.h"

namespace rtjit {

// An integer, a real number, or one of an enum's names.
using Value = std::variant<int64_t, double, std::string>;
std::string to_string(const Value& value);
// What formulas see: the integer itself, text_value() of an enum name, a real truncated toward zero.
int64_t formula_value(const Value& value);

// What one key of a problem, or one parameter of a variant, may be.
struct KeySpec {
  enum class Type { integer, real, choice };
  std::string name;
  Type type = Type::integer;
  std::string doc;
  std::optional<Value> fallback;     // the default; none: the key must be given
  int64_t min = 0, max = INT64_MAX;  // integers
  int64_t multiple_of = 1;           // integers
  std::vector<Value> values;         // choices, or the allowed integers; empty: the range above
  std::string cpp;                   // choices: the C++ enum they are emitted as, "rtjit::moe_mxfp4::Store"

  // The value `text` denotes, or an error that names the key, what came and what is allowed.
  Result<Value> parse(std::string_view text) const;
};

// All keys of one template with a value each, in the manifest's order.
class Problem {
 public:
  Problem() = default;
  explicit Problem(std::vector<std::pair<std::string, Value>> values) : values_(std::move(values)) {}
  const std::vector<std::pair<std::string, Value>>& values() const { return values_; }
  const Value* find(std::string_view key) const;
  int64_t integer(std::string_view key) const;  // requires an integer key
  // "hidden=2880,intermediate=2880,...": every key in order. The identity of the problem in the cache.
  std::string canonical() const;

 private:
  std::vector<std::pair<std::string, Value>> values_;
};

// Named sets of problem values, read from presets/*.toml (embedded): `[moe_mxfp4] hidden = 2880 ...`.
struct Preset {
  std::string name, doc;
  std::map<std::string, KeyValues, std::less<>> problems;  // template name -> its keys
};

}  // namespace rtjit
