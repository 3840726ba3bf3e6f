// The built-in table behind supports(): feature -> which targets assemble it.
#pragma once

#include <span>
#include <string_view>

namespace rtjit {

struct FeatureRow {
  std::string_view feature;
  std::string_view cells;  // 'x' or '.' per target of Target::all(), blanks between
};

std::span<const FeatureRow> feature_rows();

}  // namespace rtjit
