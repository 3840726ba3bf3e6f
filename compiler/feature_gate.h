// Which programs are known to use only features that their target has, so that their configs need not be
// asked again.
#pragma once

#include <mutex>
#include <set>
#include <string>

#include "base/result.h"
#include "compiler/compile.h"

namespace rtjit {

// What decides which instructions a program may use: sources, target, and the names in its name expressions.
// Numbers (tile sizes) are left out: they choose how much code there is, rarely which instructions. When they
// do after all, the assembler refuses and the program is scanned then.
std::string feature_gate_key(const CompileRequest& request, const std::vector<std::string>& reachable);

// Thread-safe.
class FeatureGate {
 public:
  bool passed(const std::string& key) const;
  void pass(const std::string& key);

 private:
  mutable std::mutex mutex_;
  std::set<std::string> passed_;
};

}  // namespace rtjit
