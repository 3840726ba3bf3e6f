#include "tuner/bench.h"

#include <algorithm>

#include "runtime/handle.h"
#include "tuner/operation_timer.h"
#include "tuner/space.h"

namespace rtjit {
namespace {

constexpr const char* kCeilings = "measuring the device's ceilings";
constexpr const char* kKernels = "opening kernels";
constexpr const char* kSizes = "measuring sizes";

// The reference is far from everything else: a few samples tell all that its ratio can.
constexpr int kReferenceRounds = 3;

bool is_memory(const Error& error) { return error.code == ErrorCode::out_of_memory; }

class BenchRun {
 public:
  explicit BenchRun(const BenchRequest& request)
      : request_(request),
        scope_(request.scope),
        context_{scope_.tmpl, scope_.problem, scope_.target, scope_.facts,
                 gpu_facts(scope_.target, scope_.device)} {}

  Result<BenchReport> run();

 private:
  Status enumerate();
  Status find_given();
  Status describe();
  Result<BenchRow> make_row(int64_t tokens);
  const Candidate* find(size_t stage, const std::string& variant, const std::string& config) const;
  const Candidate* default_of(size_t stage, int64_t bucket) const;
  // The plain kernels: per stage the oracle's default config, or what an untuned stage has.
  std::vector<const Candidate*> reference(int64_t bucket) const;

  // Measuring.
  Status open();
  Result<std::unique_ptr<KernelHandle>> open(MissPolicy policy, std::vector<std::string> configs);
  Result<std::unique_ptr<KernelHandle>> open_reference();
  Status measure(BenchRow* row);
  Status measure_served(BenchRow* row);
  Status measure_reference(BenchRow* row);
  void add_serving(BenchRow* row);

  // Predicting.
  Status predict_row(BenchRow* row);
  Result<BenchStage> stored_stage(size_t stage, int64_t bucket);

  void tell(const std::string& phase, int64_t done, int64_t total) const {
    if (request_.progress) request_.progress(phase, done, total);
  }
  bool stopped() const { return request_.cancel != nullptr && request_.cancel->load(); }

