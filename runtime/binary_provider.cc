#include "runtime/binary_provider.h"

#include <algorithm>
#include <ctime>

#include "cache/key_locks.h"
#include "compiler/nvrtc.h"
#include "compiler/specialize.h"
#include "runtime/gates.h"

namespace rtjit {
namespace {

// How long to wait for another process to compile what is needed here too, before doing it once more.
constexpr std::chrono::seconds kCompilePatience{60};

}  // namespace

BinaryProvider::BinaryProvider(Context& context, std::shared_ptr<const Template> tmpl, const Problem& problem)
    : context_(context),
      tmpl_(std::move(tmpl)),
      stored_(context.store(), tmpl_->name, tmpl_->content_hash, problem.canonical(),
              context.device().info().target.name()) {}

RowKey BinaryProvider::row_key(const Stage& stage, const StageOption& option) const {
  RowKey key;
  key.template_name = tmpl_->name;
  key.template_hash = tmpl_->content_hash;
  key.problem = stored_.problem();
  key.stage = stage.name;
  key.variant = option.variant->name;
  key.config = option.config.canonical();
  key.target = context_.device().info().target.name();
  return key;
}

Result<const std::vector<TuningRow>*> BinaryProvider::rows_of(const Stage& stage, const StageOption& option) {
  auto rows = stored_.rows({stage.name, option.variant->name, option.config.canonical()});
  if (!rows) return rows.error();
  for (const TuningRow& row : **rows) {
    if (!row.compiler.empty()) compilers_.insert(row.compiler);
  }
  return rows;
}

// Whether a stored verdict from before the run speaks against the config here and now.
bool BinaryProvider::still_rejected(const TuningRow& row, const Stage& stage, const Variant& variant) {
  if (!rejected_by_compiler(row)) return false;
  // A compile that once took too long costs one config, but never the stage's last resort.
  if (row.verdict == Verdict::timeout && (variant.oracle || !stage.tuned)) return false;
  // What was refused under the limits of another GPU model may fit this one.
  if (!row.key.sku.empty() && row.key.sku != context_.device().info().sku_fingerprint()) return false;
  // Another compiler may succeed. Without one the old verdict is the best there is.
  auto pool = context_.compile_pool();
  return !pool || (*pool)->nvrtc().version() == row.compiler;
}

Result<std::string> BinaryProvider::known_failure(const Stage& stage, const StageOption& option,
                                                  int64_t bucket) {
  auto rows = rows_of(stage, option);
  if (!rows) return rows.error();
  for (const TuningRow& row : **rows) {
    if (row.key.bucket != 0 && row.key.bucket != bucket) continue;
    if (failed_when_run(row.verdict) || still_rejected(row, stage, *option.variant)) {
      return fmt::format("{} (stored)", row.reason);
    }
  }
  return std::string();
}

CompileRequest BinaryProvider::request_of(const BinaryJob& job) const {
  CompileRequest request;
  request.tmpl = tmpl_;
  request.source = job.option.variant->source;
  for (const auto& kernel : job.facts.kernels) request.name_expressions.push_back(kernel.name_expression);
  request.smem_bytes = job.facts.smem;
  request.target = context_.device().info().target;
  request.declared_features = job.facts.features;
  return request;
}

std::string BinaryProvider::key_of(const CompileRequest& request, const std::string& compiler) {
  auto reachable = reachable_.find(request.source);
  if (reachable == reachable_.end())
    reachable = reachable_.emplace(request.source, request_sources(request)).first;
  return binary_key(request, compiler, reachable->second);
}

std::shared_ptr<const Binary> BinaryProvider::find_stored(const CompileRequest& request) {
  for (const std::string& compiler : compilers_) {
    auto binary = context_.store().find_binary(key_of(request, compiler));
    if (binary && *binary != nullptr) return *binary;
  }
  return nullptr;
}

Result<std::vector<BinaryAnswer>> BinaryProvider::get(const std::vector<BinaryJob>& jobs) {
  std::vector<BinaryAnswer> answers(jobs.size());
  std::vector<CompileRequest> requests;
  bool missing = false;
  for (const BinaryJob& job : jobs) {
    if (auto rows = rows_of(*job.stage, job.option); !rows) return rows.error();
  }
  for (size_t i = 0; i < jobs.size(); ++i) {
    requests.push_back(request_of(jobs[i]));
    answers[i].binary = find_stored(requests[i]);
    missing = missing || answers[i].binary == nullptr;
  }
  if (!missing) return answers;

  auto pool = context_.compile_pool();
  if (!pool) return pool.error();
  // A binary of this very compiler may be stored although no row tells of it.
  const std::string compiler = (*pool)->nvrtc().version();
  compilers_.insert(compiler);
  std::vector<std::string> keys;
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (answers[i].binary == nullptr) answers[i].binary = find_stored(requests[i]);
    if (answers[i].binary == nullptr) keys.push_back(key_of(requests[i], compiler));
  }
  if (keys.empty()) return answers;
  // Ranks that start together miss the same binaries: one compiles, the others find them here afterwards.
  const KeyLocks locks(context_.store(), keys, kCompilePatience);
  std::vector<std::shared_future<Result<CompileOutcome>>> futures(jobs.size());
  size_t compiled = 0;
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (answers[i].binary == nullptr) answers[i].binary = find_stored(requests[i]);
    if (answers[i].binary != nullptr) continue;
    futures[i] = (*pool)->submit(requests[i]);
    ++compiled;
  }
  context_.log(LogLevel::info,
               fmt::format("{} {}: {} configs compiled here, {} were compiled by another process",
                           tmpl_->name, stored_.problem(), compiled, keys.size() - compiled));
  std::optional<Error> failed;
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (!futures[i].valid()) continue;
    const Result<CompileOutcome>& outcome = futures[i].get();
    if (!outcome) {
      if (!failed) failed = outcome.error();
      continue;
    }
    answers[i].binary = outcome->binary;
    if (outcome->binary != nullptr) {
      keep(*outcome->binary, jobs[i].facts.kernels.empty() ? "" : jobs[i].facts.kernels[0].short_name);
    } else {
      answers[i].refused = outcome->reject.reason;
    }
    keep_verdict(jobs[i], *outcome, compiler);
  }
  if (failed) return *failed;
  return answers;
}

