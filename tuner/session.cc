#include "tuner/session.h"

#include <algorithm>
#include <list>

#include "base/text.h"
#include "tuner/bucket_report.h"
#include "tuner/stage_settler.h"
#include "tuner/stage_tuner.h"
#include "tuner/tuning_run.h"

namespace rtjit {
namespace {

using Clock = StopSignal::Clock;

// Of the time that the budget leaves a stage and bucket, what the search may take; the rest is for verifying.
constexpr double kSearchShare = 0.6;

class Session {
 public:
  Session(const TuneRequest& request, const StopSignal& stop, TuneObserver& observer)
      : run_(request, stop, observer), request_(request) {}

  Result<TuneReport> run();

 private:
  Status check_request();
  Status enumerate();
  Status tune();
  // The searches of all that the store does not answer, in the order in which they will be done.
  Status plan();
  Result<std::vector<Candidate*>> foundation();
  std::vector<Candidate*> in_order_of_need();
  Status start_compiles();
  Result<Chosen> defaults(int64_t bucket);
  Status tune_item(size_t stage, int64_t bucket, Chosen* chosen);
  Status settle();
  Clock::time_point search_until() const;
  void add_report(size_t stage, BucketReport report) {
    run_.report.stages[static_cast<size_t>(report_of_[stage])].buckets.push_back(std::move(report));
  }
  void report_unreached();
  bool mine(size_t stage, int64_t bucket) const;
  size_t item_of(size_t stage, int64_t bucket) const;