  const BenchRequest& request_;
  const ProblemScope& scope_;
  const SearchContext context_;
  std::vector<StageSpace> spaces_;
  std::vector<const Candidate*> given_;  // per stage; null: what serves
  std::unique_ptr<KernelHandle> served_, default_, reference_;
  std::string no_reference_;               // why reference_ is null
  std::unique_ptr<OperationTimer> timer_;  // goes before the handles
  BenchReport report_;
};

Status BenchRun::enumerate() {
  for (const Stage& stage : scope_.tmpl->stages) {
    auto space = make_stage_space(context_, stage, scope_.buckets);
    if (!space) return space.error();
    spaces_.push_back(std::move(*space));
  }
  given_.assign(spaces_.size(), nullptr);
  return find_given();
}

Status BenchRun::find_given() {
  if (scope_.filter.empty()) return {};
  bool any = false;
  for (size_t stage = 0; stage < spaces_.size(); ++stage) {
    int matches = 0;
    for (const Candidate& candidate : spaces_[stage].candidates) {
      const bool matched =
          candidate.stage->tuned && candidate.gate.ok() &&
          scope_.filter.matches(candidate.stage->name, candidate.variant->name, candidate.config);
      if (!matched) continue;
      ++matches;
      given_[stage] = &candidate;
    }
    if (matches > 1) {
      return make_error(
          ErrorCode::invalid_argument,
          "--config: {} configs of stage {} match; name all parameters, so that one is left to be "
          "measured",
          matches, spaces_[stage].stage->name);
    }
    any = any || matches == 1;
  }
  if (any) return {};
  return make_error(ErrorCode::not_found,
                    "no config of {} that matches --config is feasible on {}; rtjit explain says why",
                    scope_.tmpl->name, scope_.target.name());
}

const Candidate* BenchRun::find(size_t stage, const std::string& variant, const std::string& config) const {
  const int index = spaces_[stage].find(variant, config);
  return index < 0 ? nullptr : &spaces_[stage].candidates[static_cast<size_t>(index)];
}

const Candidate* BenchRun::default_of(size_t stage, int64_t bucket) const {
  const int index = spaces_[stage].default_candidate(bucket);
  return index < 0 ? nullptr : &spaces_[stage].candidates[static_cast<size_t>(index)];
}

std::vector<const Candidate*> BenchRun::reference(int64_t bucket) const {
  std::vector<const Candidate*> choices;
  for (size_t stage = 0; stage < spaces_.size(); ++stage) {
    const Variant& last = spaces_[stage].stage->variants.back();
    const Candidate* chosen = default_of(stage, bucket);
    if (last.oracle) {
      auto config =
          default_config(*scope_.tmpl, *spaces_[stage].stage, last, scope_.problem, bucket, scope_.facts);
      chosen = config && *config ? find(stage, last.name, (*config)->canonical()) : nullptr;
    }
    if (chosen == nullptr || !chosen->gate.ok()) return {};
    choices.push_back(chosen);
  }
  return choices;
}

Status BenchRun::describe() {
  report_.template_name = scope_.tmpl->name;
  report_.problem = scope_.problem.canonical();
  report_.target = scope_.target.name();
  report_.device = context_.gpu.name;
  report_.sku = scope_.sku;
  report_.bucket_scalar = scope_.tmpl->bucket_scalar;
  const std::set<std::string> types = math_types(spaces_);
  if (request_.context == nullptr) {
    report_.knowledge = Knowledge::predicted;
    report_.ceilings = nominal_ceilings(context_.gpu, types);
    report_.policy = "cost model";
    return {};
  }
  report_.knowledge = Knowledge::measured;
  report_.driver = request_.context->device().info().driver_version;
  const SamplingPolicy& sampling = request_.sampling;
  report_.policy = fmt::format(
      "median of {} to {} rounds, in turns; whole operation, frozen launches in a CUDA graph, cold L2",
      sampling.rounds, sampling.max_rounds);
  tell(kCeilings, 0, 1);
  auto pool = request_.context->compile_pool();
  if (!pool) return pool.error();
  auto ceilings = measure_ceilings(request_.context->device(), **pool, types, request_.ceilings);
  if (!ceilings) return ceilings.error();
  report_.ceilings = std::move(*ceilings);
  tell(kCeilings, 1, 1);
  return {};
}

Result<std::unique_ptr<KernelHandle>> BenchRun::open(MissPolicy policy, std::vector<std::string> configs) {
  OpenOptions options;
  options.miss_policy = policy;
  options.max_bucket = scope_.tokens.back();
  options.configs = std::move(configs);
  return KernelHandle::open(request_.context, scope_.tmpl->name, scope_.problem.canonical(), options);
}

std::string override_text(const Candidate& candidate) {
  return fmt::format("{}={}:{}", candidate.stage->name, candidate.variant->name, candidate.config_text);
}

// Null, with the reason in no_reference_, where a gate keeps the reference from this device.
Result<std::unique_ptr<KernelHandle>> BenchRun::open_reference() {
  const std::vector<const Candidate*> choices = reference(scope_.buckets.back());
  if (choices.empty()) {
    no_reference_ = fmt::format("the reference kernels cannot run on {}", scope_.target.name());
    return std::unique_ptr<KernelHandle>();
  }
  std::vector<std::string> configs;
  for (const Candidate* candidate : choices) {
    if (candidate->stage->tuned) configs.push_back(override_text(*candidate));
  }
  return open(MissPolicy::use_default, std::move(configs));
}

Status BenchRun::open() {
  tell(kKernels, 0, 3);
  std::vector<std::string> configs;
  for (const Candidate* candidate : given_) {
    if (candidate != nullptr) configs.push_back(override_text(*candidate));
  }
  auto served = open(MissPolicy::nearest, std::move(configs));
  if (!served) return served.error();
  served_ = std::move(*served);
  tell(kKernels, 1, 3);
  auto by_default = open(MissPolicy::use_default, {});
  if (!by_default) return by_default.error();
  default_ = std::move(*by_default);
  tell(kKernels, 2, 3);
  auto reference = open_reference();
  if (!reference) return reference.error();
  reference_ = std::move(*reference);
  auto timer = OperationTimer::create(*served_, request_.context->device().info().l2_bytes, request_.clocks);
  if (!timer) return timer.error();
  timer_ = std::move(*timer);
  tell(kKernels, 3, 3);
  return {};
}

void BenchRun::add_serving(BenchRow* row) {
  const std::vector<ServingStage>& serving = served_->serving(row->tokens);
  const std::vector<ServingStage>& defaults = default_->serving(row->tokens);
  row->is_default = true;
  for (size_t i = 0; i < serving.size(); ++i) {
    const StageChoice& choice = serving[i].choice;
    BenchStage stage{
        choice.stage,          choice.variant,          choice.config.canonical(), serving[i].origin,
        serving[i].provenance, spaces_[i].stage->tuned, given_[i] != nullptr,      0};
    if (const Candidate* candidate = find(i, stage.variant, stage.config))
      stage.predicted_us = predict_candidate(context_, *candidate, row->tokens).total_us;
    row->is_default = row->is_default && defaults[i].choice.variant == choice.variant &&
                      defaults[i].choice.config == choice.config;
    row->stages.push_back(std::move(stage));
  }
}

BenchTime time_of(const Summary& summary) {
  return {summary.median_us, summary.low_us, summary.high_us, summary.samples, ""};
}

Status BenchRun::measure_served(BenchRow* row) {
  std::vector<KernelHandle*> handles = {served_.get()};
  if (!row->is_default) handles.push_back(default_.get());
  std::vector<std::unique_ptr<OperationTimer::Recording>> recordings;
  for (KernelHandle* handle : handles) {
    auto recording = timer_->record(*handle);
    if (!recording) return recording.error();
    recordings.push_back(std::move(*recording));
  }
  SampleBook book(handles.size(), request_.sampling);
  for (int round = 0; !book.done(); ++round) {
    for (size_t k = 0; k < handles.size(); ++k) {
      const size_t i = (k + static_cast<size_t>(round)) % handles.size();  // nobody always goes first
      if (!book.needs_more(i)) continue;
      auto sample = timer_->sample(*recordings[i]);
      if (!sample) return sample.error();
      book.add(i, *sample);
    }
    book.close_round();
  }
  row->time = time_of(book.summary(0));
  row->by_default = time_of(book.summary(handles.size() - 1));
  row->sm_clock_mhz = book.summary(0).sm_clock_mhz;
  row->conditions = fmt::format("{}; {} operations in a graph, {} launches each", timer_->conditions(),
                                recordings[0]->operations(), recordings[0]->launches());
  return {};
}

Status BenchRun::measure_reference(BenchRow* row) {
  if (reference_ == nullptr) {
    row->reference.why_not = no_reference_;
    return {};
  }
  const double expected = predict_operation(context_, reference(row->bucket), row->tokens);
  if (expected <= 0) {
    row->reference.why_not =
        "the template states no cost for it, so that nobody knows how long it would take";
    return {};
  }
  const double affordable = request_.most_reference_us / (expected * OperationTimer::kRunsOfFirstSample);
  if (affordable < 1) {
    row->reference.why_not = fmt::format(
        "one look at it would take {:.1f} s, the limit is {:g} s (predicted: {:.0f} us a launch)",
        expected * OperationTimer::kRunsOfFirstSample * 1e-6, request_.most_reference_us * 1e-6, expected);
    return {};
  }
  auto recording =
      timer_->record(*reference_, static_cast<int>(std::min<double>(affordable, timer_->sets())));
  if (!recording) return recording.error();
  std::vector<Sample> samples;
  double spent = 0;
  while (static_cast<int>(samples.size()) < kReferenceRounds && spent < request_.most_reference_us) {
    auto sample = timer_->sample(**recording);
    if (!sample) return sample.error();
    samples.push_back(*sample);
    spent += sample->us * (*recording)->operations() * OperationTimer::kRunsOfFirstSample;
  }
  row->reference = time_of(summarize(samples, request_.sampling));
  return {};
}

Status BenchRun::measure(BenchRow* row) {
  add_serving(row);
  Status status = timer_->prepare(*served_, row->tokens, row->work.bytes);
  if (status) status = measure_served(row);
  if (status) {
    status = measure_reference(row);
    if (status || !is_memory(status.error())) return status;
    row->reference.why_not = status.error().message;
    return {};
  }
  if (!is_memory(status.error())) return status;
  row->time.why_not = row->by_default.why_not = row->reference.why_not = status.error().message;
  return {};
}

// What the cache or the defaults give for a GPU that is not here.
Result<BenchStage> BenchRun::stored_stage(size_t stage, int64_t bucket) {
  const Stage& source = *spaces_[stage].stage;
  const Candidate* chosen = given_[stage];
  BenchStage result;
  result.stage = source.name;
  result.tuned = source.tuned;
  result.given = chosen != nullptr;
  result.origin = result.given ? "as given" : source.tuned ? "default" : "untuned";
  if (source.tuned && !result.given && request_.store != nullptr) {
    auto found = lookup_winner(*request_.store, make_lookup(*scope_.tmpl, scope_.problem, source, bucket,
                                                            scope_.target.name(), scope_.sku));
    if (!found) return found.error();
    if (*found) chosen = find(stage, (*found)->winner.variant, (*found)->winner.config);
    if (chosen != nullptr && !chosen->gate.ok())
      chosen = nullptr;  // of another bucket or SKU, and not for this one
    if (chosen != nullptr) {
      result.origin = (*found)->sentence;
      result.provenance = (*found)->provenance;
    }
  }
  if (chosen == nullptr) chosen = default_of(stage, bucket);
  if (chosen == nullptr)
    return make_error(ErrorCode::unsupported, "no variant of stage {} runs on {}", source.name,
                      scope_.target.name());
  result.variant = chosen->variant->name;
  result.config = chosen->config_text;
  return result;
}

Status BenchRun::predict_row(BenchRow* row) {
  auto predicted = [&](const std::vector<const Candidate*>& choices) {
    BenchTime time;
    time.us = choices.empty() ? 0 : predict_operation(context_, choices, row->tokens);
    time.low_us = time.high_us = time.us;
    if (!time.known()) time.why_not = "the template states no cost for it";
    return time;
  };
  std::vector<const Candidate*> chosen, defaults;
  for (size_t i = 0; i < spaces_.size(); ++i) {
    auto stage = stored_stage(i, row->bucket);
    if (!stage) return stage.error();
    chosen.push_back(find(i, stage->variant, stage->config));
    defaults.push_back(default_of(i, row->bucket));
    stage->predicted_us = predict_candidate(context_, *chosen.back(), row->tokens).total_us;
    row->stages.push_back(std::move(*stage));
  }
  row->is_default = chosen == defaults;
  row->time = predicted(chosen);
  const bool all = std::find(defaults.begin(), defaults.end(), nullptr) == defaults.end();
  row->by_default = predicted(all ? defaults : std::vector<const Candidate*>());
  row->reference = predicted(reference(row->bucket));
  return {};
}

Result<BenchRow> BenchRun::make_row(int64_t tokens) {
  BenchRow row;
  row.tokens = tokens;
  row.bucket = bucket_for(*scope_.tmpl, tokens);
  auto work = operation_work(context_, spaces_, tokens);
  if (!work) return work.error();
  row.work = std::move(*work);
  row.memory_us = row.work.memory_us(report_.ceilings);
  row.math_us = row.work.math_us(report_.ceilings);
  Status status = request_.context == nullptr ? predict_row(&row) : measure(&row);
  if (!status) return status.error().with_context(fmt::format("{} = {}", report_.bucket_scalar, tokens));
  return row;
}

Result<BenchReport> BenchRun::run() {
  if (scope_.tokens.empty()) return make_error(ErrorCode::internal, "bench: no sizes");
  if (Status s = enumerate(); !s) return s.error();
  if (Status s = describe(); !s) return s.error();
  if (request_.context != nullptr && !stopped()) {
    if (Status s = open(); !s) return s.error();
  }
  const auto total = static_cast<int64_t>(scope_.tokens.size());
  if (request_.context != nullptr) tell(kSizes, 0, total);
  for (int64_t tokens : scope_.tokens) {
    if (stopped()) {
      report_.cancelled = true;
      break;
    }
    auto row = make_row(tokens);
    if (!row) return row.error();
    report_.rows.push_back(std::move(*row));
    if (request_.context != nullptr) tell(kSizes, static_cast<int64_t>(report_.rows.size()), total);
  }
  return std::move(report_);
}

}  // namespace

std::vector<int64_t> bench_tokens(const Template& tmpl) {
  std::vector<int64_t> tokens;
  for (size_t i = 0; i < tmpl.buckets.size(); ++i) {
    if (i % 2 == 0 || i + 1 == tmpl.buckets.size()) tokens.push_back(tmpl.buckets[i]);
  }
  return tokens;
}

Result<BenchReport> bench(const BenchRequest& request) { return BenchRun(request).run(); }

}  // namespace rtjit
