#include "templates/formula_scope.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "templates/formula_lexer.h"

namespace rtjit {
namespace {

void add_problem(const Template& tmpl, FormulaScope& scope) {
  for (const KeySpec& key : tmpl.problem) scope.add_key(key.name, key);
}

void add_target(FormulaScope& scope) {
  for (const std::string& name : target_names()) scope.symbols.add(name);
}

void add_scalars(const Template& tmpl, FormulaScope& scope) {
  for (const LaunchScalar& scalar : tmpl.scalars) scope.symbols.add(scalar.name);
}

void add_arguments(const Template& tmpl, ArgumentSpec::Role role, FormulaScope& scope) {
  for (const ArgumentSpec& argument : tmpl.arguments) {
    if (argument.role != role) continue;
    scope.symbols.add(argument.name + ".item_bytes");
    scope.symbols.add(argument.name + ".given");
  }
}

std::vector<std::string> names_of(const Variant& variant) {
  std::vector<std::string> names = {"threads", "smem"};
  for (const KeySpec& parameter : variant.parameters) names.push_back(parameter.name);
  for (const auto& [name, formula] : variant.provides) names.push_back(name);
  return names;
}

// <stage>.<name> for what every variant of the stage has; what only some have is refused with the reason.
void add_stage(const Stage& stage, FormulaScope& scope) {
  for (const Variant& variant : stage.variants) {
    for (const std::string& name : names_of(variant)) {
      std::string qualified = stage.name + "." + name;
      if (scope.symbols.find(qualified) || scope.refused.contains(qualified)) continue;
      auto lacking = std::find_if(stage.variants.begin(), stage.variants.end(), [&](const Variant& other) {
        std::vector<std::string> names = names_of(other);
        return std::find(names.begin(), names.end(), name) == names.end();
      });
      if (lacking != stage.variants.end()) {
        scope.refused[qualified] =
            fmt::format("variant '{}' of stage '{}' has no '{}'; give it one under [stage.variant.provides]",
                        lacking->name, stage.name, name);
      } else {
        scope.symbols.add(qualified);
      }
    }
    for (const KeySpec& parameter : variant.parameters) {
      if (parameter.type != KeySpec::Type::choice) continue;
      std::vector<Value>& values = scope.choices[stage.name + "." + parameter.name];
      values.insert(values.end(), parameter.values.begin(), parameter.values.end());
    }
  }
}

// Slots come in the same order for every level, so that formulas of all levels can share one array of values.
void add_own(const Stage& stage, const Variant& variant, VariantScope level, FormulaScope& scope) {
  auto add = [&](const std::string& name) {
    std::string qualified = stage.name + "." + name;
    scope.symbols.alias(qualified, scope.symbols.add(name));
    scope.refused.erase(qualified);
  };
  for (const KeySpec& parameter : variant.parameters) {
    add(parameter.name);
    if (parameter.type != KeySpec::Type::choice) continue;
    scope.choices[parameter.name] = parameter.values;
    scope.choices[stage.name + "." + parameter.name] = parameter.values;
  }
  if (level >= VariantScope::threads) add("threads");
  if (level >= VariantScope::smem) add("smem");
}

// The name that `text` is compared with, or "": name == 'text', 'text' == name.
std::string_view compared_with(const std::vector<FormulaToken>& tokens, size_t text) {
  auto compares = [&](size_t at) { return tokens[at].is("==") || tokens[at].is("!="); };
  if (text >= 2 && compares(text - 1) && tokens[text - 2].kind == FormulaToken::Kind::name) {
    return tokens[text - 2].spelling;
  }
  if (text + 2 < tokens.size() && compares(text + 1) && tokens[text + 2].kind == FormulaToken::Kind::name) {
    return tokens[text + 2].spelling;
  }
  return {};
}

std::optional<Error> check_text(std::string_view formula, const std::vector<FormulaToken>& tokens, size_t at,
                                const FormulaScope& scope) {
  const FormulaToken& token = tokens[at];
  std::string_view name = compared_with(tokens, at);
  if (name.empty()) {
    return formula_error(formula, token.column,
                         "a quoted text can only be compared with a choice, as in store == 'plain'");
  }
  auto choice = scope.choices.find(name);
  if (choice == scope.choices.end()) {
    return formula_error(
        formula, token.column,
        fmt::format("'{}' is a number and cannot be compared with the text '{}'", name, token.spelling));
  }
  if (choice->second.empty()) return std::nullopt;  // the choice itself is wrong, which is said elsewhere
  std::vector<std::string> values;
  for (const Value& value : choice->second) values.push_back(to_string(value));
  if (std::find(values.begin(), values.end(), token.spelling) != values.end()) return std::nullopt;
  std::string near = nearest_name(token.spelling, values);
  return formula_error(formula, token.column,
                       fmt::format("'{}' is not a value of {}; {}", token.spelling, name,
                                   near.empty() ? "values are " + join(values, ", ")
                                                : fmt::format("did you mean '{}'?", near)));
}

std::optional<Error> check_name(std::string_view formula, const std::vector<FormulaToken>& tokens, size_t at,
                                const FormulaScope& scope) {
  const FormulaToken& token = tokens[at];
  auto refused = scope.refused.find(token.spelling);
  if (refused != scope.refused.end()) return formula_error(formula, token.column, refused->second);
  const auto choice = scope.choices.find(token.spelling);
  if (choice == scope.choices.end() || choice->second.empty()) return std::nullopt;
  auto is_text = [&](size_t i) {
    return i < tokens.size() && tokens[i].kind == FormulaToken::Kind::text &&
           compared_with(tokens, i) == token.spelling;
  };
  if (is_text(at + 2) || (at >= 2 && is_text(at - 2))) return std::nullopt;
  return formula_error(formula, token.column,
                       fmt::format("'{0}' is a choice; compare it with a quoted value, as in {0} == '{1}'",
                                   token.spelling, to_string(choice->second.front())));
}

// The text, and once each the named formulas in it.
std::optional<Error> check_words(std::string_view text, const FormulaScope& scope,
                                 std::set<std::string, std::less<>>& named) {
  auto tokens = tokenize_formula(text);
  if (!tokens) return tokens.error();
  for (size_t at = 0; at < tokens->size(); ++at) {
    const FormulaToken& token = (*tokens)[at];
    std::optional<Error> error;
    if (token.kind == FormulaToken::Kind::text) error = check_text(text, *tokens, at, scope);
    if (token.kind == FormulaToken::Kind::name) {
      error = check_name(text, *tokens, at, scope);
      const std::string* definition = scope.symbols.definition(token.spelling);
      if (!error && definition && named.emplace(token.spelling).second) {
        error = check_words(*definition, scope, named);
        if (error)
          error->message += fmt::format("; it is what '{}' stands for in '{}'", token.spelling, text);
      }
    }
    if (error) return error;
  }
  return std::nullopt;
}

}  // namespace

void define_formulas(const std::vector<NamedFormula>& formulas, SymbolTable* symbols) {
  for (const NamedFormula& formula : formulas) symbols->define(formula.name, formula.text);
}

void FormulaScope::add_key(const std::string& name, const KeySpec& key) {
  symbols.add(name);
  if (key.type == KeySpec::Type::choice) choices[name] = key.values;
}

Result<Formula> parse_in_scope(std::string_view text, const FormulaScope& scope) {
  std::set<std::string, std::less<>> named;
  if (std::optional<Error> error = check_words(text, scope, named)) return *error;
  return Formula::parse(text, scope.symbols);
}

SymbolTable problem_symbols(const Template& tmpl, const Problem& problem, std::vector<int64_t>* values) {
  SymbolTable symbols;
  define_formulas(tmpl.named_formulas, &symbols);
  for (const auto& [key, value] : problem.values()) {
    symbols.add(key);
    values->push_back(formula_value(value));
  }
  return symbols;
}

const std::vector<std::string>& target_names() {
  static const std::vector<std::string> names = {
      "target.cc",       "target.major",          "target.smem_per_block",  "target.smem_per_sm",
      "target.sm_count", "target.threads_per_sm", "target.registers_per_sm"};
  return names;
}

std::vector<int64_t> target_values(const TargetFacts& target) {
  return {target.cc,       target.major,          target.smem_per_block,  target.smem_per_sm,
          target.sm_count, target.threads_per_sm, target.registers_per_sm};
}

FormulaScope problem_scope(const Template& tmpl) {
  FormulaScope scope;
  add_problem(tmpl, scope);
  define_formulas(tmpl.named_formulas, &scope.symbols);
  return scope;
}

FormulaScope problem_and_target_scope(const Template& tmpl) {
  FormulaScope scope = problem_scope(tmpl);
  add_target(scope);
  return scope;
}

FormulaScope shape_scope(const Template& tmpl, ArgumentSpec::Role role) {
  FormulaScope scope = problem_scope(tmpl);
  // Packing happens once, without any launch: its tensors have no scalars.
  if (role == ArgumentSpec::Role::launch) add_scalars(tmpl, scope);
  return scope;
}

FormulaScope workspace_scope(const Template& tmpl) {
  FormulaScope scope = problem_and_target_scope(tmpl);
  if (!tmpl.bucket_scalar.empty()) scope.symbols.add(tmpl.bucket_scalar);
  for (const Stage& stage : tmpl.stages) add_stage(stage, scope);
  return scope;
}

FormulaScope pack_scope(const Template& tmpl) {
  FormulaScope scope = problem_and_target_scope(tmpl);
  add_arguments(tmpl, ArgumentSpec::Role::pack, scope);
  return scope;
}

FormulaScope variant_scope(const Template& tmpl, const Stage& stage, const Variant& variant,
                           VariantScope level) {
  FormulaScope scope = problem_and_target_scope(tmpl);
  define_formulas(stage.named_formulas, &scope.symbols);
  define_formulas(variant.named_formulas, &scope.symbols);
  add_own(stage, variant, level, scope);
  if (level >= VariantScope::bucket) {
    if (!tmpl.bucket_scalar.empty()) scope.symbols.add(tmpl.bucket_scalar);
    add_arguments(tmpl, ArgumentSpec::Role::launch, scope);
  }
  return scope;
}

FormulaScope launch_scope(const Template& tmpl, const Stage& stage, const Variant& variant) {
  FormulaScope scope = problem_and_target_scope(tmpl);
  define_formulas(stage.named_formulas, &scope.symbols);
  define_formulas(variant.named_formulas, &scope.symbols);
  add_scalars(tmpl, scope);
  add_arguments(tmpl, ArgumentSpec::Role::launch, scope);
  for (const Stage& other : tmpl.stages) {
    if (other.name != stage.name) add_stage(other, scope);
  }
  add_own(stage, variant, VariantScope::smem, scope);
  for (const auto& [name, formula] : variant.provides) scope.symbols.add(stage.name + "." + name);
  return scope;
}

}  // namespace rtjit
