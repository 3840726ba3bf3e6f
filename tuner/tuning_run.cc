#include "tuner/tuning_run.h"

#include <algorithm>

#include "tuner/stage_settler.h"

namespace rtjit {

TuningRun::TuningRun(const TuneRequest& request_in, const StopSignal& stop_in, TuneObserver& observer_in)
    : request(request_in),
      stop(stop_in),
      observer(observer_in),
      context{request.tmpl, request.problem, request.target,
              request.device ? request.device->facts() : request.target.facts(),
              gpu_facts(request.target, request.device)},
      sku(request.device ? request.device->sku_fingerprint() : ""),
      binaries(request.store, request.compiler, request.shared_binaries),
      ledger(request.store, context, sku, [this](const std::string& text) { warn(text); }),
      publisher(context, request.limits, binaries, ledger),
      judge(request, context, binaries, spaces, [this](const std::string& text) { warn(text); }),
      compiles(gate_run()) {}

TuningRun::PhaseTimer::~PhaseTimer() {
  std::chrono::duration<double, std::milli> time = StopSignal::Clock::now() - start_;
  run_.report.phase_ms[phase_] += time.count();
}

CompileGateRun TuningRun::gate_run() {
  CompileGateRun run{context, binaries, ledger, request.limits, request.force, request.cancel, {}, {}};
  run.progress = [this](int64_t done, int64_t total) {
    if (done == 0) {
      observer.on_phase(TunePhase::compile, total);
    } else {
      observer.on_progress(TunePhase::compile, done, total);
    }
  };
  run.retry_quarantined = request.retry_quarantined;
  run.rejected = [this](const Candidate& c) { count_rejected(c.gate.verdict); };
  return run;
}

std::vector<Candidate*> TuningRun::candidates() {
  std::vector<Candidate*> all;
  for (StageSpace& space : spaces) {
    for (Candidate& c : space.candidates) all.push_back(&c);
  }
  return all;
}

Status TuningRun::compile(const std::vector<Candidate*>& wanted) {
  PhaseTimer timer(*this, TunePhase::wait);
  return compiles.finish(wanted);
}

void TuningRun::warn(const std::string& sentence) {
  report.warnings.push_back(sentence);
  observer.on_warning(sentence);
}

void TuningRun::plan_measuring(int64_t more) {
  to_measure_ = std::max(measured_, to_measure_ + more);
  observer.on_phase(TunePhase::measure, to_measure_);
}

void TuningRun::count_measured(int64_t configs) {
  measured_ += configs;
  to_measure_ = std::max(to_measure_, measured_);
  observer.on_progress(TunePhase::measure, measured_, to_measure_);
}

void TuningRun::reject(Candidate* c, int64_t bucket, Verdict verdict, const std::string& reason,
                       Reached reached) {
  TuningRow row = ledger.row(*c, bucket);
  row.verdict = verdict;
  row.reason = reason;
  if (is_quarantined(verdict)) {
    const CompileRequest compiled = compile_request(context, *c, request.limits.compile_limit);
    ledger.put_quarantined(*c, std::move(row), reached, binaries.features(compiled, c->compiler));
  } else {
    ledger.put_now(std::move(row));
  }
  c->gate = {verdict, reason};
  count_rejected(verdict);
  warn(fmt::format("{} {}, bucket {}: {}{}", c->stage->name, describe(*c), bucket, reason,
                   verdict == Verdict::wrong
                       ? ". The template computes a wrong result with this config: please report it"
                       : ""));
}

const WinnerRow* TuningRun::usable_winner(size_t stage, int64_t bucket) const {
  if (request.force || !request.filter.empty()) return nullptr;
  const StageSpace& space = spaces[stage];
  const WinnerRow* winner = ledger.find_winner(space.stage->name, bucket);
  if (!winner) return nullptr;
  if (ledger.has_released(space.stage->name)) return nullptr;  // one of them may be faster
  if (request.device && winner->knowledge != Knowledge::measured) return nullptr;
  if (!winner->verified && judge.can_verify()) return nullptr;
  int index = space.find(winner->variant, winner->config);
  if (index < 0 || !space.candidates[static_cast<size_t>(index)].gate.ok()) return nullptr;
  return StageSettler::wanted(*this) && ledger.being_settled(*winner) ? nullptr : winner;
}

int TuningRun::incumbent(size_t stage, int64_t bucket) const {
  const StageSpace& space = spaces[stage];
  const WinnerRow* winner = incumbents.find(space.stage->name, bucket);
  return winner ? space.find(winner->variant, winner->config) : -1;
}

int TuningRun::failed_here(size_t stage, int64_t bucket) const {
  int count = 0;
  for (const Candidate& c : spaces[stage].candidates) {
    const TuningRow* row = ledger.find(c, bucket);
    count += row && failed_when_run(row->verdict);
  }
  return count;
}

std::string describe(const Candidate& candidate) {
  return candidate.config_text.empty() ? candidate.variant->name
                                       : candidate.variant->name + " " + candidate.config_text;
}

}  // namespace rtjit
