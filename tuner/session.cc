#include "tuner/session.h"

#include <algorithm>

#include "base/text.h"
#include "cache/store.h"
#include "tuner/binary_source.h"
#include "tuner/candidates.h"
#include "tuner/judge.h"
#include "tuner/ledger.h"
#include "tuner/publisher.h"
#include "tuner/ranking.h"

namespace rtjit {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

class Session {
 public:
  Session(const TuneRequest& request, TuneObserver& observer)
      : request_(request),
        observer_(observer),
        context_{request.tmpl, request.problem, request.target,
                 request.device ? request.device->facts() : request.target.facts(),
                 gpu_facts(request.target, request.device)},
        sku_(request.device ? request.device->sku_fingerprint() : ""),
        binaries_(request.store, request.compiler),
        ledger_(request.store, context_, sku_, [this](const std::string& text) { warn(text); }),
        publisher_(context_, request.limits, binaries_, ledger_),
        judge_(request, context_, binaries_, spaces_, [this](const std::string& text) { warn(text); }) {}

  Result<TuneReport> run();

 private:
  // Adds the time until it goes out of scope to a phase.
  struct PhaseTimer {
    PhaseTimer(TuneReport& report_in, TunePhase phase_in)
        : report(report_in), phase(phase_in), start(Clock::now()) {}
    ~PhaseTimer() { report.phase_ms[phase] += ms_since(start); }
    TuneReport& report;
    TunePhase phase;
    Clock::time_point start;
  };

  Status check_request();
  Status enumerate();
  Status compile();
  Status tune_bucket(int64_t bucket);
  Status select(size_t stage, int64_t bucket, Chosen* chosen);
  Result<std::vector<Ranked>> rank(size_t stage, int64_t bucket, const Chosen& chosen, int default_index);
  Status measure(size_t stage, int64_t bucket, const Chosen& chosen, std::vector<Ranked>* ranked);
  const WinnerRow* usable_winner(size_t stage, int64_t bucket) const;
  bool report_from_store(size_t stage, int64_t bucket);
  BucketReport bucket_report(size_t stage, int64_t bucket) const;
  void reject_when_run(size_t stage, int64_t bucket, int candidate, Verdict verdict,
                       const std::string& reason);

  CompileGateRun gate_run();
  bool cancelled() const { return request_.cancel && request_.cancel->load(); }
  bool publishes() const { return request_.verify && request_.filter.empty(); }
  bool tunes(size_t stage) const { return report_of_[stage] >= 0; }
  void warn(const std::string& text) {
    report_.warnings.push_back(text);
    observer_.on_warning(text);
  }
  Candidate& candidate(size_t stage, int index) {
    return spaces_[stage].candidates[static_cast<size_t>(index)];
  }
  std::string describe(const Candidate& c) const {
    return c.config_text.empty() ? c.variant->name : c.variant->name + " " + c.config_text;
  }