  TuningRun run_;
  const TuneRequest& request_;
  std::vector<int64_t> buckets_;
  std::vector<int>
      report_of_;  // stage -> index into the report's stages, -1: untuned, or left out by the filter
  std::map<std::pair<int64_t, size_t>, StageWork> planned_;
  int64_t done_ = 0, total_ = 0;  // pieces of work
  std::list<std::unique_ptr<StageSettler>> unsettled_;
  std::map<int64_t, Chosen> chosen_;  // by bucket
};

Status Session::check_request() {
  if (!request_.tmpl) return make_error(ErrorCode::invalid_argument, "tune: no template given");
  if (request_.device && !(request_.device->target == request_.target)) {
    return make_error(ErrorCode::invalid_argument, "the device is {}, it cannot measure for {}",
                      request_.device->target.name(), request_.target.name());
  }
  if (auto strategy = make_strategy(request_.search); !strategy) return strategy.error();
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
  run_.report.template_name = request_.tmpl->name;
  run_.report.problem = request_.problem.canonical();
  run_.report.target = request_.target.name();
  run_.report.sku = run_.sku;
  run_.report.device_name = run_.context.gpu.name;
  return {};
}

Status Session::enumerate() {
  TuningRun::PhaseTimer timer(run_, TunePhase::enumerate);
  const auto stages = static_cast<int64_t>(request_.tmpl->stages.size());
  run_.observer.on_phase(TunePhase::enumerate, stages);
  if (Status status = run_.ledger.load(); !status) return status;
  if (request_.device) {
    const auto stands = [this](const WinnerRow& winner) { return !run_.ledger.being_settled(winner); };
    auto incumbents =
        Incumbents::load(request_.store, request_.shipped, run_.context, run_.sku, buckets_, stands);
    if (!incumbents) return incumbents.error();
    run_.incumbents = std::move(*incumbents);
    run_.ledger.describe_device(request_.device->name, request_.device->driver_version,
                                policy_text(sampling_policy(request_.search, request_.search.samples)));
  }
  for (const Stage& stage : request_.tmpl->stages) {
    auto space = make_stage_space(run_.context, stage, buckets_);
    if (!space) return space.error();
    bool tunes = stage.tuned;
    if (tunes && !request_.filter.empty()) {
      const auto matches = [&](const Candidate& c) {
        return request_.filter.matches(stage.name, c.variant->name, c.config);
      };
      tunes = keep_only(matches, &*space) > 0;
    }
    for (Candidate& c : space->candidates) {
      if (c.gate.ok()) continue;
      run_.count_rejected(c.gate.verdict);
      const TuningRow* stored = run_.ledger.find(c, 0);
      if (stage.tuned && (!stored || stored->reason != c.gate.reason)) {
        run_.ledger.put_soon(run_.ledger.row(c, 0));
      }
    }
    report_of_.push_back(tunes ? static_cast<int>(run_.report.stages.size()) : -1);
    if (tunes) run_.report.stages.push_back({stage.name, {}});
    run_.spaces.push_back(std::move(*space));
    run_.observer.on_progress(TunePhase::enumerate, static_cast<int64_t>(run_.spaces.size()), stages);
  }
  run_.ledger.flush();
  if (run_.report.stages.empty() && !request_.filter.empty()) {
    return make_error(ErrorCode::not_found,
                      "no config of {} matches --config; rtjit explain lists all without it",
                      request_.tmpl->name);
  }
  run_.apply_store();
  return {};
}

size_t Session::item_of(size_t stage, int64_t bucket) const {
  auto at = std::lower_bound(buckets_.begin(), buckets_.end(), bucket) - buckets_.begin();
  return static_cast<size_t>(at) * run_.report.stages.size() + static_cast<size_t>(report_of_[stage]);
}

bool Session::mine(size_t stage, int64_t bucket) const { return request_.shard.has(item_of(stage, bucket)); }

Status Session::plan() {
  TuningRun::PhaseTimer timer(run_, TunePhase::predict);
  for (int64_t bucket : buckets_) {
    for (size_t stage = 0; stage < run_.spaces.size(); ++stage) {
      bool open = report_of_[stage] >= 0 && mine(stage, bucket) && !run_.usable_winner(stage, bucket);
      if (!open) continue;
      auto work = plan_stage(run_, stage, bucket);
      if (!work) return work.error();
      planned_.emplace(std::pair(bucket, stage), std::move(*work));
    }
  }
  total_ = static_cast<int64_t>(planned_.size());
  return {};
}

// What every bucket is judged with, besides its own candidates: the oracle and the untuned stages.
Result<std::vector<Candidate*>> Session::foundation() {
  std::vector<Candidate*> basis;
  for (StageSpace& space : run_.spaces) {
    if (space.oracle >= 0) basis.push_back(&space.candidates[static_cast<size_t>(space.oracle)]);
    if (space.stage->tuned) continue;
    for (Candidate& c : space.candidates) basis.push_back(&c);
  }
  if (!request_.device) return basis;
  auto oracle = run_.judge.oracle();
  if (!oracle) return oracle.error();
  for (size_t stage = 0; stage < oracle->size(); ++stage) {
    if ((*oracle)[stage] >= 0) basis.push_back(&run_.candidate(stage, (*oracle)[stage]));
  }
  return basis;
}

// Bucket by bucket: the defaults that a stage is judged together with, then what the searches begin with.
std::vector<Candidate*> Session::in_order_of_need() {
  std::vector<Candidate*> all;
  for (int64_t bucket : buckets_) {
    for (StageSpace& space : run_.spaces) {
      const int index = space.default_candidate(bucket);
      if (index >= 0) all.push_back(&space.candidates[static_cast<size_t>(index)]);
    }
    for (size_t stage = 0; stage < run_.spaces.size(); ++stage) {
      auto work = planned_.find({bucket, stage});
      if (work == planned_.end()) continue;
      for (size_t index : work->second.first.prospects) {
        all.push_back(&run_.candidate(stage, static_cast<int>(index)));
      }
    }
  }
  return all;
}

// Starts the compiles of everything that is planned, and waits for no more than the worker needs: it sets up
// the problem while the oracle is compiled, and buckets are measured while those of later ones are.
Status Session::start_compiles() {
  auto basis = foundation();
  if (!basis) return basis.error();
  if (request_.device || run_.publishes()) {
    if (Status status = run_.judge.begin_compiles(); !status) return status;
  }
  std::vector<Candidate*> all = *basis;
  for (Candidate* c : in_order_of_need()) all.push_back(c);
  if (Status status = run_.compiles.want(all); !status) return status;  // at once, so that all are announced
  if (run_.publishes()) {
    TuningRun::PhaseTimer timer(run_, TunePhase::wait);
    if (Status status = run_.publisher.put_packing(run_.judge.compiler()); !status) return status;
  }
  if (!request_.device) return run_.compile(*basis);
  {
    TuningRun::PhaseTimer timer(run_, TunePhase::setup);
    if (Status status = run_.judge.start_worker(); !status) return status;
  }
  if (Status status = run_.compile(*basis); !status) return status;
  TuningRun::PhaseTimer timer(run_, TunePhase::setup);
  auto worker = run_.judge.measurer();
  return worker ? Status() : worker.error();
}

// Each stage is judged together with what was chosen before it and the defaults after it, so that the last
// one is judged in the very pipeline that will run.
Result<Chosen> Session::defaults(int64_t bucket) {
  Chosen chosen;
  for (size_t stage = 0; stage < run_.spaces.size(); ++stage) {
    const StageSpace& space = run_.spaces[stage];
    int index = space.default_candidate(bucket);
    // The compiler may refuse it; then the next variant's is the default.
    while (index >= 0 && !run_.candidate(stage, index).feasible()) {
      if (Status status = run_.compile({&run_.candidate(stage, index)}); !status) return status.error();
      index = space.default_candidate(bucket);
    }
    if (index < 0) {
      std::string reason =
          space.candidates.empty() ? "it has no config" : space.candidates.back().gate.reason;
      return make_error(ErrorCode::unsupported, "stage {} cannot run on {}, not even its last variant: {}",
                        space.stage->name, request_.target.name(), reason);
    }
    chosen.push_back(index);
  }
  return chosen;
}

// Every piece of work gets the same share of what the budget leaves.
Clock::time_point Session::search_until() const {
  if (!run_.stop.limited()) return Clock::time_point::max();
  double share = static_cast<double>(run_.stop.left().count()) / static_cast<double>(total_ - done_);
  return Clock::now() + std::chrono::milliseconds(static_cast<int64_t>(kSearchShare * share));
}

Status Session::tune_item(size_t stage, int64_t bucket, Chosen* chosen) {
  if (const WinnerRow* winner = run_.usable_winner(stage, bucket)) {
    (*chosen)[stage] = run_.spaces[stage].find(winner->variant, winner->config);
    if (mine(stage, bucket)) add_report(stage, report_from_store(run_, stage, bucket));
    return {};
  }
  auto work = planned_.find({bucket, stage});
  if (work == planned_.end()) return {};
  if (request_.claim && !request_.claim(item_of(stage, bucket))) {
    --total_;
    if (request_.device) run_.plan_measuring(-static_cast<int64_t>(work->second.first.prospects.size()));
    return {};
  }
  std::unique_ptr<StageSettler> unsettled;
  auto report = tune_stage(run_, std::move(work->second), search_until(), chosen, &unsettled);
  if (unsettled) unsettled_.push_back(std::move(unsettled));
  if (!report) return report.error();
  add_report(stage, std::move(*report));
  ++done_;
  if (!request_.device) run_.observer.on_progress(TunePhase::verify, done_, total_);
  return {};
}

Status Session::tune() {
  if (Status status = run_.compiles.reopen(run_.candidates()); !status) return status;
  if (Status status = plan(); !status) return status;
  if (Status status = start_compiles(); !status) return status;
  if (request_.verify && !run_.judge.can_verify()) {
    run_.warn(
        "winners are compiled, not verified: there is neither the device nor an emulator to run them on");
  }
  int64_t configs = 0;
  for (const auto& [key, work] : planned_) configs += static_cast<int64_t>(work.first.prospects.size());
  if (request_.device) {
    run_.plan_measuring(configs);
  } else {
    run_.observer.on_phase(TunePhase::verify, total_);
  }
  for (int64_t bucket : buckets_) {
    auto chosen = defaults(bucket);
    if (!chosen) return chosen.error();
    for (size_t stage = 0; stage < run_.spaces.size(); ++stage) {
      if (run_.stop.stopped()) return Error{ErrorCode::cancelled, "stopped on request"};
      if (report_of_[stage] >= 0) {
        if (Status status = tune_item(stage, bucket, &*chosen); !status) return status;
      } else if (run_.publishes()) {
        Status status = run_.publisher.put_binary(&run_.candidate(stage, (*chosen)[stage]));
        if (!status) return status;
      }
    }
    chosen_[bucket] = std::move(*chosen);
  }
  return settle();
}

// One pass after another over all that is open, so that the passes of one are seconds apart.
Status Session::settle() {
  if (unsettled_.empty()) return {};
  const auto total = static_cast<int64_t>(unsettled_.size());
  run_.observer.on_phase(TunePhase::settle, total);
  while (!unsettled_.empty()) {
    for (auto at = unsettled_.begin(); at != unsettled_.end();) {
      StageSettler& item = **at;
      Chosen& chosen = chosen_[item.bucket()];
      if (!item.done()) {
        TuningRun::PhaseTimer timer(run_, TunePhase::settle);
        if (Status status = item.pass(chosen); !status) return status;
      }
      if (!item.done()) {
        ++at;
        continue;
      }
      auto& reports = run_.report.stages[static_cast<size_t>(report_of_[item.stage()])].buckets;
      auto report = std::find_if(reports.begin(), reports.end(),
                                 [&](const BucketReport& r) { return r.bucket == item.bucket(); });
      if (Status status = item.publish(&chosen, &*report); !status) return status;
      at = unsettled_.erase(at);
      run_.observer.on_progress(TunePhase::settle, total - static_cast<int64_t>(unsettled_.size()), total);
    }
  }
  return {};
}

// What the budget did not suffice for is served by its default config.
void Session::report_unreached() {
  for (int64_t bucket : buckets_) {
    for (size_t stage = 0; stage < run_.spaces.size(); ++stage) {
      if (report_of_[stage] < 0 || !mine(stage, bucket)) continue;
      const auto& reports = run_.report.stages[static_cast<size_t>(report_of_[stage])].buckets;
      bool reported = std::any_of(reports.begin(), reports.end(),
                                  [&](const BucketReport& report) { return report.bucket == bucket; });
      if (reported) continue;
      BucketReport report = make_bucket_report(run_, stage, bucket);
      report.out_of_time = true;
      report.why = "the budget was used up; the default config serves";
      add_report(stage, std::move(report));
    }
  }
}

Result<TuneReport> Session::run() {
  const Clock::time_point start = Clock::now();
  if (Status status = check_request(); !status) return status.error();
  Status status = enumerate();
  if (status.ok()) {
    bool all_known = true;
    for (size_t stage = 0; stage < run_.spaces.size(); ++stage) {
      for (int64_t bucket : buckets_) {
        bool open = report_of_[stage] >= 0 && mine(stage, bucket) && !run_.usable_winner(stage, bucket);
        all_known = all_known && !open;
      }
    }
    for (int64_t bucket : buckets_) {
      for (size_t stage = 0; all_known && stage < run_.spaces.size(); ++stage) {
        if (report_of_[stage] >= 0 && mine(stage, bucket)) {
          add_report(stage, report_from_store(run_, stage, bucket));
        }
      }
    }
    if (!all_known) status = tune();
  }
  run_.ledger.flush();
  if (!status.ok()) {
    if (status.error().code != ErrorCode::cancelled && !run_.stop.stopped()) return status.error();
    run_.report.cancelled = run_.stop.asked();
    run_.report.out_of_time = !run_.report.cancelled;
    if (run_.report.out_of_time) report_unreached();
  }
  run_.report.compiled = run_.binaries.compiled();
  run_.report.reused_binaries = run_.binaries.reused();
  run_.report.phase_ms[TunePhase::compile] = run_.compiles.compile_ms();
  run_.report.phase_ms[TunePhase::load] = run_.judge.load_ms();
  run_.report.parts_ms = run_.judge.parts_ms();
  run_.report.total_ms = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  return std::move(run_.report);
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
    case TunePhase::wait:
      return "wait";
    case TunePhase::setup:
      return "setup";
    case TunePhase::load:
      return "load";
    case TunePhase::measure:
      return "measure";
    case TunePhase::verify:
      return "verify";
    case TunePhase::settle:
      return "settle";
  }
  return "";
}

Result<TuneReport> tune(const TuneRequest& request, TuneObserver* observer) {
  TuneObserver silent;
  StopSignal stop(request.cancel, request.budget, request.also_cancel);
  TuneRequest stoppable = request;
  stoppable.cancel = stop.flag();
  return Session(stoppable, stop, observer ? *observer : silent).run();
}

}  // namespace rtjit
