#include "templates/manifest.h"

#include <algorithm>

#include "templates/formula_scope.h"

namespace rtjit {
namespace {

struct DTypeFacts {
  const char* name;
  int bytes;
};
// In the order of DType.
constexpr DTypeFacts kDTypes[] = {{"u8", 1},  {"i8", 1},  {"i16", 2}, {"i32", 4},  {"i64", 8}, {"bf16", 2},
                                  {"f16", 2}, {"f32", 4}, {"f64", 8}, {"e4m3", 1}, {"e8m0", 1}};

// A value for each key, in their order. `owner` names them in messages: "moe_mxfp4".
Result<std::vector<std::pair<std::string, Value>>> fill_keys(const std::vector<KeySpec>& keys,
                                                             const KeyValues& given,
                                                             const std::string& owner) {
  std::vector<std::string> known;
  for (const KeySpec& key : keys) known.push_back(key.name);
  for (const auto& [name, text] : given) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    std::string near = nearest_name(name, known);
    return make_error(ErrorCode::invalid_argument, "{} has no key '{}'; {}", owner, name,
                      !near.empty()   ? fmt::format("did you mean '{}'?", near)
                      : known.empty() ? std::string("it has no keys")
                                      : "keys are " + join(known, ", "));
  }
  std::vector<std::pair<std::string, Value>> values;
  std::vector<std::string> missing;
  for (const KeySpec& key : keys) {
    std::optional<Value> value = key.fallback;
    for (const auto& [name, text] : given) {
      if (name != key.name) continue;
      auto parsed = key.parse(text);
      if (!parsed) return parsed.error().with_context(owner);
      value = *parsed;
    }
    if (value) {
      values.emplace_back(key.name, *value);
    } else {
      missing.push_back(key.name);
    }
  }
  if (!missing.empty()) {
    return make_error(ErrorCode::invalid_argument, "{}: no value for {}", owner, join(missing, ", "));
  }
  return values;
}

}  // namespace

const char* to_string(DType dtype) { return kDTypes[static_cast<int>(dtype)].name; }
int bytes_of(DType dtype) { return kDTypes[static_cast<int>(dtype)].bytes; }

std::optional<DType> parse_dtype(std::string_view text) {
  for (size_t i = 0; i < std::size(kDTypes); ++i) {
    if (text == kDTypes[i].name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

const Stage* Template::find_stage(std::string_view stage) const {
  for (const Stage& candidate : stages) {
    if (candidate.name == stage) return &candidate;
  }
  return nullptr;
}

const Variant* Template::find_variant(std::string_view stage, std::string_view variant) const {
  const Stage* found = find_stage(stage);
  if (!found) return nullptr;
  for (const Variant& candidate : found->variants) {
    if (candidate.name == variant) return &candidate;
  }
  return nullptr;
}

std::vector<DType> accepted_dtypes(const ArgumentSpec& argument, const Problem& problem) {
  const Value* chosen = argument.dtype_key.empty() ? nullptr : problem.find(argument.dtype_key);
  if (!chosen) return argument.dtypes;
  std::optional<DType> dtype = parse_dtype(to_string(*chosen));
  bool listed =
      dtype && std::find(argument.dtypes.begin(), argument.dtypes.end(), *dtype) != argument.dtypes.end();
  return listed ? std::vector<DType>{*dtype} : argument.dtypes;
}

int64_t bucket_for(const Template& tmpl, int64_t value) {
  auto bucket = std::lower_bound(tmpl.buckets.begin(), tmpl.buckets.end(), value);
  return bucket == tmpl.buckets.end() ? tmpl.buckets.back() : *bucket;
}

Result<Problem> make_problem(const Template& tmpl, const KeyValues& given) {
  auto values = fill_keys(tmpl.problem, given, tmpl.name);
  if (!values) return values.error();
  FormulaScope scope = problem_scope(tmpl);
  std::vector<int64_t> numbers;
  for (const auto& [name, value] : *values) numbers.push_back(formula_value(value));
  for (const ConstraintSpec& constraint : tmpl.problem_constraints) {
    auto formula = parse_in_scope(constraint.require, scope);
    if (!formula) return formula.error().with_context(tmpl.name);
    auto holds = formula->evaluate_or_error(numbers, scope.symbols);
    if (!holds) return holds.error().with_context(tmpl.name);
    if (*holds != 0) continue;
    std::vector<std::string> inputs;
    for (int slot : formula->reads()) {
      inputs.push_back(fmt::format("{} = {}", (*values)[slot].first, to_string((*values)[slot].second)));
    }
    return make_error(ErrorCode::invalid_argument, "{}: {} ({}; required: {})", tmpl.name, constraint.message,
                      join(inputs, ", "), constraint.require);
  }
  return Problem(std::move(*values));
}

std::string Config::canonical() const {
  KeyValues pairs;
  for (const auto& [name, value] : values_) pairs.emplace_back(name, to_string(value));
  return format_key_values(pairs);
}

Result<Config> make_config(const Variant& variant, const KeyValues& given) {
  auto values = fill_keys(variant.parameters, given, fmt::format("config of variant '{}'", variant.name));
  if (!values) return values.error();
  return Config(std::move(*values));
}

}  // namespace rtjit
