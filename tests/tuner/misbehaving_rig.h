// Runs the kernels of tests/data/templates/misbehaving one by one through a measuring worker, as tuning does:
// measured first, verified when that went well.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "templates/registry.h"
#include "tuner/compile_queue.h"
#include "tuner/judge.h"

namespace rtjit::test {

struct Misdeed {
  const char* how;  // value of the template's parameter
  Verdict verdict;
  const char* reason;  // part of the sentence; "|" separates what is as good
  Reached reached;     // of those that are run
};
// All of them, in the template's order.
const std::vector<Misdeed>& misdeeds();

// What came of one.
struct Outcome {
  Verdict verdict = Verdict::ok;
  std::string reason;
  Reached reached = Reached::nothing;
};

class MisbehavingRig {
 public:
  // `worker`: the command of a measuring worker on the device.
  static Result<std::unique_ptr<MisbehavingRig>> create(const DeviceInfo& device,
                                                        std::vector<std::string> worker, TuneLimits limits);

  // An Error: the device or the worker cannot be used any more.
  Result<Outcome> run(const std::string& how);

 private:
  MisbehavingRig(TuneRequest request, SearchContext context);
  Result<std::shared_ptr<CompilePool>> open_compiler();

  std::shared_ptr<const TemplateRegistry> registry_;
  TuneRequest request_;
  SearchContext context_;
  BinarySource binaries_;
  Ledger ledger_;
  std::vector<StageSpace> spaces_;
  Judge judge_;
};

// Runs every misdeed and, after each, one that behaves: fails where a verdict is not the expected one.
void expect_every_misdeed_to_cost_itself_only(MisbehavingRig& rig);

// main() of a test program that is also its own worker: `worker --emulate sm_90a` or `worker --cuda`. Nothing
// when it was not started as a worker.
bool is_misbehaving_worker(int argc, char** argv, int* exit_code);

}  // namespace rtjit::test
