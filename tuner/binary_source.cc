#include "tuner/binary_source.h"

#include <algorithm>
#include <deque>

#include "cache/store.h"
#include "compiler/nvrtc.h"

namespace rtjit {
namespace {

constexpr size_t kMemoryBudget = size_t{512} << 20;

bool is_cancelled(const std::atomic<bool>* cancel) { return cancel && cancel->load(); }

Error cancelled() { return {ErrorCode::cancelled, "stopped on request"}; }

// Whether a bucket-0 row holds a decision of the compile gate for this candidate.
bool trust(const SearchContext& context, const Candidate& candidate, const TuningRow& row, bool same_sku) {
  if (row.compiler.empty()) return false;
  // A compile that once took too long costs one config, but never the stage's last resort.
  if (row.verdict == Verdict::timeout && (candidate.variant->oracle || !candidate.stage->tuned)) return false;
  if (same_sku) return true;
  // Kernels may depend on facts that differ between SKUs; equal identity of the binary settles it.
  return binary_key(compile_request(context, candidate, {}), row.compiler) == row.binary_key;
}

void apply_row(const CompileGateRun& run, const TuningRow& row, Candidate* candidate) {
  candidate->source = VerdictSource::stored;
  candidate->compiler = row.compiler;
  candidate->binary_key = row.binary_key;
  if (row.binary_key.empty()) {  // the compiler refused it
    candidate->compiled_known = true;
    candidate->gate = {row.verdict, row.reason};
    return;
  }
  CompiledFacts facts;
  facts.registers = row.registers;
  facts.stack = row.stack;
  facts.spills = row.spills;
  facts.static_smem = std::max<int64_t>(0, row.smem_bytes - candidate->facts.smem);
  apply_compiled(run.context, facts, run.limits.max_spill_bytes, candidate);
}

bool rejected_by_stored_compile(const Candidate& candidate) {
  return candidate.source == VerdictSource::stored && !candidate.gate.ok() && !candidate.compiler.empty() &&
         !failed_when_run(candidate.gate.verdict);
}

void apply_outcome(const CompileGateRun& run, const CompileOutcome& outcome, const std::string& compiler,
                   Candidate* candidate) {
  candidate->source = VerdictSource::compiled;
  candidate->compiler = compiler;
  if (outcome.binary) {
    candidate->binary_key = outcome.binary->key;
    candidate->compiler = outcome.binary->compiler;
    apply_compiled(run.context, compiled_facts(*outcome.binary), run.limits.max_spill_bytes, candidate);
    if (candidate->gate.ok()) run.binaries.keep(outcome.binary);
  } else {
    candidate->compiled_known = true;
    candidate->gate = compile_gate(outcome.reject);
  }
  run.ledger.put_soon(run.ledger.row(*candidate, 0));
  if (!candidate->gate.ok() && run.rejected) run.rejected(*candidate);
}

}  // namespace

Result<CompilePool*> BinarySource::pool() {
  if (!pool_) {
    if (!factory_) {
      return make_error(ErrorCode::unavailable, "a config must be compiled, and no compiler was given");
    }
    auto opened = factory_();
    if (!opened) return opened.error();
    pool_ = std::move(*opened);
  }
  return pool_.get();
}

std::shared_ptr<const Binary> BinarySource::find(const CompileRequest& request, const std::string& compiler) {
  std::string by = pool_ ? pool_->nvrtc().version() : compiler;
  if (by.empty()) return nullptr;
  std::string key = binary_key(request, by);
  if (auto kept = kept_.find(key); kept != kept_.end()) return kept->second;
  if (!store_) return nullptr;
  auto stored = store_->find_binary(key);
  return stored ? *stored : nullptr;
}

Result<CompileOutcome> BinarySource::get(const CompileRequest& request, const std::string& compiler) {
  if (auto binary = find(request, compiler)) {
    ++reused_;
    return CompileOutcome{std::move(binary), {}};
  }
  auto compile_pool = pool();
  if (!compile_pool) return compile_pool.error();
  auto outcome = (*compile_pool)->submit(request).get();
  if (!outcome) return outcome.error();
  ++compiled_;
  if (outcome->binary) keep(outcome->binary);
  return *outcome;
}

void BinarySource::keep(const std::shared_ptr<const Binary>& binary) {
  size_t bytes = binary->cubin.size() + binary->ptx.size() + binary->log.size();
  if (kept_bytes_ + bytes > kMemoryBudget) return;
  if (kept_.emplace(binary->key, binary).second) kept_bytes_ += bytes;
}

void apply_stored(const CompileGateRun& run, const std::vector<Candidate*>& candidates) {
  for (Candidate* candidate : candidates) {
    if (!candidate->gate.ok()) continue;
    const TuningRow* row = run.force ? nullptr : run.ledger.find(*candidate, 0);
    bool same_sku = row != nullptr;
    if (!row && !run.force) row = run.ledger.find_elsewhere(*candidate);
    if (!candidate->compiled_known && row && trust(run.context, *candidate, *row, same_sku)) {
      apply_row(run, *row, candidate);
      if (!same_sku) run.ledger.put_soon(run.ledger.row(*candidate, 0));
    }
    const TuningRow* failure = run.force ? nullptr : run.ledger.find_failure(*candidate);
    if (failure) {
      candidate->gate = {failure->verdict, failure->reason};
      candidate->source = VerdictSource::stored;
      candidate->compiled_known = true;
    }
    if (!candidate->gate.ok() && run.rejected) run.rejected(*candidate);
  }
}

Status run_compile_gate(const CompileGateRun& run, const std::vector<Candidate*>& candidates) {
  std::vector<Candidate*> undecided;
  bool stored_rejections = false;
  for (Candidate* candidate : candidates) {
    if (candidate->gate.ok() && !candidate->compiled_known) undecided.push_back(candidate);
    stored_rejections = stored_rejections || rejected_by_stored_compile(*candidate);
  }
  if (undecided.empty() && !stored_rejections) {
    if (run.progress) run.progress(0, 0);
    return {};
  }
  auto opened = run.binaries.pool();
  if (!opened) return opened.error();
  CompilePool& pool = **opened;
  const std::string compiler = pool.nvrtc().version();
  // What another version of the compiler refused is asked again.
  for (Candidate* candidate : candidates) {
    if (!rejected_by_stored_compile(*candidate) || candidate->compiler == compiler) continue;
    candidate->gate = {};
    candidate->compiled_known = false;
    undecided.push_back(candidate);
  }
  int64_t total = static_cast<int64_t>(undecided.size()), done = 0;
  if (run.progress) run.progress(done, total);

  // A window keeps every thread busy without holding all binaries at once.
  struct InFlight {
    Candidate* candidate;
    std::shared_future<Result<CompileOutcome>> future;
  };
  std::deque<InFlight> window;
  const size_t window_size = static_cast<size_t>(std::max(1, pool.threads())) * 3;
  size_t next = 0;
  while (next < undecided.size() || !window.empty()) {
    while (next < undecided.size() && window.size() < window_size && !is_cancelled(run.cancel)) {
      Candidate* candidate = undecided[next++];
      CompileRequest request = compile_request(run.context, *candidate, run.limits.compile_limit);
      if (auto binary = run.binaries.find(request, compiler)) {
        run.binaries.count_reused();
        apply_outcome(run, CompileOutcome{std::move(binary), {}}, compiler, candidate);
        if (run.progress) run.progress(++done, total);
      } else {
        window.push_back({candidate, pool.submit(std::move(request))});
      }
    }
    if (window.empty()) {
      if (is_cancelled(run.cancel)) break;
      continue;
    }
    InFlight& oldest = window.front();
    if (oldest.future.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
      if (is_cancelled(run.cancel)) {
        pool.cancel_pending();
        break;
      }
      continue;
    }
    const Result<CompileOutcome>& outcome = oldest.future.get();
    if (!outcome) {
      if (outcome.error().code != ErrorCode::cancelled) return outcome.error();
      break;
    }
    run.binaries.count_compiled();
    apply_outcome(run, *outcome, compiler, oldest.candidate);
    window.pop_front();
    if (run.progress) run.progress(++done, total);
  }
  run.ledger.flush();
  if (is_cancelled(run.cancel)) {
    pool.cancel_pending();
    return cancelled();
  }
  return {};
}

}  // namespace rtjit
