#include "templates/manifest_include.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/text.h"

namespace rtjit {
namespace {

int count_lines(std::string_view text) {
  return static_cast<int>(std::count(text.begin(), text.end(), '\n')) + 1;
}

void move_lines(TomlNode& node, int by) {
  node.line += by;
  for (TomlNode& item : node.items) move_lines(item, by);
  for (auto& [key, value] : node.entries) move_lines(value, by);
}

// "templates/moe/template.toml" and "wgmma.toml" -> "templates/moe/wgmma.toml"
std::string beside(const std::string& file_name, const std::string& other) {
  const size_t slash = file_name.rfind('/');
  return (slash == std::string::npos ? std::string() : file_name.substr(0, slash + 1)) + other;
}

// Puts the variants of included files into the stages of the manifest.
class Includer {
 public:
  Includer(ManifestTree& tree, const std::map<std::string, std::string>& sources, std::string file_name)
      : tree_(tree), sources_(sources), file_name_(std::move(file_name)) {}

  Status run() {
    const TomlNode* include = tree_.root.find("include");
    if (!include) return {};
    if (include->kind != TomlNode::Kind::list)
      return wrong(*include, "include must be a list of files, not {}", to_string(include->kind));
    for (const TomlNode& file : include->items) {
      if (Status status = add_file(file); !status) return status;
    }
    for (auto& [stage, variants] : variants_) {
      TomlNode* own = stage->find("variant");
      if (own && own->kind != TomlNode::Kind::list) continue;  // reported where stages are read
      if (own) {
        std::move(own->items.begin(), own->items.end(), std::back_inserter(variants.items));
        *own = std::move(variants);
      } else {
        stage->entries.push_back({"variant", std::move(variants)});
      }
    }
    std::erase_if(tree_.root.entries, [](const auto& entry) { return entry.key == "include"; });
    return {};
  }

 private:
  template <typename... Args>
  Error wrong(const TomlNode& where, fmt::format_string<Args...> format, Args&&... args) const {
    return make_error(ErrorCode::invalid_argument, "{}: {}", tree_.files.place(where.line),
                      fmt::format(format, std::forward<Args>(args)...));
  }

  Status add_file(const TomlNode& file) {
    const std::string folder = tree_.root.text_of("name") + "/", path = folder + file.scalar_text();
    const auto source = sources_.find(path);
    if (file.kind != TomlNode::Kind::text || !path.ends_with(".toml") || source == sources_.end()) {
      std::vector<std::string> known;
      for (const auto& [name, content] : sources_)
        if (name.starts_with(folder) && name.ends_with(".toml")) known.push_back(name.substr(folder.size()));
      return wrong(file, "include: '{}' is not beside the manifest, where there {}", file.scalar_text(),
                   known.empty() ? "is no other .toml file" : "are " + join(known, ", "));
    }
    if (std::find(tree_.included.begin(), tree_.included.end(), path) != tree_.included.end())
      return wrong(file, "include: '{}' is listed twice", file.text);
    tree_.included.push_back(path);
    const std::string name = beside(file_name_, file.text);
    auto part = parse_toml(source->second, name);
    if (!part) return part.error();
    move_lines(*part, tree_.files.add(name, count_lines(source->second)));
    return add_part(*part);
  }

  Status add_part(TomlNode& part) {
    for (auto& [key, value] : part.entries) {
      if (key != "stage" || value.kind != TomlNode::Kind::list)
        return wrong(value, "'{}': an included file has [[stage]] only; all else is said in {}", key,
                     file_name_);
      for (TomlNode& stage : value.items) {
        if (Status status = add_stage(stage); !status) return status;
      }
    }
    return {};
  }

  Status add_stage(TomlNode& part) {
    for (const auto& [key, value] : part.entries) {
      const bool allowed = key == "name" || (key == "variant" && value.kind == TomlNode::Kind::list);
      if (!allowed)
        return wrong(
            value,
            "[[stage]] '{}': of a stage, an included file has 'name' and [[stage.variant]] only; all else "
            "is said in {}",
            key, file_name_);
    }
    const std::string name = part.text_of("name");
    std::vector<std::string> known;
    TomlNode* stages = tree_.root.find("stage");
    if (stages && stages->kind == TomlNode::Kind::list) {
      for (TomlNode& stage : stages->items) {
        known.push_back(stage.text_of("name"));
        if (known.back() != name) continue;
        if (TomlNode* variants = part.find("variant")) return collect(stage, *variants);
        return {};
      }
    }
    return wrong(part, "[[stage]] '{}': {} has {}", name, file_name_,
                 known.empty() ? "no stage" : "the stages " + join(known, ", "));
  }

  Status collect(TomlNode& stage, TomlNode& variants) {
    auto collected = std::find_if(variants_.begin(), variants_.end(),
                                  [&](const auto& each) { return each.first == &stage; });
    if (collected == variants_.end()) {
      variants_.emplace_back(&stage, std::move(variants));
    } else {
      std::move(variants.items.begin(), variants.items.end(), std::back_inserter(collected->second.items));
    }
    return {};
  }

  ManifestTree& tree_;
  const std::map<std::string, std::string>& sources_;
  std::string file_name_;
  std::vector<std::pair<TomlNode*, TomlNode>> variants_;  // stage -> variants of included files
};

}  // namespace

int ManifestFiles::add(std::string name, int lines) {
  files_.push_back({std::move(name), lines_});
  return std::exchange(lines_, lines_ + lines);
}

std::string ManifestFiles::place(int line) const {
  auto file = files_.rbegin();
  while (file != files_.rend() - 1 && line <= file->before) ++file;
  return fmt::format("{}:{}", file->name, line - file->before);
}

Result<ManifestTree> read_manifest_files(std::string_view toml_text, const std::string& file_name,
                                         const std::map<std::string, std::string>& sources) {
  auto root = parse_toml(toml_text, file_name);
  if (!root) return root.error();
  ManifestTree tree;
  tree.root = std::move(*root);
  tree.files.add(file_name, count_lines(toml_text));
  if (Status status = Includer(tree, sources, file_name).run(); !status) return status.error();
  return tree;
}

}  // namespace rtjit
