// Named PTX features and which targets have them. The truth is the assembler: every feature carries a probe
// kernel.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "compiler/target.h"

namespace rtjit {

struct Feature {
  std::string_view name;     // "tma.tile.scatter4"
  std::string_view summary;  // one line for people
  std::string_view ptx;      // the PTX statement(s) of the probe kernel's body (inline asm text)
};

const std::vector<Feature>& all_features();
const Feature* find_feature(std::string_view name);

// The built-in table, probed with NVRTC 13.0. False for a name that is not in it (find_feature tells them
// apart).
bool supports(const Target& target, std::string_view feature);

// The CUDA source of a feature's probe; the second form names the kernel, so that one program can hold many.
std::string probe_source(const Feature& feature);
std::string probe_source(const Feature& feature, std::string_view kernel);

}  // namespace rtjit
