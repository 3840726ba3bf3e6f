// The facts behind compiler/target.h, one row per compute capability.
#pragma once

#include <span>

#include "compiler/target.h"

namespace rtjit {

struct ArchitectureRow {
  int cc;
  const char* suffixes;  // what may follow the number: "", "a", "af"
  const char* examples;
  TargetLimits limits;
};

// Ascending by cc.
std::span<const ArchitectureRow> architecture_rows();

}  // namespace rtjit
