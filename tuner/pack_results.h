// What can be said about a pack by running it: whether the kernels in it compute what the templates here say.
//
// Each bucket that the pack has winners for is served as an engine would be: the winners' binaries, and those
// of the stages that are not tuned, from the pack. They run in a worker process. The oracle that they are
// compared with is compiled here, from the template: a pack is no witness in its own case.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/pack.h"
#include "runtime/device.h"
#include "templates/registry.h"
#include "tuner/session.h"
#include "tuner/verify.h"

namespace rtjit {

// Where, and with what.
struct PackRun {
  DeviceInfo device;                          // of the pack's target
  std::vector<std::string> worker_command;    // program and arguments
  std::vector<std::string> template_folders;  // passed on to the worker
  CompilePoolFactory compiler;
  TuneLimits limits;
  std::chrono::milliseconds oracle_limit{120000};
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(int64_t done, int64_t total)> progress;  // in results; may be empty
};

// One pipeline in one bucket, or the kernels that pack weights.
struct PackResult {
  std::string template_name, problem;
  std::string label;      // the preset's name, or ""
  int64_t bucket = 0;     // 0: the kernels that pack weights, whose bytes must be those that ours give
  std::string pipeline;   // choices_text(); "" for the kernels that pack weights
  VerifyOutcome outcome;  // the metrics are the worst over all cases
  double rel_l2_limit = 0, max_err_limit = 0;
  std::vector<std::string> not_in_pack;  // stages whose binary the pack lacks: compiled here
};

struct PackResults {
  std::vector<PackResult> results;
  std::vector<std::string> not_checked;  // what could not be looked at, and why: "moe_mxfp4 gpt-oss-20b: ..."
};

// Winners of templates, or versions of them, that are not here are passed over. An Error: the pack is not
// what its manifest says, or ErrorCode::cancelled.
Result<PackResults> check_pack_results(const std::string& path, const PackManifest& manifest,
                                       const TemplateRegistry& registry, const PackRun& run);

}  // namespace rtjit
