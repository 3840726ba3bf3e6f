#include "templates/manifest_inherit.h"

#include <algorithm>
#include <map>
#include <vector>

#include "base/text.h"

namespace rtjit {
namespace {

TomlNode* find(TomlNode& table, std::string_view key) {
  auto entry = std::find_if(table.entries.begin(), table.entries.end(),
                            [&](const auto& candidate) { return candidate.key == key; });
  return entry == table.entries.end() ? nullptr : &entry->value;
}

std::string text_of(TomlNode& table, std::string_view key) {
  TomlNode* node = find(table, key);
  return node && node->kind == TomlNode::Kind::text ? node->text : std::string();
}

// The inherited keys come first and in their order, which is that of the parameters.
void complete(TomlNode& table, const TomlNode& from) {
  std::vector<TomlEntry> entries;
  for (const auto& [key, inherited] : from.entries) {
    TomlNode* own = find(table, key);
    if (own && own->kind == TomlNode::Kind::table && inherited.kind == TomlNode::Kind::table) {
      complete(*own, inherited);
    }
    entries.push_back({key, own ? *own : inherited});
  }
  for (auto& [key, own] : table.entries) {
    if (!from.find(key)) entries.push_back({key, std::move(own)});
  }
  table.entries = std::move(entries);
}

std::vector<TomlNode>* list(TomlNode& table, std::string_view key) {
  TomlNode* node = find(table, key);
  return node && node->kind == TomlNode::Kind::list ? &node->items : nullptr;
}

}  // namespace

Status inherit_variants(TomlNode* root, const ManifestFiles& files) {
  std::map<std::string, const TomlNode*> before;  // "gemm1.wgmma", complete
  std::vector<TomlNode>* stages = list(*root, "stage");
  if (!stages) return {};  // reported where stages are read
  for (TomlNode& stage : *stages) {
    std::vector<TomlNode>* variants = list(stage, "variant");
    if (!variants) continue;
    for (TomlNode& variant : *variants) {
      std::string name = text_of(stage, "name") + "." + text_of(variant, "name");
      if (const TomlNode* like = find(variant, "like")) {
        auto found = before.find(like->scalar_text());
        if (like->kind != TomlNode::Kind::text || found == before.end()) {
          std::vector<std::string> known;
          for (const auto& [other, node] : before) known.push_back(other);
          return make_error(ErrorCode::invalid_argument,
                            "{}: [[stage.variant]] {}: like = '{}': it must name a variant before it as "
                            "STAGE.VARIANT; {}",
                            files.place(like->line), text_of(variant, "name"), like->scalar_text(),
                            known.empty() ? "there is none" : "there are " + join(known, ", "));
        }
        std::erase_if(variant.entries, [](const auto& entry) { return entry.key == "like"; });
        complete(variant, *found->second);
      }
      before[name] = &variant;
    }
  }
  return {};
}

}  // namespace rtjit
