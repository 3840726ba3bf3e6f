#include "templates/preset.h"

#include "templates/manifest_reader.h"

namespace rtjit {

Result<Preset> parse_preset(std::string_view toml_text, const std::string& file_name) {
  auto root = parse_toml(toml_text, file_name);
  if (!root) return root.error();
  ManifestErrors errors(file_name);
  Preset preset;
  {
    TableReader reader(*root, "the preset", errors);
    preset.name = reader.required_text("name");
    preset.doc = reader.text("doc");
    const TomlNode* problems = reader.table("problem");
    if (!problems) errors.add(1, "there is no [problem.TEMPLATE]");
    for (const auto& [name, node] : problems ? problems->entries : TomlNode().entries) {
      KeyValues values;
      for (const auto& [key, value] : node.entries) {
        if (value.kind == TomlNode::Kind::list || value.kind == TomlNode::Kind::table) {
          errors.add(value.line, "[problem.{}]: '{}' must be a number or a text", name, key);
        }
        values.emplace_back(key, value.scalar_text());
      }
      if (node.kind != TomlNode::Kind::table) errors.add(node.line, "[problem] '{}' must be a table", name);
      preset.problems[name] = std::move(values);
    }
  }
  if (!errors.empty()) return errors.error();
  return preset;
}

}  // namespace rtjit
