// Lists the features a PTX text really uses, with line numbers. Comments and strings are skipped.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rtjit {

struct FeatureUse {
  std::string feature;      // name in compiler/features.h
  int line = 0;             // 1-based, first use
  std::string instruction;  // the opcode as written, "cp.async.bulk.tensor.2d.tile::scatter4..."
};

// One entry per feature, in order of first use.
std::vector<FeatureUse> scan_ptx(std::string_view ptx);

}  // namespace rtjit