  const TuneRequest& request_;
  TuneObserver& observer_;
  SearchContext context_;
  std::string sku_;
  BinarySource binaries_;
  Ledger ledger_;
  Publisher publisher_;
  std::vector<int64_t> buckets_;
  std::vector<StageSpace> spaces_;  // one per stage of the template
  Judge judge_;
  std::vector<int>
      report_of_;  // stage -> index into report_.stages, -1: untuned, or the filter leaves it out
  std::map<Verdict, int64_t> rejected_counts_;
  int64_t work_done_ = 0, work_total_ = 0;
  TuneReport report_;
};

Status Session::check_request() {
  if (!request_.tmpl) return make_error(ErrorCode::invalid_argument, "tune: no template given");
  if (request_.device && !(request_.device->target == request_.target)) {
    return make_error(ErrorCode::invalid_argument, "the device is {}, it cannot measure for {}",
                      request_.device->target.name(), request_.target.name());
  }
  buckets_ = request_.buckets.empty() ? request_.tmpl->buckets : request_.buckets;
  for (int64_t bucket : buckets_) {
    const auto& known = request_.tmpl->buckets;
    if (std::find(known.begin(), known.end(), bucket) != known.end()) continue;
    std::vector<std::string> names;
    for (int64_t other : known) names.push_back(std::to_string(other));
    return make_error(ErrorCode::invalid_argument, "{} is not a bucket of {}; its buckets are {}", bucket,
                      request_.tmpl->name, join(names, ", "));
  }
  std::sort(buckets_.begin(), buckets_.end());
  buckets_.erase(std::unique(buckets_.begin(), buckets_.end()), buckets_.end());
  report_.template_name = request_.tmpl->name;
  report_.problem = request_.problem.canonical();
  report_.target = request_.target.name();
  report_.sku = sku_;
  report_.device_name = context_.gpu.name;
  return {};
}

CompileGateRun Session::gate_run() {
  CompileGateRun run{context_, binaries_, ledger_, request_.limits, request_.force, request_.cancel, {}, {}};
  run.progress = [this](int64_t done, int64_t total) {
    if (done == 0) {
      observer_.on_phase(TunePhase::compile, total);
    } else {
      observer_.on_progress(TunePhase::compile, done, total);
    }
  };
  run.rejected = [this](const Candidate& c) {
    observer_.on_rejected(c.gate.verdict, ++rejected_counts_[c.gate.verdict]);
  };
  return run;
}

Status Session::enumerate() {
  PhaseTimer timer(report_, TunePhase::enumerate);
  observer_.on_phase(TunePhase::enumerate, static_cast<int64_t>(request_.tmpl->stages.size()));
  if (Status status = ledger_.load(); !status) return status;
  if (request_.device) {
    ledger_.describe_device(
        request_.device->name, request_.device->driver_version,
        fmt::format("median of {} rounds, interleaved; graph replay of one stage, cold L2",
                    request_.limits.timing_rounds));
  }
  int64_t done = 0;
  for (const Stage& stage : request_.tmpl->stages) {
    auto space = make_stage_space(context_, stage, buckets_);
    if (!space) return space.error();
    bool tunes = stage.tuned;
    if (tunes && !request_.filter.empty()) {
      tunes = keep_only(
                  [&](const Candidate& c) {
                    return request_.filter.matches(stage.name, c.variant->name, c.config);
                  },
                  &*space) > 0;
    }
    for (Candidate& c : space->candidates) {
      if (c.gate.ok()) continue;
      observer_.on_rejected(c.gate.verdict, ++rejected_counts_[c.gate.verdict]);
      const TuningRow* stored = ledger_.find(c, 0);
      if (stage.tuned && (!stored || stored->reason != c.gate.reason)) ledger_.put_soon(ledger_.row(c, 0));
    }
    if (tunes) {
      report_of_.push_back(static_cast<int>(report_.stages.size()));
      report_.stages.push_back({stage.name, {}});
    } else {
      report_of_.push_back(-1);
    }
    spaces_.push_back(std::move(*space));
    observer_.on_progress(TunePhase::enumerate, ++done, static_cast<int64_t>(request_.tmpl->stages.size()));
  }
  ledger_.flush();
  if (report_.stages.empty() && !request_.filter.empty()) {
    return make_error(ErrorCode::not_found,
                      "no config of {} matches --config; rtjit explain lists all without it",
                      request_.tmpl->name);
  }
  std::vector<Candidate*> all;
  for (StageSpace& space : spaces_) {
    for (Candidate& c : space.candidates) all.push_back(&c);
  }
  apply_stored(gate_run(), all);
  return {};
}

Status Session::compile() {
  PhaseTimer timer(report_, TunePhase::compile);
  std::vector<Candidate*> all;
  for (StageSpace& space : spaces_) {
    for (Candidate& c : space.candidates) all.push_back(&c);
  }
  return run_compile_gate(gate_run(), all);
}

// A winner in the store that is as good as this run could make it.
const WinnerRow* Session::usable_winner(size_t stage, int64_t bucket) const {
  if (request_.force || !request_.filter.empty()) return nullptr;
  const StageSpace& space = spaces_[stage];
  const WinnerRow* winner = ledger_.find_winner(space.stage->name, bucket);
  if (!winner) return nullptr;
  if (request_.device && winner->knowledge != Knowledge::measured) return nullptr;
  if (!winner->verified && judge_.can_verify()) return nullptr;
  int index = space.find(winner->variant, winner->config);
  return index >= 0 && space.candidates[static_cast<size_t>(index)].gate.ok() ? winner : nullptr;
}

BucketReport Session::bucket_report(size_t stage, int64_t bucket) const {
  BucketReport report;
  report.bucket = bucket;
  const StageSpace& space = spaces_[stage];
  for (const Candidate& c : space.candidates) {
    if (!c.wanted) continue;
    ++report.candidates;
    if (c.gate.ok()) {
      ++report.feasible;
    } else {
      ++report.rejected[c.gate.verdict];
      ++report.rejected_by[c.rejected_by()];
    }
  }
  if (int index = space.default_candidate(bucket); index >= 0) {
    report.default_variant = space.candidates[static_cast<size_t>(index)].variant->name;
    report.default_config = space.candidates[static_cast<size_t>(index)].config_text;
  }
  return report;
}

bool Session::report_from_store(size_t stage, int64_t bucket) {
  const WinnerRow* winner = usable_winner(stage, bucket);
  if (!winner) return false;
  const StageSpace& space = spaces_[stage];
  BucketReport report = bucket_report(stage, bucket);
  const Candidate& chosen =
      space.candidates[static_cast<size_t>(space.find(winner->variant, winner->config))];
  report.has_winner = report.from_cache = true;
  report.variant = winner->variant;
  report.config = winner->config;
  report.why = winner->why;
  report.knowledge = winner->knowledge;
  report.time_us = winner->time_us;
  report.verified = winner->verified;
  report.smem_bytes = chosen.facts.smem + chosen.compiled.static_smem;
  report.registers = chosen.registers();
  if (const TuningRow* row = ledger_.find(chosen, bucket)) report.verified_on = row->verified_on;
  int default_index = space.default_candidate(bucket);
  if (default_index >= 0) {
    const TuningRow* row = ledger_.find(space.candidates[static_cast<size_t>(default_index)], bucket);
    if (row) report.default_time_us = row->time_us;
  }
  for (const Candidate& c : space.candidates) {
    const TuningRow* row = ledger_.find(c, bucket);
    report.measured += row && row->knowledge == Knowledge::measured;
  }
  report_.stages[static_cast<size_t>(report_of_[stage])].buckets.push_back(std::move(report));
  return true;
}

void Session::reject_when_run(size_t stage, int64_t bucket, int index, Verdict verdict,
                              const std::string& reason) {
  Candidate& c = candidate(stage, index);
  TuningRow row = ledger_.row(c, bucket);
  row.verdict = verdict;
  row.reason = reason;
  ledger_.put_now(std::move(row));
  c.gate = {verdict, reason};
  observer_.on_rejected(verdict, ++rejected_counts_[verdict]);
  warn(fmt::format("{} {}, bucket {}: {}{}", c.stage->name, describe(c), bucket, reason,
                   verdict == Verdict::wrong
                       ? ". The template computes a wrong result with this config: please report it"
                       : ""));
}

Result<std::vector<Ranked>> Session::rank(size_t stage, int64_t bucket, const Chosen& chosen,
                                          int default_index) {
  std::vector<Ranked> ranked;
  {
    PhaseTimer timer(report_, TunePhase::predict);
    for (size_t i = 0; i < spaces_[stage].candidates.size(); ++i) {
      const Candidate& c = spaces_[stage].candidates[i];
      if (!c.feasible() || !c.wanted) continue;
      Ranked entry;
      entry.candidate = static_cast<int>(i);
      entry.is_default = entry.candidate == default_index;
      Prediction prediction = predict_candidate(context_, c, bucket);
      entry.time_us = prediction.total_us;
      entry.knowledge = prediction.known() ? Knowledge::predicted : Knowledge::none;
      ranked.push_back(entry);
    }
  }
  if (request_.device) {
    if (Status status = measure(stage, bucket, chosen, &ranked); !status) return status.error();
  }
  return ranked;
}

// Keeps the best predicted ones and the default, and replaces predicted by measured times.
Status Session::measure(size_t stage, int64_t bucket, const Chosen& chosen, std::vector<Ranked>* ranked) {
  PhaseTimer timer(report_, TunePhase::measure);
  std::stable_sort(ranked->begin(), ranked->end(), [](const Ranked& a, const Ranked& b) {
    if ((a.time_us > 0) != (b.time_us > 0)) return a.time_us > 0;
    return a.time_us < b.time_us;
  });
  std::vector<Ranked> picked, todo;
  for (const Ranked& entry : *ranked) {
    bool wanted = static_cast<int>(picked.size()) < std::max(1, request_.limits.max_measured_per_bucket);
    if (wanted || entry.is_default) picked.push_back(entry);
  }
  ranked->clear();
  for (Ranked& entry : picked) {
    const TuningRow* row = request_.force ? nullptr : ledger_.find(candidate(stage, entry.candidate), bucket);
    if (row && row->knowledge == Knowledge::measured && row->verdict == Verdict::ok) {
      entry.time_us = row->time_us;
      entry.low_us = row->time_low_us;
      entry.high_us = row->time_high_us;
      entry.samples = row->samples;
      entry.knowledge = Knowledge::measured;
      ranked->push_back(entry);
    } else {
      todo.push_back(entry);
    }
  }
  work_total_ += static_cast<int64_t>(todo.size());
  observer_.on_phase(TunePhase::measure, work_total_);
  if (todo.empty()) return {};
  auto worker = judge_.measurer();
  if (!worker) return worker.error();

  MeasureJob job;
  job.bucket = bucket;
  job.stage = static_cast<int>(stage);
  job.rounds = request_.limits.timing_rounds;
  for (const Ranked& entry : todo) {
    Chosen with = chosen;
    with[stage] = entry.candidate;
    auto spec = judge_.pipeline_spec(with);
    if (!spec) return spec.error();
    spec->expected_us = entry.time_us;
    job.candidates.push_back(std::move(*spec));
  }
  const Candidate& any = candidate(stage, todo.front().candidate);
  auto cost = evaluate_cost(*context_.tmpl, *any.stage, *any.variant, any.config, context_.problem, bucket,
                            context_.facts);
  if (cost) job.bytes = cost->dram_bytes;
  auto measured = (*worker)->measure(job);
  if (!measured) return measured.error();
  for (size_t i = 0; i < todo.size(); ++i) {
    const Measurement& result = (*measured)[i];
    Ranked& entry = todo[i];
    observer_.on_progress(TunePhase::measure, ++work_done_, work_total_);
    if (result.verdict != Verdict::ok) {
      reject_when_run(stage, bucket, entry.candidate, result.verdict, result.reason);
      continue;
    }
    entry.time_us = result.time_us;
    entry.low_us = result.low_us;
    entry.high_us = result.high_us;
    entry.samples = result.samples;
    entry.knowledge = Knowledge::measured;
    TuningRow row = ledger_.row(candidate(stage, entry.candidate), bucket);
    row.knowledge = Knowledge::measured;
    row.time_us = entry.time_us;
    row.time_low_us = entry.low_us;
    row.time_high_us = entry.high_us;
    row.samples = entry.samples;
    row.is_default = entry.is_default;
    ledger_.put_soon(std::move(row));
    ranked->push_back(entry);
  }
  ledger_.flush();
  return {};
}

Status Session::select(size_t stage, int64_t bucket, Chosen* chosen) {
  StageSpace& space = spaces_[stage];
  int default_index = (*chosen)[stage];
  auto ranked = rank(stage, bucket, *chosen, default_index);
  if (!ranked) return ranked.error();
  double default_time = 0;
  for (const Ranked& entry : *ranked) {
    if (entry.is_default) default_time = entry.time_us;
  }
  const size_t all = ranked->size();
  int failed = 0, winner = -1;
  Judgement judgement;
  std::vector<Ranked> remaining = *ranked;
  while ((winner = choose_winner(space, remaining, request_.limits.tie_fraction)) >= 0) {
    if (cancelled()) return Error{ErrorCode::cancelled, "stopped on request"};
    Chosen with = *chosen;
    with[stage] = remaining[static_cast<size_t>(winner)].candidate;
    PhaseTimer timer(report_, TunePhase::verify);
    auto judged = judge_.judge(with, bucket);
    if (!judged) return judged.error();
    judgement = std::move(*judged);
    if (!judgement.rejected) break;
    reject_when_run(stage, bucket, remaining[static_cast<size_t>(winner)].candidate,
                    judgement.outcome.verdict, judgement.outcome.reason);
    remaining.erase(remaining.begin() + winner);
    ++failed;
  }
  BucketReport report = bucket_report(stage, bucket);
  report.default_time_us = default_time;
  for (const Ranked& entry : *ranked) report.measured += entry.knowledge == Knowledge::measured;
  if (winner < 0) {
    warn(fmt::format(
        "stage {}, bucket {}: none of {} feasible configs is usable; the library falls back to what its "
        "defaults allow",
        space.stage->name, bucket, all));
  } else {
    const Ranked& entry = remaining[static_cast<size_t>(winner)];
    std::string why = explain_choice(remaining, winner, request_.limits.tie_fraction, failed);
    Candidate& c = candidate(stage, entry.candidate);
    if (publishes()) {
      if (Status s = publisher_.put_winner(&c, bucket, entry, judgement, why); !s) return s;
    }
    report.has_winner = true;
    report.variant = c.variant->name;
    report.config = c.config_text;
    report.why = why;
    report.knowledge = entry.knowledge;
    report.time_us = entry.time_us;
    report.verified = judgement.verified;
    report.verified_on = judgement.verified_on;
    report.smem_bytes = c.facts.smem + c.compiled.static_smem;
    report.registers = c.registers();
    if (!judgement.verified && !judgement.outcome.reason.empty()) {
      warn(fmt::format("{} {} is compiled, not verified: {}", c.stage->name, describe(c),
                       judgement.outcome.reason));
    }
    (*chosen)[stage] = entry.candidate;
    observer_.on_best(space.stage->name, bucket, report.variant, report.config, report.time_us,
                      report.knowledge);
  }
  report_.stages[static_cast<size_t>(report_of_[stage])].buckets.push_back(std::move(report));
  return {};
}

Status Session::tune_bucket(int64_t bucket) {
  // Each stage is judged together with what was chosen before it and the defaults after it, so that the last
  // one is judged in the very pipeline that will run.
  Chosen chosen;
  for (const StageSpace& space : spaces_) {
    int index = space.default_candidate(bucket);
    if (index < 0) {
      std::string reason =
          space.candidates.empty() ? "it has no config" : space.candidates.back().gate.reason;
      return make_error(ErrorCode::unsupported, "stage {} cannot run on {}, not even its last variant: {}",
                        space.stage->name, request_.target.name(), reason);
    }
    chosen.push_back(index);
  }
  for (size_t stage = 0; stage < spaces_.size(); ++stage) {
    if (!tunes(stage)) {
      if (publishes()) {
        if (Status s = publisher_.put_binary(&candidate(stage, chosen[stage])); !s) return s;
      }
      continue;
    }
    if (report_from_store(stage, bucket)) {
      const WinnerRow* winner = usable_winner(stage, bucket);
      chosen[stage] = spaces_[stage].find(winner->variant, winner->config);
      continue;
    }
    if (Status status = select(stage, bucket, &chosen); !status) return status;
  }
  return {};
}

Result<TuneReport> Session::run() {
  Clock::time_point start = Clock::now();
  auto finish = [&]() -> TuneReport {
    report_.compiled = binaries_.compiled();
    report_.reused_binaries = binaries_.reused();
    report_.total_ms = ms_since(start);
    return std::move(report_);
  };
  auto stop = [&](const Error& error) -> Result<TuneReport> {
    ledger_.flush();
    if (error.code != ErrorCode::cancelled && !cancelled()) return error;
    report_.cancelled = true;
    return finish();
  };
  if (Status status = check_request(); !status) return status.error();
  if (Status status = enumerate(); !status) return stop(status.error());

  bool all_known = true;
  for (size_t stage = 0; stage < spaces_.size(); ++stage) {
    if (!tunes(stage)) continue;
    for (int64_t bucket : buckets_) all_known = all_known && usable_winner(stage, bucket);
  }
  if (all_known) {
    for (int64_t bucket : buckets_) {
      for (size_t stage = 0; stage < spaces_.size(); ++stage) {
        if (tunes(stage)) report_from_store(stage, bucket);
      }
    }
    return finish();
  }

  if (Status status = compile(); !status) return stop(status.error());
  if (publishes()) {
    std::string compiler;
    for (const Candidate& c : spaces_.front().candidates)
      compiler = c.compiler.empty() ? compiler : c.compiler;
    if (Status status = publisher_.put_packing(compiler); !status) return stop(status.error());
  }
  if (request_.verify && !judge_.can_verify()) {
    warn("winners are compiled, not verified: there is neither the device nor an emulator to run them on");
  }
  int64_t total = static_cast<int64_t>(buckets_.size()), done = 0;
  observer_.on_phase(request_.device ? TunePhase::measure : TunePhase::verify, request_.device ? 0 : total);
  for (int64_t bucket : buckets_) {
    if (cancelled()) return stop({ErrorCode::cancelled, "stopped on request"});
    if (Status status = tune_bucket(bucket); !status) return stop(status.error());
    if (!request_.device) observer_.on_progress(TunePhase::verify, ++done, total);
  }
  ledger_.flush();
  return finish();
}

}  // namespace

const char* to_string(TunePhase phase) {
  switch (phase) {
    case TunePhase::enumerate:
      return "enumerate";
    case TunePhase::compile:
      return "compile";
    case TunePhase::predict:
      return "predict";
    case TunePhase::measure:
      return "measure";
    case TunePhase::verify:
      return "verify";
  }
  return "";
}

Result<TuneReport> tune(const TuneRequest& request, TuneObserver* observer) {
  TuneObserver silent;
  return Session(request, observer ? *observer : silent).run();
}

}  // namespace rtjit
