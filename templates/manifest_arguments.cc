// The tensors that callers pass.
#include <algorithm>
#include <bit>

#include "base/text.h"
#include "templates/manifest_parser.h"

namespace rtjit {
namespace {

constexpr int kMaxRank = 4;  // of rtjit_tensor

std::vector<std::string> dtype_names() {
  std::vector<std::string> names;
  for (int i = 0; i <= static_cast<int>(DType::e8m0); ++i)
    names.emplace_back(to_string(static_cast<DType>(i)));
  return names;
}

// Kinds of fills and their options, each a number or a formula; tuner/inputs.h says what they mean.
struct FillKind {
  const char* name;
  std::vector<std::string> options;
  const char* required;  // the option that must be there, or ""
};
const std::vector<FillKind>& fill_kinds() {
  static const std::vector<FillKind> kinds = {{"normal", {"mean", "std"}, ""},
                                              {"bytes", {"low", "high"}, ""},
                                              {"range", {"low", "high"}, ""},
                                              {"choice", {"count", "first"}, "count"},
                                              {"softmax", {}, ""},
                                              {"zero", {}, ""}};
  return kinds;
}

}  // namespace

void ManifestParser::read_arguments() {
  for (const TomlNode* node : reader_->tables("argument")) read_argument(*node);
}

void ManifestParser::read_argument(const TomlNode& node) {
  ArgumentSpec argument;
  const TomlNode* name = node.find("name");
  TableReader reader(node, fmt::format("[[argument]] {}", name ? name->scalar_text() : ""), errors_);
  argument.name = reader.required_text("name");
  std::set<std::string> taken;
  for (const ArgumentSpec& other : template_.arguments) taken.insert(other.name);
  claim_name(reader.line_of("name"), "argument", argument.name, taken);
  argument.doc = reader.text("doc");
  argument.role = one_of(reader, "role", "launch", {"launch", "pack"}) == "pack" ? ArgumentSpec::Role::pack
                                                                                 : ArgumentSpec::Role::launch;
  argument.access = one_of(reader, "access", "read", {"read", "write"}) == "write"
                        ? ArgumentSpec::Access::write
                        : ArgumentSpec::Access::read;
  argument.optional = reader.boolean("optional", false);
  argument.required_when = formula(reader, "required_when", problem_scope(template_), "");
  read_dtypes(reader, argument);
  FormulaScope scope = shape_scope(template_, argument.role);
  argument.shape = formulas(reader, "shape", scope);
  if (argument.shape.empty() || argument.shape.size() > kMaxRank) {
    errors_.add(reader.line_of("shape"), "{}: 'shape' needs 1 to {} dimensions", reader.what(), kMaxRank);
  }
  argument.strides = reader.formula_texts("strides");
  for (const std::string& stride : argument.strides) {
    if (!stride.empty()) check_formula(reader.line_of("strides"), reader.what() + ": strides", stride, scope);
  }
  if (!argument.strides.empty() && argument.strides.size() != argument.shape.size()) {
    errors_.add(reader.line_of("strides"), "{}: {} strides for {} dimensions", reader.what(),
                argument.strides.size(), argument.shape.size());
  }
  int64_t align = reader.integer("align", 1);
  if (align < 1 || align > 1024 || !std::has_single_bit(static_cast<uint64_t>(align))) {
    errors_.add(reader.line_of("align"), "{}: align = {}: it must be a power of two from 1 to 1024",
                reader.what(), align);
    align = 1;
  }
  argument.align = static_cast<int>(align);
  read_fill(reader, argument, scope);
  template_.arguments.push_back(std::move(argument));
}

void ManifestParser::read_dtypes(TableReader& reader, ArgumentSpec& argument) {
  for (const std::string& text : reader.texts("dtypes")) {
    if (std::optional<DType> dtype = parse_dtype(text)) {
      argument.dtypes.push_back(*dtype);
    } else {
      errors_.add(reader.line_of("dtypes"), "{}: there is no dtype '{}'; there are {}", reader.what(), text,
                  join(dtype_names(), ", "));
    }
  }
  if (argument.dtypes.empty())
    errors_.add(reader.line_of("dtypes"), "{}: 'dtypes' is missing", reader.what());
  argument.dtype_key = reader.text("dtype_key");
  if (argument.dtype_key.empty()) return;
  auto key = std::find_if(template_.problem.begin(), template_.problem.end(),
                          [&](const KeySpec& candidate) { return candidate.name == argument.dtype_key; });
  if (key == template_.problem.end() || key->type != KeySpec::Type::choice) {
    errors_.add(reader.line_of("dtype_key"), "{}: dtype_key = '{}': there is no such choice in [problem]",
                reader.what(), argument.dtype_key);
    return;
  }
  for (DType dtype : argument.dtypes) {
    if (std::find(key->values.begin(), key->values.end(), Value(std::string(to_string(dtype)))) ==
        key->values.end()) {
      errors_.add(reader.line_of("dtypes"), "{}: dtype {} can never come: it is not a value of {}",
                  reader.what(), to_string(dtype), key->name);
    }
  }
}

void ManifestParser::read_fill(TableReader& reader, ArgumentSpec& argument, const FormulaScope& scope) {
  const TomlNode* node = reader.table("fill");
  if (!node) return;
  TableReader fill(*node, reader.what() + ": fill", errors_);
  std::vector<std::string> kinds;
  for (const FillKind& kind : fill_kinds()) kinds.emplace_back(kind.name);
  argument.fill.kind = fill.has("kind") ? one_of(fill, "kind", "", kinds) : fill.required_text("kind");
  for (const FillKind& kind : fill_kinds()) {
    if (argument.fill.kind != kind.name) continue;
    for (const std::string& option : kind.options) {
      const TomlNode* value = fill.any(option);
      if (!value) continue;
      std::string text = value->scalar_text();
      if (!parse_double(text))
        check_formula(value->line, fmt::format("{}: {}", fill.what(), option), text, scope);
      argument.fill.options[option] = text;
    }
    if (*kind.required && !fill.has(kind.required)) {
      errors_.add(node->line, "{}: {} needs '{}'", fill.what(), kind.name, kind.required);
    }
  }
}

void ManifestParser::check_scalars_are_bound() {
  for (const LaunchScalar& scalar : template_.scalars) {
    bool bound = std::any_of(
        template_.arguments.begin(), template_.arguments.end(), [&](const ArgumentSpec& argument) {
          auto has = [&](const std::vector<std::string>& entries) {
            return std::find(entries.begin(), entries.end(), scalar.name) != entries.end();
          };
          return argument.role == ArgumentSpec::Role::launch &&
                 (has(argument.shape) || has(argument.strides));
        });
    if (!bound) {
      errors_.add(
          root_.find("launch")->line,
          "[launch.scalar.{0}]: nothing gives it a value; write \"{0}\" alone in the shape or strides of a "
          "launch argument",
          scalar.name);
    }
  }
}

}  // namespace rtjit
