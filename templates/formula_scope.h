// Which names a formula of a manifest may use: one scope per place where formulas stand (docs/manifest.md).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "templates/formula.h"
#include "templates/launch_plan.h"
#include "templates/manifest.h"

namespace rtjit {

struct FormulaScope {
  SymbolTable symbols;
  std::map<std::string, std::vector<Value>, std::less<>>
      choices;                                              // names that stand for an enum, their values
  std::map<std::string, std::string, std::less<>> refused;  // names with an explanation why they are unknown

  void add_key(const std::string& name, const KeySpec& key);
};

// Parses, and refuses quoted texts that are not a value of the choice they are compared with: such a
// comparison would silently never hold.
Result<Formula> parse_in_scope(std::string_view text, const FormulaScope& scope);

// Makes the names known in `symbols`.
void define_formulas(const std::vector<NamedFormula>& formulas, SymbolTable* symbols);

// What formulas over a problem see: its keys, with their values in `values`.
SymbolTable problem_symbols(const Template& tmpl, const Problem& problem, std::vector<int64_t>* values);

// "target.sm_count", ... and their values.
const std::vector<std::string>& target_names();
std::vector<int64_t> target_values(const TargetFacts& target);

FormulaScope problem_scope(const Template& tmpl);
// Packed buffers, template arguments of packing, cases of verification.
FormulaScope problem_and_target_scope(const Template& tmpl);
FormulaScope shape_scope(const Template& tmpl, ArgumentSpec::Role role);
FormulaScope workspace_scope(const Template& tmpl);
FormulaScope pack_scope(const Template& tmpl);

// How much of a variant's own scope a formula sees; each level adds to the one before.
enum class VariantScope {
  config,   // problem, target, own parameters: `threads`
  threads,  // and threads: `smem`
  smem,     // and smem: the other formulas that are fixed by problem, config and target
  bucket,   // and the bucket's scalar and the launch arguments' item_bytes and given: defaults and cost
};
FormulaScope variant_scope(const Template& tmpl, const Stage& stage, const Variant& variant,
                           VariantScope level);
// Launches and tensor maps: all launch scalars, and every stage's parameters.
FormulaScope launch_scope(const Template& tmpl, const Stage& stage, const Variant& variant);

}  // namespace rtjit
