// Stages, variants and packing.
#include <algorithm>

#include "base/text.h"
#include "templates/manifest_parser.h"

namespace rtjit {
namespace {

std::string label(const TomlNode& node, std::string_view table) {
  const TomlNode* name = node.find("name");
  return fmt::format("[[{}]] {}", table, name ? name->scalar_text() : "");
}

// "sm_80+", "sm_100a sm_103a", "sm_12x". Whether such a target exists is for compiler/target.h to say.
bool is_target_pattern(std::string_view text) {
  std::vector<std::string> words = split(text, ' ');
  return !words.empty() && std::all_of(words.begin(), words.end(), [](const std::string& word) {
    return word.starts_with("sm_") && word.size() >= 5 &&
           word.find_first_not_of("0123456789afx+", 3) == std::string::npos;
  });
}

}  // namespace

void ManifestParser::read_stage_names(const std::vector<const TomlNode*>& stages) {
  std::set<std::string> taken;
  for (const ArgumentSpec& argument : template_.arguments) taken.insert(argument.name);
  for (const TomlNode* node : stages) {
    // Throw-away readers: read_stage() reads the same tables in full and reports what is unknown.
    ManifestErrors ignored("");
    TableReader reader(*node, label(*node, "stage"), ignored);
    Stage stage;
    stage.name = reader.text("name");
    claim_name(reader.line_of("name"), "stage", stage.name, taken);
    std::set<std::string> formula_names = names_;
    stage.named_formulas =
        read_named_formulas(reader, fmt::format("[stage.let] of {}", stage.name), formula_names);
    for (const TomlNode* variant_node : reader.tables("variant")) {
      TableReader variant_reader(*variant_node, label(*variant_node, "stage.variant"), ignored);
      Variant variant;
      variant.name = variant_reader.text("name");
      read_variant_names(variant_reader, stage, variant);
      stage.variants.push_back(std::move(variant));
    }
    template_.stages.push_back(std::move(stage));
  }
}

void ManifestParser::read_variant_names(TableReader& reader, const Stage& stage, Variant& variant) {
  std::set<std::string> taken = names_;
  for (const NamedFormula& formula : stage.named_formulas) taken.insert(formula.name);
  if (const TomlNode* node = reader.table("parameter")) {
    TableReader parameters(*node, "[stage.variant.parameter]", errors_);
    for (const auto& [name, parameter] : parameters.rest()) {
      if (parameter->kind != TomlNode::Kind::table) {
        errors_.add(parameter->line, "{}: parameter '{}' must be a table", reader.what(), name);
        continue;
      }
      claim_name(parameter->line, "parameter", name, taken);
      KeySpec key = read_key(name, *parameter, fmt::format("[stage.variant.parameter.{}]", name));
      if (key.type == KeySpec::Type::real || key.values.empty()) {
        errors_.add(parameter->line, "parameter '{}' of {}.{}: it needs 'values', integers or choices", name,
                    stage.name, variant.name);
      }
      variant.parameters.push_back(std::move(key));
    }
  }
  if (const TomlNode* node = reader.table("provides")) {
    TableReader provides(*node, "[stage.variant.provides]", errors_);
    for (const auto& [name, value] : provides.rest()) {
      claim_name(value->line, "provided name", name, taken);
      variant.provides.emplace_back(name, provides.formula_text(name));
    }
  }
  variant.named_formulas = read_named_formulas(
      reader, fmt::format("[stage.variant.let] of {}.{}", stage.name, variant.name), taken);
}

void ManifestParser::read_stage(const TomlNode& node, Stage& stage) {
  TableReader reader(node, label(node, "stage"), errors_);
  reader.required_text("name");
  reader.table("let");  // read by read_stage_names
  stage.doc = reader.text("doc");
  stage.tuned = reader.boolean("tuned", false);
  read_work(reader, stage);
  read_timed_with(reader, stage);
  std::vector<const TomlNode*> variants = reader.tables("variant");
  if (variants.empty()) errors_.add(reader.line(), "{}: it has no [[stage.variant]]", reader.what());
  std::set<std::string> taken;
  for (size_t i = 0; i < variants.size() && i < stage.variants.size(); ++i) {
    claim_name(variants[i]->line, "variant", stage.variants[i].name, taken);
    read_variant(*variants[i], stage, stage.variants[i]);
  }
  check_oracles(reader, stage);
}

void ManifestParser::read_work(TableReader& reader, Stage& stage) {
  const TomlNode* node = reader.table("work");
  if (!node) return;
  TableReader work(*node, reader.what() + ": work", errors_);
  FormulaScope scope = variant_scope(template_, stage, Variant(), VariantScope::bucket);
  stage.work.bytes = formula(work, "bytes", scope, "");
  stage.work.flops = formula(work, "flops", scope, "");
}

void ManifestParser::read_timed_with(TableReader& reader, Stage& stage) {
  for (const TomlNode* node : reader.tables("timed_with")) {
    TableReader with(*node, reader.what() + ": timed_with", errors_);
    TimedWith other;
    other.stage = with.required_text("stage");
    other.when = formula(with, "when", problem_scope(template_), "");
    const Stage* found = template_.find_stage(other.stage);
    const bool own = other.stage == stage.name;
    if (!other.stage.empty() && (found == nullptr || own)) {
      std::vector<std::string> others;
      for (const Stage& known : template_.stages) {
        if (known.name != stage.name) others.push_back(known.name);
      }
      errors_.add(with.line_of("stage"), "{}: '{}' is not another stage; there are {}", with.what(),
                  other.stage, others.empty() ? "none" : join(others, ", "));
    }
    if (!stage.tuned) {
      errors_.add(with.line(), "{}: only a stage with tuned = true is timed", with.what());
    }
    stage.timed_with.push_back(std::move(other));
  }
}

void ManifestParser::check_oracles(TableReader& reader, const Stage& stage) {
  auto is_oracle = [](const Variant& variant) { return variant.oracle; };
  auto count = std::count_if(stage.variants.begin(), stage.variants.end(), is_oracle);
  bool last = count == 0 || stage.variants.back().oracle;
  if (count > 1 || !last) {
    errors_.add(reader.line(), "{}: one variant, the last, may have oracle = true", reader.what());
  }
  if (stage.tuned && count == 0) {
    errors_.add(
        reader.line(),
        "{}: a tuned stage needs a variant with oracle = true, the last: results are compared with it",
        reader.what());
  }
}

void ManifestParser::read_variant(const TomlNode& node, Stage& stage, Variant& variant) {
  TableReader reader(node, label(node, "stage.variant"), errors_);
  reader.required_text("name");
  reader.table("parameter");  // read by read_variant_names
  reader.table("let");
  reader.table("provides");
  variant.doc = reader.text("doc");
  variant.source = resolve_source(reader, "source");
  variant.targets = reader.text("targets", variant.targets);
  if (!is_target_pattern(variant.targets)) {
    errors_.add(reader.line_of("targets"),
                "{}: targets = '{}': write for example \"sm_80+\" or \"sm_100a sm_103a\"", reader.what(),
                variant.targets);
  }
  variant.oracle = reader.boolean("oracle", false);
  read_variant_formulas(reader, stage, variant);
  read_requirements(reader, stage, variant);
  read_defaults(reader, stage, variant);
  read_cost(reader, stage, variant);

  FormulaScope launch = launch_scope(template_, stage, variant);
  for (const TomlNode* map : reader.tables("tensor_map")) read_tensor_map(*map, launch, variant);
  FormulaScope compile_time = variant_scope(template_, stage, variant, VariantScope::smem);
  std::vector<const TomlNode*> launches = reader.tables("launch");
  if (launches.empty()) errors_.add(reader.line(), "{}: it has no [[stage.variant.launch]]", reader.what());
  for (const TomlNode* launch_node : launches) {
    variant.launches.push_back(
        read_launch(*launch_node, {reader.what() + ": launch", variant.source, launch, compile_time,
                                   ArgumentSpec::Role::launch, &variant}));
  }
}

void ManifestParser::read_variant_formulas(TableReader& reader, Stage& stage, Variant& variant) {
  auto scope = [&](VariantScope level) { return variant_scope(template_, stage, variant, level); };
  FormulaScope all = scope(VariantScope::smem);
  variant.threads = formula(reader, "threads", scope(VariantScope::config), variant.threads);
  variant.smem = formula(reader, "smem", scope(VariantScope::threads), variant.smem);
  variant.registers = formula(reader, "registers", all, variant.registers);
  variant.min_blocks_per_sm = formula(reader, "min_blocks_per_sm", all, variant.min_blocks_per_sm);
  for (const auto& [name, text] : variant.provides) {
    check_formula(reader.line_of("provides"), fmt::format("{}: provides {}", reader.what(), name), text, all);
  }
}

void ManifestParser::read_requirements(TableReader& reader, const Stage& stage, Variant& variant) {
  FormulaScope scope = variant_scope(template_, stage, variant, VariantScope::smem);
  for (const TomlNode* node : reader.tables("feature")) {
    TableReader feature(*node, reader.what() + ": feature", errors_);
    std::string name = feature.required_text("name");
    variant.features.push_back({std::move(name), formula(feature, "when", scope, "")});
  }
  for (const TomlNode* node : reader.tables("constraint")) {
    variant.constraints.push_back(read_constraint(*node, reader.what() + ": constraint", scope));
  }
}

void ManifestParser::read_defaults(TableReader& reader, const Stage& stage, Variant& variant) {
  auto check_config = [&](int line, const std::string& what, const std::string& config) {
    auto given = parse_key_values(config);
    auto made = given ? make_config(variant, *given) : Result<Config>(given.error());
    if (!made) errors_.add(line, "{}: {}", what, made.error().message);
  };
  FormulaScope scope = variant_scope(template_, stage, variant, VariantScope::bucket);
  for (const TomlNode* node : reader.tables("default")) {
    TableReader fallback(*node, reader.what() + ": default", errors_);
    DefaultSpec spec;
    spec.when = formula(fallback, "when", scope, "");
    spec.config = fallback.text("config");
    check_config(fallback.line_of("config"), fallback.what(), spec.config);
    variant.defaults.push_back(std::move(spec));
  }
  variant.default_when = formula(reader, "default_when", scope, "");
  check_defaults(reader, stage, variant);
  variant.oracle_config = reader.text("oracle_config");
  if (variant.oracle)
    check_config(reader.line_of("oracle_config"), reader.what() + ": oracle_config", variant.oracle_config);
  if (!variant.oracle && reader.has("oracle_config")) {
    errors_.add(reader.line_of("oracle_config"), "{}: oracle_config belongs to a variant with oracle = true",
                reader.what());
  }
}

// Each variant knows its config for every case, and may leave cases to the next variant. The last takes what
// is left.
void ManifestParser::check_defaults(TableReader& reader, const Stage& stage, const Variant& variant) {
  const std::vector<DefaultSpec>& defaults = variant.defaults;
  auto unconditional = std::find_if(defaults.begin(), defaults.end(),
                                    [](const DefaultSpec& spec) { return spec.when.empty(); });
  bool covered = defaults.empty() ? make_config(variant, {}).ok() : unconditional != defaults.end();
  if (!covered) {
    errors_.add(
        reader.line_of("default"),
        "{}: there is no default config for every case; add a last [[stage.variant.default]] without 'when'",
        reader.what());
  } else if (!defaults.empty() && unconditional + 1 != defaults.end()) {
    errors_.add(reader.line_of("default"),
                "{}: the default config '{}' has no 'when', so that those after it are never reached",
                reader.what(), unconditional->config);
  }
  if (!variant.default_when.empty() && &variant == &stage.variants.back()) {
    errors_.add(reader.line_of("default_when"),
                "{}: the last variant of a stage takes what the others leave; it cannot have 'default_when'",
                reader.what());
  }
}

void ManifestParser::read_cost(TableReader& reader, const Stage& stage, Variant& variant) {
  const TomlNode* node = reader.table("cost");
  if (!node) return;
  TableReader cost(*node, reader.what() + ": cost", errors_);
  FormulaScope scope = variant_scope(template_, stage, variant, VariantScope::bucket);
  CostSpec& spec = variant.cost;
  spec.blocks = formula(cost, "blocks", scope, spec.blocks);
  spec.dram_bytes = formula(cost, "dram_bytes", scope, spec.dram_bytes);
  spec.l2_bytes = formula(cost, "l2_bytes", scope, spec.l2_bytes);
  spec.flops = formula(cost, "flops", scope, spec.flops);
  spec.rate = cost.text("rate", spec.rate);
  spec.alu_ops = formula(cost, "alu_ops", scope, spec.alu_ops);
  spec.steps = formula(cost, "steps", scope, spec.steps);
  spec.stages = formula(cost, "stages", scope, spec.stages);
}

void ManifestParser::read_tensor_map(const TomlNode& node, const FormulaScope& scope, Variant& variant) {
  TableReader reader(node, label(node, "stage.variant.tensor_map"), errors_);
  TensorMapSpec map;
  map.name = reader.required_text("name");
  std::set<std::string> taken;
  for (const TensorMapSpec& other : variant.tensor_maps) taken.insert(other.name);
  claim_name(reader.line_of("name"), "tensor map", map.name, taken);
  map.base = reader.required_text("base");
  if (!map.base.empty())
    check_pointer(reader.line_of("base"), reader.what() + ": base", map.base, ArgumentSpec::Role::launch);
  std::string dtype = reader.required_text("dtype");
  if (std::optional<DType> parsed = parse_dtype(dtype)) {
    map.dtype = *parsed;
  } else if (!dtype.empty()) {
    errors_.add(reader.line_of("dtype"), "{}: there is no dtype '{}'", reader.what(), dtype);
  }
  map.dims = formulas(reader, "dims", scope);
  map.strides = formulas(reader, "strides", scope);
  map.box = formulas(reader, "box", scope);
  if (map.dims.empty() || map.dims.size() > 5 || map.strides.size() + 1 != map.dims.size() ||
      map.box.size() != map.dims.size()) {
    errors_.add(reader.line(),
                "{}: it needs 1 to 5 dims, as many box entries and one stride fewer; came {}, {} and {}",
                reader.what(), map.dims.size(), map.box.size(), map.strides.size());
  }
  map.swizzle = one_of(reader, "swizzle", map.swizzle, {"none", "32", "64", "128"});
  map.interleave = one_of(reader, "interleave", map.interleave, {"none", "16", "32"});
  map.when = formula(reader, "when", scope, "");
  variant.tensor_maps.push_back(std::move(map));
}

void ManifestParser::read_pack() {
  bool packed = std::any_of(template_.buffers.begin(), template_.buffers.end(),
                            [](const BufferSpec& buffer) { return buffer.kind == BufferSpec::Kind::packed; });
  const TomlNode* node = reader_->table("pack");
  if (!node) {
    if (packed) errors_.add(1, "[pack] is missing: a packed [[buffer]] must be filled by something");
    return;
  }
  TableReader reader(*node, "[pack]", errors_);
  if (!packed) errors_.add(reader.line(), "[pack]: there is no [[buffer]] with kind = \"packed\"");
  template_.pack_source = resolve_source(reader, "source");
  template_.layout = reader.required_text("layout");
  FormulaScope scope = pack_scope(template_);
  FormulaScope compile_time = problem_and_target_scope(template_);
  std::vector<const TomlNode*> launches = reader.tables("launch");
  if (launches.empty()) errors_.add(reader.line(), "[pack]: it has no [[pack.launch]]");
  for (const TomlNode* launch : launches) {
    template_.pack.push_back(read_launch(*launch, {"[[pack.launch]]", template_.pack_source, scope,
                                                   compile_time, ArgumentSpec::Role::pack, nullptr}));
  }
}

std::string ManifestParser::resolve_source(TableReader& reader, std::string_view key) {
  std::string file = reader.required_text(key);
  // Without a right name, which is reported, nobody knows the folder.
  if (file.empty() || !is_identifier(template_.name)) return {};
  std::string folder = template_.name + "/";
  std::string path = folder + file;
  if (template_.sources.contains(path)) return path;
  if (file.starts_with(folder) && template_.sources.contains(file)) return file;  // written as includes are
  std::vector<std::string> known;
  for (const auto& [name, content] : template_.sources) {
    if (name.starts_with(folder) && name.ends_with(".cuh")) known.push_back(name.substr(folder.size()));
  }
  errors_.add(reader.line_of(key), "{}: source '{}' is not in the template's folder, which has {}",
              reader.what(), file, known.empty() ? "no .cuh file" : join(known, ", "));
  return {};
}

}  // namespace rtjit
