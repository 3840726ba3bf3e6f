// Binaries for configs: from the store while it has them, else from the compiler, in parallel. What is
// compiled is stored, with its verdict, so that the next process needs no compiler.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/records.h"
#include "cache/stored_problem.h"
#include "compiler/compile.h"
#include "runtime/context.h"
#include "runtime/stage_options.h"

namespace rtjit {

// One stage's config to be compiled, or (with a null stage) the kernels that pack weights.
struct BinaryJob {
  const Stage* stage = nullptr;
  StageOption option;
  VariantFacts facts;
};

// The binary, or why there is none.
struct BinaryAnswer {
  std::shared_ptr<const Binary> binary;
  std::string refused;  // "" with a binary
};

// For one (template, problem) on the context's device. Not thread-safe.
class BinaryProvider {
 public:
  BinaryProvider(Context& context, std::shared_ptr<const Template> tmpl, const Problem& problem);

  // What the store knows against a config in a bucket: refused by the compiler, or failed when it ran; "" =
  // nothing.
  Result<std::string> known_failure(const Stage& stage, const StageOption& option, int64_t bucket);

  // Answers in the order of the jobs. An Error is the environment's: no compiler although one is needed, no
  // memory.
  Result<std::vector<BinaryAnswer>> get(const std::vector<BinaryJob>& jobs);

  // The kernels named, from the template's packing source.
  Result<std::shared_ptr<const Binary>> get_packing(const std::vector<std::string>& name_expressions);

  StoredProblem& stored() { return stored_; }

 private:
  Result<const std::vector<TuningRow>*> rows_of(const Stage& stage, const StageOption& option);
  bool still_rejected(const TuningRow& row, const Stage& stage, const Variant& variant);
  RowKey row_key(const Stage& stage, const StageOption& option) const;
  CompileRequest request_of(const BinaryJob& job) const;
  std::string key_of(const CompileRequest& request, const std::string& compiler);
  // By the compilers that stored rows were made with: no NVRTC is needed to ask.
  std::shared_ptr<const Binary> find_stored(const CompileRequest& request);
  void keep(const Binary& binary, const std::string& label);
  void keep_verdict(const BinaryJob& job, const CompileOutcome& outcome, const std::string& compiler);
  void warn_once(const Status& status);

  Context& context_;
  std::shared_ptr<const Template> tmpl_;
  StoredProblem stored_;
  std::map<std::string, Result<std::vector<std::string>>> reachable_;  // by CompileRequest::source
  std::set<std::string> compilers_;
  bool warned_ = false;
};

}  // namespace rtjit
