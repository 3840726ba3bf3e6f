// Which configs a case runs: the choice that a user gets, every reference, and a share of all others.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/context.h"
#include "runtime/handle.h"
#include "tests/device/cases/case_on_device.h"

namespace rtjit::testing {

// The overrides ("gemm1=mma:block_m=16,...") of a tuned stage that the formulas allow on this device.
struct StageConfigs {
  std::vector<std::string> all;      // variants in the manifest's order
  std::vector<std::string> oracles;  // those of the oracle variants
};
Result<std::vector<StageConfigs>> feasible_configs(const Context& context, const TestCase& test);

// Sets of overrides, one per kernel to open: none (the library chooses), each oracle in every stage, and of
// the rest all, or those whose turn it is: over the turns 0 .. turns - 1 every config runs once. With a
// `limit` above 0 a turn takes that many: variants in turn, and all turns together spread evenly over the
// configs of each.
std::vector<std::vector<std::string>> choose_configs(const std::vector<StageConfigs>& stages, bool all,
                                                     size_t turn, size_t turns, size_t limit = 0);

// What ran and what did not, over many cases. Not thread-safe.
struct Coverage {
  std::set<std::string> feasible, ran;         // overrides
  std::map<std::string, std::string> refused;  // override -> why the library did not open it
  double worst_rel_l2 = 0, worst_max_per_rms = 0;
  int cases = 0, launches = 0;
  std::vector<std::string> missing() const;  // feasible, neither run nor refused
  void add(const Coverage& other);
};

// "gemm1=mma" of a config as Coverage names it.
inline std::string variant_of(const std::string& config) { return config.substr(0, config.find(':')); }

// Runs a case with its share of the configs. The failures, empty when all is right, each a sentence that
// names the config. Kernels are opened in parallel.
std::vector<std::string> run_case(const std::shared_ptr<Context>& context, TestCase test, size_t turn,
                                  size_t turns, size_t limit, Coverage* coverage);

}  // namespace rtjit::testing