Result<std::shared_ptr<const Binary>> BinaryProvider::get_packing(
    const std::vector<std::string>& name_expressions) {
  CompileRequest request;
  request.tmpl = tmpl_;
  request.source = tmpl_->pack_source;
  request.name_expressions = name_expressions;
  request.target = context_.device().info().target;
  if (auto binary = find_stored(request)) return binary;
  auto pool = context_.compile_pool();
  if (!pool) return pool.error();
  compilers_.insert((*pool)->nvrtc().version());
  if (auto binary = find_stored(request)) return binary;
  const KeyLocks locks(context_.store(), {key_of(request, (*pool)->nvrtc().version())}, kCompilePatience);
  if (auto binary = find_stored(request)) return binary;
  Result<CompileOutcome> outcome = (*pool)->submit(request).get();
  if (!outcome) return outcome.error();
  if (outcome->binary == nullptr) {
    return make_error(ErrorCode::compile_failed,
                      "{}: the kernels that pack weights do not compile for {}: {}\n{}", tmpl_->name,
                      request.target.name(), outcome->reject.reason, outcome->reject.log);
  }
  keep(*outcome->binary, tmpl_->name + ".pack");
  return outcome->binary;
}

void BinaryProvider::keep(const Binary& binary, const std::string& label) {
  warn_once(context_.store().put_binary(binary, context_.device().info().target.name(), label));
}

void BinaryProvider::keep_verdict(const BinaryJob& job, const CompileOutcome& outcome,
                                  const std::string& compiler) {
  const DeviceInfo& info = context_.device().info();
  TuningRow row;
  row.key = row_key(*job.stage, job.option);
  row.key.bucket = 0;
  row.key.sku = info.sku_fingerprint();
  row.smem_bytes = job.facts.smem;
  row.smem_limit = info.limits.smem_per_block;
  row.compiler = compiler;
  if (outcome.binary != nullptr) {
    int static_smem = 0;
    for (const Binary::Kernel& kernel : outcome.binary->kernels) {
      row.registers = std::max(row.registers, kernel.resources.registers);
      row.stack = std::max(row.stack, kernel.resources.stack);
      row.spills = std::max(row.spills, kernel.resources.spill_stores + kernel.resources.spill_loads);
      static_smem = std::max(static_smem, kernel.resources.static_smem);
    }
    row.smem_bytes += static_smem;
    row.binary_key = outcome.binary->key;
  } else {
    GateResult gate = compile_gate(outcome.reject);
    row.verdict = gate.verdict;
    row.reason = std::move(gate.reason);
  }
  row.device_name = info.name;
  row.driver = info.driver_version;
  row.updated_unix = static_cast<int64_t>(std::time(nullptr));
  warn_once(context_.store().put_row(row));
}

void BinaryProvider::warn_once(const Status& status) {
  if (status.ok() || warned_) return;
  warned_ = true;
  context_.log(LogLevel::warning,
               fmt::format("compiled kernels could not be stored and will be compiled again next time: {}",
                           status.error().message));
}

}  // namespace rtjit
