#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "templates/formula_lexer.h"
#include "templates/includes.h"
#include "templates/manifest_include.h"
#include "templates/manifest_inherit.h"
#include "templates/manifest_parser.h"
#include "templates/variant_formulas.h"

namespace rtjit {
ManifestParser::ManifestParser(const TomlNode& root, const ManifestFiles& files,
                               std::map<std::string, std::string> sources)
    : root_(root), errors_(files) {
  template_.sources = std::move(sources);
}

Result<Template> ManifestParser::parse() {
  reader_.emplace(root_, "the manifest", errors_);
  template_.name = reader_->required_text("name");
  template_.summary = reader_->text("summary");
  if (!template_.name.empty() && !is_identifier(template_.name)) {
    errors_.add(reader_->line_of("name"), "name = '{}': letters, digits and _ only", template_.name);
  }
  template_.named_formulas = read_named_formulas(*reader_, "[let]", names_);
  read_problem();
  read_launch_scalars();
  read_arguments();
  check_scalars_are_bound();
  std::vector<const TomlNode*> stages = reader_->tables("stage");
  if (stages.empty()) errors_.add(1, "there is no [[stage]]; a template has at least one");
  read_stage_names(stages);
  read_buffers();
  read_pack();
  for (size_t i = 0; i < stages.size(); ++i) read_stage(*stages[i], template_.stages[i]);
  read_verify();
  reader_.reset();  // reports unknown sections
  if (errors_.empty()) check_named_formulas_are_used();
  if (!errors_.empty()) return errors_.error();
  return std::move(template_);
}

void ManifestParser::check_formula(int line, const std::string& what, const std::string& text,
                                   const FormulaScope& scope) {
  std::set<std::string, std::less<>> followed;
  mark_used(text, scope.symbols, followed);
  auto parsed = parse_in_scope(text, scope);
  if (!parsed) errors_.add(line, "{}: {}", what, parsed.error().message);
}

std::string ManifestParser::formula(TableReader& reader, std::string_view key, const FormulaScope& scope,
                                    std::string_view fallback) {
  std::string text = reader.formula_text(key, fallback);
  if (reader.has(key) && !text.empty()) {
    check_formula(reader.line_of(key), fmt::format("{}: {}", reader.what(), key), text, scope);
  }
  return text;
}

std::vector<std::string> ManifestParser::formulas(TableReader& reader, std::string_view key,
                                                  const FormulaScope& scope) {
  std::vector<std::string> texts = reader.formula_texts(key);
  for (const std::string& text : texts) {
    check_formula(reader.line_of(key), fmt::format("{}: {}", reader.what(), key), text, scope);
  }
  return texts;
}

void ManifestParser::claim_name(int line, const std::string& what, const std::string& name,
                                std::set<std::string>& taken) {
  if (name.empty()) return;  // reported as missing
  if (!is_identifier(name)) {
    errors_.add(line, "{} '{}': a name has letters, digits and _ only, and no digit first", what, name);
  } else if (name == "threads" || name == "smem" || name == "target" || name == "preset") {
    errors_.add(line, "{} '{}': the name is reserved", what, name);
  } else if (!taken.insert(name).second) {
    errors_.add(line, "{} '{}': the name is used before", what, name);
  }
}

std::string ManifestParser::one_of(TableReader& reader, std::string_view key, std::string_view fallback,
                                   const std::vector<std::string>& allowed) {
  std::string value = reader.text(key, fallback);
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
  errors_.add(reader.line_of(key), "{}: {} = '{}': it must be one of {}", reader.what(), key, value,
              join(allowed, ", "));
  return allowed.front();
}

std::vector<NamedFormula> ManifestParser::read_named_formulas(TableReader& parent, const std::string& what,
                                                              std::set<std::string>& taken) {
  std::vector<NamedFormula> formulas;
  const TomlNode* node = parent.table("let");
  if (!node) return formulas;
  TableReader reader(*node, what, errors_);
  for (const auto& [name, value] : reader.rest()) {
    claim_name(value->line, "named formula", name, taken);
    formulas.push_back({name, reader.formula_text(name)});
    named_formulas_.push_back({value->line, what, formulas.back()});
  }
  return formulas;
}

// What a named formula leads to depends on where it is used: each use is followed.
void ManifestParser::mark_used(std::string_view formula, const SymbolTable& symbols,
                               std::set<std::string, std::less<>>& followed) {
  auto tokens = tokenize_formula(formula);
  if (!tokens) return;  // reported where the formula is parsed
  for (const FormulaToken& token : *tokens) {
    if (token.kind != FormulaToken::Kind::name) continue;
    const std::string* definition = symbols.definition(token.spelling);
    if (!definition || !followed.emplace(token.spelling).second) continue;
    used_formulas_.emplace(token.spelling, *definition);
    mark_used(*definition, symbols, followed);
  }
}

// What no formula uses was never checked, and is most likely a slip.
void ManifestParser::check_named_formulas_are_used() {
  for (const NamedFormulaPlace& place : named_formulas_) {
    if (used_formulas_.contains({place.formula.name, place.formula.text})) continue;
    errors_.add(place.line, "{}: no formula uses '{}'", place.what, place.formula.name);
  }
}

void ManifestParser::read_problem() {
  if (const TomlNode* problem = reader_->table("problem")) {
    TableReader reader(*problem, "[problem]", errors_);
    for (const auto& [name, node] : reader.rest()) {
      if (node->kind != TomlNode::Kind::table) {
        errors_.add(node->line, "[problem] '{}' must be a table: [problem.{}]", name, name);
        continue;
      }
      claim_name(node->line, "problem key", name, names_);
      template_.problem.push_back(read_key(name, *node, fmt::format("[problem.{}]", name)));
    }
  }
  FormulaScope scope = problem_scope(template_);
  for (const TomlNode* node : reader_->tables("problem_constraint")) {
    template_.problem_constraints.push_back(read_constraint(*node, "[[problem_constraint]]", scope));
  }
}

ConstraintSpec ManifestParser::read_constraint(const TomlNode& node, const std::string& what,
                                               const FormulaScope& scope) {
  TableReader reader(node, what, errors_);
  ConstraintSpec constraint;
  constraint.require = formula(reader, "require", scope, "");
  if (constraint.require.empty()) errors_.add(reader.line(), "{}: 'require' is missing", what);
  constraint.message = reader.required_text("message");
  return constraint;
}

KeySpec ManifestParser::read_key(const std::string& name, const TomlNode& node, const std::string& what) {
  TableReader reader(node, what, errors_);
  KeySpec key;
  key.name = name;
  key.doc = reader.text("doc");
  std::string type = reader.has("type") ? one_of(reader, "type", "", {"integer", "real", "choice"})
                                        : reader.required_text("type");
  key.type = type == "real"     ? KeySpec::Type::real
             : type == "choice" ? KeySpec::Type::choice
                                : KeySpec::Type::integer;
  if (key.type == KeySpec::Type::integer) {
    key.min = reader.integer("min", key.min);
    key.max = reader.integer("max", key.max);
    key.multiple_of = reader.integer("multiple_of", key.multiple_of);
    if (key.min > key.max)
      errors_.add(reader.line_of("min"), "{}: min {} is above max {}", what, key.min, key.max);
    if (key.multiple_of < 1) {
      errors_.add(reader.line_of("multiple_of"), "{}: multiple_of must be at least 1", what);
      key.multiple_of = 1;
    }
  }
  if (key.type == KeySpec::Type::choice) key.cpp = reader.text("cpp");
  if (key.type != KeySpec::Type::real) read_key_values(reader, key);
  if (const TomlNode* fallback = reader.any("default")) {
    auto value = key.parse(fallback->scalar_text());
    if (value) {
      key.fallback = *value;
    } else {
      errors_.add(fallback->line, "{}: default: {}", what, value.error().message);
    }
  }
  return key;
}

void ManifestParser::read_key_values(TableReader& reader, KeySpec& key) {
  if (key.type == KeySpec::Type::integer) {
    for (int64_t value : reader.integers("values")) key.values.emplace_back(value);
  } else {
    for (std::string& value : reader.texts("values")) {
      // Such values travel in "key=value,key=value" and, with cpp, in C++ names.
      bool plain = !value.empty() && value.find_first_of(",=' \t") == std::string::npos;
      if (!plain || (!key.cpp.empty() && !is_identifier(value))) {
        errors_.add(
            reader.line_of("values"), "{}: value '{}' must be {}", reader.what(), value,
            key.cpp.empty() ? "a word without , = ' or blanks" : "the name of an enumerator of " + key.cpp);
      }
      key.values.emplace_back(std::move(value));
    }
    if (key.values.empty()) errors_.add(reader.line(), "{}: a choice needs 'values'", reader.what());
  }
  for (size_t i = 0; i < key.values.size(); ++i) {
    if (std::find(key.values.begin(), key.values.begin() + i, key.values[i]) != key.values.begin() + i) {
      errors_.add(reader.line_of("values"), "{}: value {} is listed twice", reader.what(),
                  to_string(key.values[i]));
    }
  }
}

void ManifestParser::read_launch_scalars() {
  const TomlNode* launch = reader_->table("launch");
  if (!launch) {
    errors_.add(1, "[launch] is missing: it names the launch scalars, the bucket and the buckets");
    return;
  }
  TableReader reader(*launch, "[launch]", errors_);
  if (const TomlNode* scalars = reader.table("scalar")) {
    TableReader scalar_reader(*scalars, "[launch.scalar]", errors_);
    for (const auto& [name, node] : scalar_reader.rest()) {
      TableReader one(*node, fmt::format("[launch.scalar.{}]", name), errors_);
      claim_name(node->line, "launch scalar", name, names_);
      LaunchScalar scalar;
      scalar.name = name;
      scalar.doc = one.text("doc");
      scalar.min = one.integer("min", scalar.min);
      scalar.max = one.integer("max", scalar.max);
      scalar.multiple_of = one.integer("multiple_of", scalar.multiple_of);
      if (scalar.min > scalar.max || scalar.min < 0 || scalar.multiple_of < 1) {
        errors_.add(node->line, "{}: it needs 0 <= min <= max and multiple_of >= 1", one.what());
      }
      template_.scalars.push_back(scalar);
    }
  }
  template_.bucket_scalar = reader.required_text("bucket");
  bool known =
      std::any_of(template_.scalars.begin(), template_.scalars.end(),
                  [&](const LaunchScalar& scalar) { return scalar.name == template_.bucket_scalar; });
  if (!known && !template_.bucket_scalar.empty()) {
    errors_.add(reader.line_of("bucket"), "[launch]: bucket = '{}': there is no [launch.scalar.{}]",
                template_.bucket_scalar, template_.bucket_scalar);
  }
  template_.buckets = reader.integers("buckets");
  bool ascending = !template_.buckets.empty() && template_.buckets.front() >= 1 &&
                   std::is_sorted(template_.buckets.begin(), template_.buckets.end(), std::less_equal<>());
  if (!ascending)
    errors_.add(reader.line_of("buckets"), "[launch]: 'buckets' must be ascending integers from 1 on");
}

void ManifestParser::read_buffers() {
  std::set<std::string> taken;
  for (const ArgumentSpec& argument : template_.arguments) taken.insert(argument.name);
  for (const TomlNode* node : reader_->tables("buffer")) {
    BufferSpec buffer;
    const TomlNode* name = node->find("name");
    TableReader reader(*node, fmt::format("[[buffer]] {}", name ? name->scalar_text() : ""), errors_);
    buffer.name = reader.required_text("name");
    claim_name(reader.line_of("name"), "buffer", buffer.name, taken);
    buffer.doc = reader.text("doc");
    buffer.kind = one_of(reader, "kind", "workspace", {"workspace", "packed"}) == "packed"
                      ? BufferSpec::Kind::packed
                      : BufferSpec::Kind::workspace;
    FormulaScope scope = buffer.kind == BufferSpec::Kind::packed ? problem_and_target_scope(template_)
                                                                 : workspace_scope(template_);
    buffer.bytes = formula(reader, "bytes", scope, "");
    if (buffer.bytes.empty()) errors_.add(reader.line(), "{}: 'bytes' is missing", reader.what());
    buffer.when = formula(reader, "when", scope, "");
    template_.buffers.push_back(std::move(buffer));
  }
}

void ManifestParser::read_verify() {
  const TomlNode* node = reader_->table("verify");
  if (!node) {
    errors_.add(1, "[verify] is missing: it names the outputs and the errors they may have");
    return;
  }
  TableReader reader(*node, "[verify]", errors_);
  VerifySpec& verify = template_.verify;
  verify.outputs = reader.texts("outputs");
  if (verify.outputs.empty()) errors_.add(reader.line(), "[verify]: 'outputs' is missing");
  for (const std::string& output : verify.outputs) {
    bool written = std::any_of(
        template_.arguments.begin(), template_.arguments.end(), [&](const ArgumentSpec& argument) {
          return argument.name == output && argument.access == ArgumentSpec::Access::write;
        });
    if (!written) {
      errors_.add(reader.line_of("outputs"), "[verify]: '{}' is not an argument with access = \"write\"",
                  output);
    }
  }
  auto limit = [&](TableReader& table, std::string_view key, double fallback) {
    const double value = table.real(key, fallback);
    if (value < 0) errors_.add(table.line_of(key), "[verify]: limits on errors cannot be negative");
    return value;
  };
  verify.max_rel_l2 = limit(reader, "max_rel_l2", 0);
  verify.max_err_per_rms = limit(reader, "max_err_per_rms", 0);
  for (const TomlNode* entry : reader.tables("case")) {
    TableReader table(*entry, "[[verify.case]]", errors_);
    VerifyCase some;
    table.required_text("when");
    some.when = formula(table, "when", problem_and_target_scope(template_), "");
    some.max_rel_l2 = limit(table, "max_rel_l2", verify.max_rel_l2);
    some.max_err_per_rms = limit(table, "max_err_per_rms", verify.max_err_per_rms);
    verify.cases.push_back(std::move(some));
  }
  verify.deterministic = reader.boolean("deterministic", true);
  verify.deterministic_when = formula(reader, "deterministic_when", problem_scope(template_), "");
  if (const TomlNode* small = reader.table("small")) {
    TableReader small_reader(*small, "[verify.small]", errors_);
    FormulaScope scope = problem_scope(template_);
    for (const KeySpec& key : template_.problem) {
      if (!small_reader.has(key.name)) {
        small_reader.any(key.name);
        continue;
      }
      if (key.type != KeySpec::Type::integer) {
        errors_.add(small_reader.line_of(key.name), "[verify.small]: only integer keys can be scaled, not {}",
                    key.name);
      }
      verify.small.emplace_back(key.name, formula(small_reader, key.name, scope, ""));
    }
  }
}

namespace {

// The text without its [stage.work] tables. They say nothing about kernels and configs: what was tuned stays
// valid when one is added or corrected.
std::string identity_text(std::string_view toml_text) {
  std::string kept;
  bool in_work = false;
  while (!toml_text.empty()) {
    const size_t end = std::min(toml_text.find('\n'), toml_text.size() - 1) + 1;
    const std::string_view line = toml_text.substr(0, end);
    toml_text.remove_prefix(end);
    if (line.starts_with('[')) in_work = trim(line) == "[stage.work]";
    if (!in_work) kept += line;
  }
  return kept;
}

}  // namespace

Result<Template> parse_manifest(std::string_view toml_text, const std::string& file_name,
                                std::map<std::string, std::string> sources) {
  auto tree = read_manifest_files(toml_text, file_name, sources);
  if (!tree) return tree.error();
  if (Status status = inherit_variants(&tree->root, tree->files); !status) return status.error();
  auto parsed = ManifestParser(tree->root, tree->files, std::move(sources)).parse();
  if (!parsed) return parsed;
  Template tmpl = std::move(*parsed);

  std::vector<std::string> roots;
  for (const Stage& stage : tmpl.stages) {
    for (const Variant& variant : stage.variants) roots.push_back(variant.source);
  }
  if (!tmpl.pack_source.empty()) roots.push_back(tmpl.pack_source);
  auto reached = reachable_sources(tmpl.sources, roots);
  if (!reached) return reached.error().with_context(file_name);
  ContentHash hash;
  hash.add(identity_text(toml_text));
  for (const std::string& path : tree->included) hash.add(path).add(tmpl.sources.at(path));
  for (const std::string& path : *reached) hash.add(path).add(tmpl.sources.at(path));
  tmpl.content_hash = hash.hex();

  for (Stage& stage : tmpl.stages) {
    for (Variant& variant : stage.variants) {
      auto formulas = VariantFormulas::create(tmpl, stage, variant);
      if (!formulas) return formulas.error().with_context(file_name);
      variant.formulas = *formulas;
    }
  }
  return tmpl;
}

}  // namespace rtjit
