// From the tree of a template.toml to a checked Template. Internal to manifest_parse.cc and
// manifest_stages.cc.
//
// Sections are read in the order in which formulas may depend on them, whatever their order in the file, so
// that every formula is checked where it is read and its error has a line.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "templates/formula_scope.h"
#include "templates/manifest.h"
#include "templates/manifest_reader.h"

namespace rtjit {

class ManifestParser {
 public:
  ManifestParser(const TomlNode& root, const ManifestFiles& files,
                 std::map<std::string, std::string> sources);
  Result<Template> parse();

 private:
  // manifest_parse.cc
  void read_problem();
  // The [let] of a table: claims the names in `taken`.
  std::vector<NamedFormula> read_named_formulas(TableReader& parent, const std::string& what,
                                                std::set<std::string>& taken);
  void mark_used(std::string_view formula, const SymbolTable& symbols,
                 std::set<std::string, std::less<>>& followed);
  void check_named_formulas_are_used();
  void read_launch_scalars();
  void read_buffers();
  void read_verify();
  KeySpec read_key(const std::string& name, const TomlNode& node, const std::string& what);
  void read_key_values(TableReader& reader, KeySpec& key);
  ConstraintSpec read_constraint(const TomlNode& node, const std::string& what, const FormulaScope& scope);

  // manifest_arguments.cc
  void read_arguments();
  void read_argument(const TomlNode& node);
  void read_dtypes(TableReader& reader, ArgumentSpec& argument);
  void read_fill(TableReader& reader, ArgumentSpec& argument, const FormulaScope& scope);
  void check_scalars_are_bound();

  // manifest_stages.cc
  void read_stage_names(const std::vector<const TomlNode*>& stages);
  void read_variant_names(TableReader& reader, const Stage& stage, Variant& variant);
  void read_stage(const TomlNode& node, Stage& stage);
  void read_work(TableReader& reader, Stage& stage);
  void read_timed_with(TableReader& reader, Stage& stage);
  void read_variant(const TomlNode& node, Stage& stage, Variant& variant);
  void read_variant_formulas(TableReader& reader, Stage& stage, Variant& variant);
  void read_requirements(TableReader& reader, const Stage& stage, Variant& variant);
  void read_defaults(TableReader& reader, const Stage& stage, Variant& variant);
  void check_defaults(TableReader& reader, const Stage& stage, const Variant& variant);
  void read_cost(TableReader& reader, const Stage& stage, Variant& variant);
  void read_tensor_map(const TomlNode& node, const FormulaScope& scope, Variant& variant);
  void check_oracles(TableReader& reader, const Stage& stage);
  void read_pack();

  // manifest_launches.cc
  struct LaunchContext {
    std::string what;
    std::string source;                // where the kernel must be defined
    const FormulaScope& formulas;      // of grid, block, when, args ...
    const FormulaScope& compile_time;  // of template_args
    ArgumentSpec::Role role;           // whose arguments may be passed
    const Variant* variant;            // null for packing
  };
  LaunchSpec read_launch(const TomlNode& node, const LaunchContext& context);
  void read_dimensions(TableReader& reader, std::string_view key, const FormulaScope& scope,
                       std::string (&dimensions)[3]);
  void check_template_argument(TableReader& reader, const std::string& text, const LaunchContext& context);
  void check_launch_argument(TableReader& reader, const std::string& text, const LaunchContext& context);
  void check_kernel_exists(TableReader& reader, const std::string& kernel, const std::string& source);
  void check_pointer(int line, const std::string& what, const std::string& name, ArgumentSpec::Role role);

  // Shared.
  void check_formula(int line, const std::string& what, const std::string& text, const FormulaScope& scope);
  // Reads a formula, checks it, and gives `fallback` (unchecked) when it is absent.
  std::string formula(TableReader& reader, std::string_view key, const FormulaScope& scope,
                      std::string_view fallback);
  std::vector<std::string> formulas(TableReader& reader, std::string_view key, const FormulaScope& scope);
  // Refuses what is not an identifier, is reserved or is in `taken`; adds it there.
  void claim_name(int line, const std::string& what, const std::string& name, std::set<std::string>& taken);
  // The full key of a source named in the manifest; an error if it is not there.
  std::string resolve_source(TableReader& reader, std::string_view key);
  // One of `allowed`, else an error and the first of them.
  std::string one_of(TableReader& reader, std::string_view key, std::string_view fallback,
                     const std::vector<std::string>& allowed);

  const TomlNode& root_;
  ManifestErrors errors_;
  std::optional<TableReader> reader_;  // of root_
  Template template_;
  std::map<std::string, Result<std::vector<std::string>>> reachable_;  // by source: it and what it includes
  std::set<std::string> names_;  // problem keys, launch scalars and [let]: one name space for formulas
  struct NamedFormulaPlace {
    int line;
    std::string what;
    NamedFormula formula;
  };
  std::vector<NamedFormulaPlace> named_formulas_;                // of all levels
  std::set<std::pair<std::string, std::string>> used_formulas_;  // name and text of those that a formula uses
};

}  // namespace rtjit
