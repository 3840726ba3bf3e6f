// The targets that run every case; the others run each variant once.
#pragma once

#include <string>
#include <vector>

namespace rtjit::testing {

inline const std::vector<std::string>& main_targets() {
  static const std::vector<std::string> targets = {"sm_80",   "sm_86",   "sm_89",   "sm_90a",
                                                   "sm_100a", "sm_103a", "sm_120a", "sm_121a"};
  return targets;
}

}  // namespace rtjit::testing
