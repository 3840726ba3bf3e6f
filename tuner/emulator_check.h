// Verifies pipelines of an absent target on the emulator, on the problem scaled down by the template.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "tuner/binary_source.h"
#include "tuner/candidates.h"
#include "tuner/session.h"
#include "tuner/verify.h"

namespace rtjit {

struct EmulatorVerdict {
  bool checked = false;  // false: `outcome.reason` says why it could not be checked at the small size
  VerifyOutcome outcome;
  std::string verified_on;  // "emulator, hidden=320,intermediate=320, tokens 5 and 33"
};

class EmulatorCheck {
 public:
  // Everything given outlives the check. Compiles the oracle for the small problem and packs its weights.
  static Result<std::unique_ptr<EmulatorCheck>> create(const SearchContext& context, BinarySource& binaries,
                                                       const TuneLimits& limits,
                                                       const EmulatorFactory& factory);
  ~EmulatorCheck();

  // One choice per stage. Equal choices are checked once. An Error: the emulator cannot be used at all.
  Result<EmulatorVerdict> check(const std::vector<StageChoice>& choices);

 private:
  EmulatorCheck(BinarySource& binaries, const TuneLimits& limits) : binaries_(binaries), limits_(limits) {}

  BinarySource& binaries_;
  const TuneLimits& limits_;
  SearchContext small_;
  std::string verified_on_;
  std::vector<InputCase> cases_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Workbench> bench_;
  std::unique_ptr<Pipeline> oracle_;
  std::unique_ptr<Verifier> verifier_;
  std::map<std::string, EmulatorVerdict> known_;
};

}  // namespace rtjit
