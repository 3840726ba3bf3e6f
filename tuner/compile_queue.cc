#include "tuner/compile_queue.h"

#include <algorithm>

#include "compiler/nvrtc.h"

namespace rtjit {
namespace {

using Clock = std::chrono::steady_clock;

// Enough to keep the threads busy while a bucket is measured, and few enough that what is needed at once does
// not wait long.
constexpr size_t kWindowPerThread = 4;
constexpr std::chrono::milliseconds kPoll{20};

bool is_cancelled(const std::atomic<bool>* cancel) { return cancel && cancel->load(); }

// Whether a bucket-0 row holds a decision of the compile gate for this candidate.
bool trust(const SearchContext& context, const Candidate& candidate, const TuningRow& row, bool same_sku) {
  if (row.compiler.empty()) return false;
  // A compile that once took too long costs one config, but never the stage's last resort.
  if (row.verdict == Verdict::timeout && (candidate.variant->oracle || !candidate.stage->tuned)) return false;
  if (same_sku) return true;
  // Kernels may depend on facts that differ between SKUs; equal identity of the binary settles it.
  return binary_key(compile_request(context, candidate, {}), row.compiler) == row.binary_key;
}

bool rejected_by_stored_compile(const Candidate& candidate) {
  return candidate.source == VerdictSource::stored && !candidate.gate.ok() && !candidate.compiler.empty() &&
         !failed_when_run(candidate.gate.verdict);
}

// A config that faulted or hung, here or wherever the database comes from.
bool is_held(const Candidate& candidate) {
  return candidate.source == VerdictSource::stored && is_quarantined(candidate.gate.verdict);
}

void reject_as_stored(Verdict verdict, const std::string& reason, const std::string& compiler,
                      Candidate* candidate) {
  candidate->gate = {verdict, reason};
  candidate->source = VerdictSource::stored;
  candidate->compiled_known = true;
  candidate->compiler = compiler;
}

// What is known of how the candidate ran before.
void apply_failures(const CompileGateRun& run, Candidate* candidate) {
  // Where a compiler is known to have made it, only what came of that one's binary counts.
  const QuarantineRow* quarantined =
      run.ledger.find_quarantine(*candidate, candidate->compiled_known ? candidate->compiler : "");
  const TuningRow* failure = run.ledger.find_failure(*candidate);
  const bool held = quarantined || (failure && is_quarantined(failure->verdict));
  if (held && run.retry_quarantined) {
    run.ledger.release(*candidate, "");
  } else if (quarantined) {
    reject_as_stored(quarantined->verdict, quarantined->error, quarantined->compiler, candidate);
  } else if (failure && (held || !run.force)) {
    reject_as_stored(failure->verdict, failure->reason, failure->compiler, candidate);
  }
}

bool undecided(const Candidate& candidate) { return candidate.gate.ok() && !candidate.compiled_known; }

}  // namespace

void apply_stored(const CompileGateRun& run, const std::vector<Candidate*>& candidates) {
  for (Candidate* candidate : candidates) {
    if (!candidate->gate.ok()) continue;
    const TuningRow* row = run.force ? nullptr : run.ledger.find(*candidate, 0);
    bool same_sku = row != nullptr;
    if (!row && !run.force) row = run.ledger.find_elsewhere(*candidate);
    if (!candidate->compiled_known && row && trust(run.context, *candidate, *row, same_sku)) {
      apply_stored_compile(run.context, *row, run.limits.max_spill_bytes, candidate);
      if (!same_sku) run.ledger.put_soon(run.ledger.row(*candidate, 0));
    }
    apply_failures(run, candidate);
    if (!candidate->gate.ok() && run.rejected) run.rejected(*candidate);
  }
}

Status CompileQueue::open() {
  if (pool_) return {};
  auto opened = run_.binaries.pool();
  if (!opened) return opened.error();
  pool_ = *opened;
  compiler_ = pool_->nvrtc().version();
  return {};
}

Status CompileQueue::reopen(const std::vector<Candidate*>& candidates) {
  for (Candidate* candidate : candidates) {
    const bool held = is_held(*candidate);
    if (!held && !rejected_by_stored_compile(*candidate)) continue;
    if (Status status = open(); !status) return status;
    if (candidate->compiler == compiler_) continue;
    if (held) {
      if (run_.ledger.find_quarantine(*candidate, compiler_)) continue;
      run_.ledger.release(*candidate, compiler_);
    }
    candidate->gate = {};
    candidate->compiled_known = false;
  }
  return {};
}

Status CompileQueue::want(const std::vector<Candidate*>& candidates) {
  bool grown = false;
  for (Candidate* candidate : candidates) {
    if (!undecided(*candidate) || !wanted_.insert(candidate).second) continue;
    waiting_.push_back(candidate);
    grown = true;
  }
  if (!grown) return pool_ ? collect() : Status();
  if (Status status = open(); !status) return status;
  if (run_.progress) run_.progress(0, static_cast<int64_t>(wanted_.size()));
  return pump();
}

void CompileQueue::submit(Candidate* candidate) {
  CompileRequest request = compile_request(run_.context, *candidate, run_.limits.compile_limit);
  if (auto binary = run_.binaries.find(request, compiler_)) {
    run_.binaries.count_reused();
    decide(CompileOutcome{std::move(binary), {}}, candidate);
  } else {
    window_.push_back({candidate, pool_->submit(std::move(request))});
  }
}

Status CompileQueue::pump() {
  const size_t size = static_cast<size_t>(std::max(1, pool_->threads())) * kWindowPerThread;
  while (!waiting_.empty() && window_.size() < size && !is_cancelled(run_.cancel)) {
    Candidate* candidate = waiting_.front();
    waiting_.pop_front();
    submit(candidate);
  }
  return {};
}

Status CompileQueue::collect() {
  for (size_t i = 0; i < window_.size() && !is_cancelled(run_.cancel);) {
    if (window_[i].future.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      ++i;
      continue;
    }
    InFlight finished = window_[i];
    window_.erase(window_.begin() + static_cast<std::ptrdiff_t>(i));
    const Result<CompileOutcome>& outcome = finished.future.get();
    if (!outcome) return outcome.error();
    run_.binaries.count_compiled();
    decide(*outcome, finished.candidate);
  }
  return pump();
}

void CompileQueue::decide(const CompileOutcome& outcome, Candidate* candidate) {
  candidate->source = VerdictSource::compiled;
  candidate->compiler = compiler_;
  if (outcome.binary) {
    candidate->binary_key = outcome.binary->key;
    candidate->compiler = outcome.binary->compiler;
    compile_ms_ += outcome.binary->compile_ms;
    apply_compiled(run_.context, compiled_facts(*outcome.binary), run_.limits.max_spill_bytes, candidate);
    if (candidate->gate.ok()) run_.binaries.keep(outcome.binary);
  } else {
    candidate->compiled_known = true;
    candidate->gate = compile_gate(outcome.reject);
  }
  run_.ledger.put_now(run_.ledger.row(*candidate, 0));
  if (!candidate->gate.ok() && run_.rejected) run_.rejected(*candidate);
  ++done_;
  if (run_.progress) run_.progress(done_, static_cast<int64_t>(wanted_.size()));
}

Status CompileQueue::finish(const std::vector<Candidate*>& candidates) {
  if (Status status = want(candidates); !status) return status;
  const Clock::time_point start = Clock::now();
  Status result;
  // What is needed now goes before what is wanted for later.
  for (Candidate* candidate : candidates) {
    auto at = std::find(waiting_.begin(), waiting_.end(), candidate);
    if (at == waiting_.end() || is_cancelled(run_.cancel)) continue;
    waiting_.erase(at);
    submit(candidate);
  }
  auto next = [&]() -> InFlight* {
    for (InFlight& entry : window_) {
      if (std::find(candidates.begin(), candidates.end(), entry.candidate) != candidates.end()) return &entry;
    }
    return nullptr;
  };
  while (result.ok()) {
    if (pool_) result = collect();
    InFlight* entry = next();
    if (!entry || !result.ok()) break;
    entry->future.wait_for(kPoll);
    if (!is_cancelled(run_.cancel)) continue;
    pool_->cancel_pending();
    result = Error{ErrorCode::cancelled, "stopped on request"};
  }
  waited_ms_ += std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  if (result.ok() && is_cancelled(run_.cancel)) result = Error{ErrorCode::cancelled, "stopped on request"};
  if (!result.ok()) run_.ledger.flush();
  return result;
}

}  // namespace rtjit
