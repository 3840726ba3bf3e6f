#include "templates/manifest_inherit.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/text.h"

namespace rtjit {
namespace {

// The inherited keys come first and in their order, which is that of the parameters.
void complete(TomlNode& table, const TomlNode& from) {
  std::vector<TomlEntry> entries;
  for (const auto& [key, inherited] : from.entries) {
    TomlNode* own = table.find(key);
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
  TomlNode* node = table.find(key);
  return node && node->kind == TomlNode::Kind::list ? &node->items : nullptr;
}

// Appends what the table `more` has to lists that were inherited. The error says what it may have.
std::optional<std::pair<int, std::string>> append_more(TomlNode& variant, const TomlNode& from) {
  TomlNode* found = variant.find("more");
  if (!found) return std::nullopt;
  const TomlNode more = std::move(*found);
  std::erase_if(variant.entries, [](const auto& entry) { return entry.key == "more"; });
  if (more.kind != TomlNode::Kind::table)
    return std::pair(more.line, "more must be a table of lists: more = { constraint = [ ... ] }");
  for (const auto& [key, added] : more.entries) {
    std::vector<TomlNode>* items = list(variant, key);
    if (added.kind != TomlNode::Kind::list || !items || !from.find(key)) {
      return std::pair(
          added.line,
          fmt::format("more.{0}: it appends to a list that is inherited, and '{0}' is none", key));
    }
    items->insert(items->end(), added.items.begin(), added.items.end());
  }
  return std::nullopt;
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
      std::string name = stage.text_of("name") + "." + variant.text_of("name");
      if (const TomlNode* like = variant.find("like")) {
        auto found = before.find(like->scalar_text());
        if (like->kind != TomlNode::Kind::text || found == before.end()) {
          std::vector<std::string> known;
          for (const auto& [other, node] : before) known.push_back(other);
          return make_error(ErrorCode::invalid_argument,
                            "{}: [[stage.variant]] {}: like = '{}': it must name a variant before it as "
                            "STAGE.VARIANT; {}",
                            files.place(like->line), variant.text_of("name"), like->scalar_text(),
                            known.empty() ? "there is none" : "there are " + join(known, ", "));
        }
        std::erase_if(variant.entries, [](const auto& entry) { return entry.key == "like"; });
        complete(variant, *found->second);
        if (auto wrong = append_more(variant, *found->second)) {
          return make_error(ErrorCode::invalid_argument, "{}: [[stage.variant]] {}: {}",
                            files.place(wrong->first), variant.text_of("name"), wrong->second);
        }
      }
      before[name] = &variant;
    }
  }
  return {};
}

}  // namespace rtjit
