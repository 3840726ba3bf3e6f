// Asks the assembler that is present which target has which feature.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "compiler/target.h"

namespace rtjit {

class Nvrtc;

struct ProbeOptions {
  int threads = 0;                                    // 0: one per core
  std::function<void(int done, int total)> progress;  // targets; called by any thread, one at a time
  // Keeps the answer per NVRTC version. "": always probed. A file that is missing, damaged or about another
  // version or feature list is probed again and replaced; one that cannot be written is no error.
  std::string cache_file;
};

struct ProbeReport {
  std::string compiler;               // "nvrtc 13.0"
  std::vector<Target> targets;        // those of the table that this NVRTC knows, ascending
  std::vector<std::string> features;  // in the order of all_features()
  std::vector<std::string> cells;     // per feature one 'x' or '.' per target
  bool from_cache = false;
  double seconds = 0;

  struct Difference {
    std::string target, feature;
    bool assembles = false;  // what the assembler said; the table says the opposite
  };
  std::vector<Difference> differences;
};

// Assembles every feature on every target. An Error only when NVRTC itself fails.
Result<ProbeReport> probe_features(const Nvrtc& nvrtc, const ProbeOptions& options = {});

// Which of all_features() assemble on a target, one 'x' or '.' each; "" when this NVRTC does not know the
// target. The whole list is one program: the assembler names the line of every instruction it lacks, those
// kernels are left out, and the rest is assembled again until it succeeds. `one_by_one` gives every feature a
// program of its own, which is ten times slower and must give the same.
Result<std::string> probe_target(const Nvrtc& nvrtc, const Target& target, bool one_by_one = false);

}  // namespace rtjit
