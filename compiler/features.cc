#include "compiler/features.h"

#include <fmt/format.h>

#include <map>

#include "compiler/features_table.h"

namespace rtjit {
namespace {

// Per feature one bool per target of Target::all().
using SupportTable = std::map<std::string_view, std::vector<bool>>;

const SupportTable& support_table() {
  static const SupportTable table = [] {
    SupportTable made;
    for (const FeatureRow& row : feature_rows()) {
      std::vector<bool>& cells = made[row.feature];
      for (char cell : row.cells)
        if (cell != ' ') cells.push_back(cell == 'x');
    }
    return made;
  }();
  return table;
}

}  // namespace

const Feature* find_feature(std::string_view name) {
  for (const Feature& feature : all_features())
    if (feature.name == name) return &feature;
  return nullptr;
}

bool supports(const Target& target, std::string_view feature) {
  auto row = support_table().find(feature);
  if (row == support_table().end()) return false;
  const std::vector<Target>& targets = Target::all();
  for (size_t i = 0; i < targets.size() && i < row->second.size(); ++i)
    if (targets[i] == target) return row->second[i];
  return false;
}

std::string probe_source(const Feature& feature) { return probe_source(feature, "probe"); }

std::string probe_source(const Feature& feature, std::string_view kernel) {
  return fmt::format(
      "extern \"C\" __global__ void __launch_bounds__(128) {}() {{\n"
      "  asm volatile(\n"
      "      \"{{ .reg .pred p<2>; .reg .b8 b<2>; .reg .b16 h<4>; .reg .b32 r<12>; .reg .f32 f<4>; .reg .b64 "
      "d<4>;\\n\"\n"
      "      \"{} }}\");\n"
      "}}\n",
      kernel, feature.ptx);
}

}  // namespace rtjit
