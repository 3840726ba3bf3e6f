// One kernel launch: its kernel, dimensions and arguments.
#include <algorithm>
#include <cctype>

#include "base/text.h"
#include "templates/includes.h"
#include "templates/manifest_parser.h"

namespace rtjit {
namespace {

bool contains_word(std::string_view text, std::string_view word) {
  auto is_part = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    size_t end = at + word.size();
    if ((at == 0 || !is_part(text[at - 1])) && (end == text.size() || !is_part(text[end]))) return true;
  }
  return false;
}

const KeySpec* find_key(const std::vector<KeySpec>& keys, std::string_view name) {
  for (const KeySpec& key : keys) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

}  // namespace

LaunchSpec ManifestParser::read_launch(const TomlNode& node, const LaunchContext& context) {
  TableReader reader(node, context.what, errors_);
  LaunchSpec launch;
  launch.kernel = reader.required_text("kernel");
  if (!launch.kernel.empty() && !context.source.empty())
    check_kernel_exists(reader, launch.kernel, context.source);
  launch.template_args = reader.formula_texts("template_args");
  for (const std::string& text : launch.template_args) check_template_argument(reader, text, context);
  read_dimensions(reader, "grid", context.formulas, launch.grid);
  read_dimensions(reader, "block", context.formulas, launch.block);
  read_dimensions(reader, "cluster", context.formulas, launch.cluster);
  for (const char* required : {"grid", "block"}) {
    if (!reader.has(required)) errors_.add(reader.line(), "{}: '{}' is missing", reader.what(), required);
  }
  launch.smem = formula(reader, "smem", context.formulas, launch.smem);
  launch.pdl = reader.boolean("pdl", false);
  launch.when = formula(reader, "when", context.formulas, "");
  launch.args = reader.texts("args");
  for (const std::string& text : launch.args) check_launch_argument(reader, text, context);
  return launch;
}

void ManifestParser::read_dimensions(TableReader& reader, std::string_view key, const FormulaScope& scope,
                                     std::string (&dimensions)[3]) {
  std::vector<std::string> texts = formulas(reader, key, scope);
  if (reader.has(key) && (texts.empty() || texts.size() > 3)) {
    errors_.add(reader.line_of(key), "{}: '{}' needs 1 to 3 formulas", reader.what(), key);
    return;
  }
  std::copy(texts.begin(), texts.end(), dimensions);
}

void ManifestParser::check_template_argument(TableReader& reader, const std::string& text,
                                             const LaunchContext& context) {
  std::string what = reader.what() + ": template_args";
  int line = reader.line_of("template_args");
  const KeySpec* key = find_key(template_.problem, text);
  if (!key && context.variant) key = find_key(context.variant->parameters, text);
  if (key && key->type == KeySpec::Type::real) {
    errors_.add(line, "{}: '{}' is a real number; pass it as an argument: \"f32 {}\"", what, text, text);
  } else if (key && key->type == KeySpec::Type::choice) {
    if (key->cpp.empty()) {
      errors_.add(line, "{}: choice '{}' has no 'cpp', the C++ enum its values are enumerators of", what,
                  text);
    }
  } else {
    check_formula(line, what, text, context.compile_time);
  }
}

void ManifestParser::check_launch_argument(TableReader& reader, const std::string& text,
                                           const LaunchContext& context) {
  std::string what = reader.what() + ": args";
  int line = reader.line_of("args");
  size_t blank = text.find(' ');
  std::string kind = text.substr(0, blank);
  std::string value(blank == std::string::npos ? std::string_view()
                                               : trim(std::string_view(text).substr(blank)));
  bool known = kind == "ptr" || kind == "i32" || kind == "i64" || kind == "f32" || kind == "map";
  if (!known || value.empty()) {
    errors_.add(line,
                "{}: '{}': write \"ptr NAME\", \"i32 FORMULA\", \"i64 FORMULA\", \"f32 KEY\" or \"map NAME\"",
                what, text);
  } else if (kind == "ptr") {
    check_pointer(line, what, value, context.role);
  } else if (kind == "f32") {
    const KeySpec* key = find_key(template_.problem, value);
    if (!key || key->type != KeySpec::Type::real) {
      errors_.add(line, "{}: '{}': there is no problem key of type real with that name", what, text);
    }
  } else if (kind == "map") {
    bool there = context.variant &&
                 std::any_of(context.variant->tensor_maps.begin(), context.variant->tensor_maps.end(),
                             [&](const TensorMapSpec& map) { return map.name == value; });
    if (!there)
      errors_.add(line, "{}: '{}': there is no [[stage.variant.tensor_map]] with that name", what, text);
  } else {
    check_formula(line, what, value, context.formulas);
  }
}

void ManifestParser::check_pointer(int line, const std::string& what, const std::string& name,
                                   ArgumentSpec::Role role) {
  std::vector<std::string> known;
  for (const ArgumentSpec& argument : template_.arguments) {
    if (argument.role == role) known.push_back(argument.name);
  }
  for (const BufferSpec& buffer : template_.buffers) {
    bool visible = role == ArgumentSpec::Role::launch || buffer.kind == BufferSpec::Kind::packed;
    if (visible) known.push_back(buffer.name);
  }
  if (std::find(known.begin(), known.end(), name) != known.end()) return;
  std::string near = nearest_name(name, known);
  errors_.add(line, "{}: there is no argument or buffer '{}' here; {}", what, name,
              near.empty() ? "there are " + join(known, ", ") : fmt::format("did you mean '{}'?", near));
}

void ManifestParser::check_kernel_exists(TableReader& reader, const std::string& kernel,
                                         const std::string& source) {
  auto known = reachable_.find(source);
  if (known == reachable_.end())
    known = reachable_.emplace(source, reachable_sources(template_.sources, {source})).first;
  const Result<std::vector<std::string>>& files = known->second;
  if (!files) return;  // parse_manifest reports it with the place of the include
  std::string name = kernel.substr(kernel.rfind(':') == std::string::npos ? 0 : kernel.rfind(':') + 1);
  for (const std::string& file : *files) {
    if (contains_word(template_.sources.at(file), name)) return;
  }
  errors_.add(reader.line_of("kernel"), "{}: kernel '{}' is neither in {} nor in what it includes",
              reader.what(), kernel, source);
}

}  // namespace rtjit
