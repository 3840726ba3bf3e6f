#include "runtime/resolve.h"

#include <algorithm>

#include "base/text.h"
#include "cache/lookup.h"
#include "runtime/miss_tune.h"

namespace rtjit {
namespace {

// One stage of one bucket on its way to a binary.
struct Slot {
  int64_t bucket = 0;
  const Stage* stage = nullptr;
  std::optional<StageOptions> options;
  BinaryJob job;  // the option that is being tried
  std::shared_ptr<const Binary> binary;
  std::vector<std::string> rejected;  // "mma block_m=64: it needs ..."
  bool missed = false;                // ResolvedBucket::missed
};

class Resolution {
 public:
  Resolution(Context& context, const ResolveRequest& request, BinaryProvider* binaries, ModuleCache* modules,
             std::vector<std::shared_ptr<Module>>* loaded)
      : context_(context),
        request_(request),
        binaries_(*binaries),
        modules_(*modules),
        loaded_(*loaded),
        info_(context.device().info()),
        setting_{*request.tmpl, *request.problem, info_.target, info_.limits, info_.facts()} {}

  Result<std::vector<ResolvedBucket>> run();

 private:
  Status make_slots();
  Result<std::optional<Found>> look_up(const Stage& stage, int64_t bucket) const;
  Result<std::optional<StageOption>> stored_option(const Stage& stage, int64_t bucket, bool* hit) const;
  const StageOverride* find_override(const Stage& stage) const;
  Status tune_misses();
  Status choose(Slot* slot);
  Status load(Slot* slot);
  void reject(Slot* slot, const std::string& reason);
  std::string name_of(const StageOption& option) const {
    std::string config = option.config.canonical();
    return config.empty() ? option.variant->name : fmt::format("{} {}", option.variant->name, config);
  }

  Context& context_;
  const ResolveRequest& request_;
  BinaryProvider& binaries_;
  ModuleCache& modules_;
  std::vector<std::shared_ptr<Module>>& loaded_;
  const DeviceInfo& info_;
  StageSetting setting_;
  std::vector<Slot> slots_;
};

const StageOverride* Resolution::find_override(const Stage& stage) const {
  for (const StageOverride& override : request_.overrides) {
    if (override.stage == stage.name) return &override;
  }
  return nullptr;
}

Result<std::optional<Found>> Resolution::look_up(const Stage& stage, int64_t bucket) const {
  return lookup_winner(binaries_.stored(), make_lookup(*request_.tmpl, *request_.problem, stage, bucket,
                                                       info_.target.name(), info_.sku_fingerprint()));
}

// The cache's answer. `hit`: it was measured on this device model for this very bucket.
Result<std::optional<StageOption>> Resolution::stored_option(const Stage& stage, int64_t bucket,
                                                             bool* hit) const {
  *hit = false;
  auto found = look_up(stage, bucket);
  if (!found) return found.error();
  if (!*found) return std::optional<StageOption>();
  const WinnerRow& winner = (*found)->winner;
  const Variant* variant = request_.tmpl->find_variant(stage.name, winner.variant);
  auto given = parse_key_values(winner.config);
  if (variant == nullptr || !given) return std::optional<StageOption>();
  auto config = make_config(*variant, *given);
  if (!config) return std::optional<StageOption>();  // not of this manifest; the hash should have kept it out
  *hit = (*found)->provenance == Provenance::measured_here && winner.bucket == std::max<int64_t>(bucket, 1);
  std::string origin = (*found)->sentence;
  if (winner.time_us > 0) origin += fmt::format(", {:.1f} us", winner.time_us);
  return std::optional<StageOption>(
      StageOption{variant, std::move(*config), std::move(origin), (*found)->provenance});
}

Status Resolution::tune_misses() {
  std::vector<int64_t> missing;
  for (int64_t bucket : request_.buckets) {
    for (const Stage& stage : request_.tmpl->stages) {
      bool hit = false;
      if (!stage.tuned || find_override(stage) != nullptr) continue;
      if (auto option = stored_option(stage, bucket, &hit); !option) return option.error();
      if (!hit && (missing.empty() || missing.back() != bucket)) missing.push_back(bucket);
    }
  }
  if (missing.empty()) return {};
  Status tuned = tune_on_miss(context_, *request_.tmpl, *request_.problem, missing);
  binaries_.stored().forget();
  if (!tuned) {
    // A kernel that is slower than it could be is better than none.
    context_.log(LogLevel::warning, fmt::format("{}: tuning failed, the nearest known configs are used: {}",
                                                request_.tmpl->name, tuned.error().message));
  }
  return {};
}

Status Resolution::make_slots() {
  if (request_.miss_policy == MissPolicy::tune) {
    if (Status status = tune_misses(); !status) return status;
  }
  for (int64_t bucket : request_.buckets) {
    for (const Stage& stage : request_.tmpl->stages) {
      Slot& slot = slots_.emplace_back();
      slot.bucket = bucket;
      slot.stage = &stage;
      std::optional<StageOption> first;
      const StageOverride* override = find_override(stage);
      if (override != nullptr) {
        const Variant* variant = request_.tmpl->find_variant(stage.name, override->variant);
        auto given = parse_key_values(override->config);
        if (!given) return given.error();
        auto config = make_config(*variant, *given);
        if (!config) return config.error();
        first = StageOption{variant, std::move(*config), "as given"};
      } else if (stage.tuned && request_.miss_policy != MissPolicy::use_default) {
        bool hit = false;
        auto stored = stored_option(stage, bucket, &hit);
        if (!stored) return stored.error();
        if (request_.miss_policy == MissPolicy::fail && !hit) {
          return make_error(
              ErrorCode::not_found,
              "{}: stage {} has no winner that was measured on this device model for {} = {}; run "
              "`rtjit tune {} --problem {}`, or open with another miss policy",
              request_.tmpl->name, stage.name, request_.tmpl->bucket_scalar, bucket, request_.tmpl->name,
              request_.problem->canonical());
        }
        first = std::move(*stored);
        slot.missed = !hit;
      }
      slot.options.emplace(setting_, stage, bucket, std::move(first), override != nullptr);
    }
  }
  return {};
}

void Resolution::reject(Slot* slot, const std::string& reason) {
  slot->rejected.push_back(fmt::format("{}: {}", name_of(slot->job.option), reason));
  context_.log(LogLevel::info, fmt::format("{} {} for bucket {}: passing over {}", request_.tmpl->name,
                                           slot->stage->name, slot->bucket, slot->rejected.back()));
}

// Moves on to the next option that nothing known speaks against.
Status Resolution::choose(Slot* slot) {
  while (true) {
    auto option = slot->options->next();
    if (!option) return option.error();
    if (!*option) {
      return make_error(ErrorCode::unsupported, "{}: stage {} cannot run on {} for bucket {}:\n  {}",
                        request_.tmpl->name, slot->stage->name, info_.name, slot->bucket,
                        join(slot->rejected, "\n  "));
    }
    slot->job.stage = slot->stage;
    slot->job.option = std::move(**option);
    auto reason = why_not(setting_, *slot->stage, slot->job.option, &slot->job.facts);
    if (reason && reason->empty())
      reason = binaries_.known_failure(*slot->stage, slot->job.option, slot->bucket);
    if (!reason) return reason.error();
    if (reason->empty()) return {};
    reject(slot, *reason);
  }
}

// Loads the slot's binary; a device that refuses it rejects the option.
Status Resolution::load(Slot* slot) {
  std::string reason = why_not(setting_, slot->job.facts, *slot->binary);
  if (reason.empty()) {
    auto module = modules_.load(context_.device(), slot->binary);
    if (module) {
      loaded_.push_back(*module);
      for (const Binary::Kernel& named : slot->binary->kernels) {
        auto kernel = (*module)->kernel(named.symbol);
        if (!kernel) return kernel.error();
        Status prepared = context_.device().prepare(**kernel, slot->job.facts.smem);
        if (!prepared && reason.empty()) reason = prepared.error().message;
      }
    } else if (module.error().code == ErrorCode::unsupported) {
      reason = module.error().message;
    } else {
      return module.error();
    }
  }
  if (reason.empty()) return {};
  slot->binary = nullptr;
  reject(slot, reason);
  return {};
}

Result<std::vector<ResolvedBucket>> Resolution::run() {
  if (Status status = make_slots(); !status) return status.error();
  std::vector<Slot*> pending;
  for (Slot& slot : slots_) pending.push_back(&slot);
  while (!pending.empty()) {
    // Each round compiles what all undecided slots want next, each config once, in parallel.
    std::vector<BinaryJob> jobs;
    std::map<std::string, size_t> job_of;
    std::vector<size_t> wanted;
    for (Slot* slot : pending) {
      if (Status status = choose(slot); !status) return status.error();
      auto [entry, is_new] =
          job_of.try_emplace(fmt::format("{}|{}", slot->stage->name, name_of(slot->job.option)), jobs.size());
      if (is_new) jobs.push_back(slot->job);
      wanted.push_back(entry->second);
    }
    auto answers = binaries_.get(jobs);
    if (!answers) return answers.error();
    std::vector<Slot*> undecided;
    for (size_t i = 0; i < pending.size(); ++i) {
      const BinaryAnswer& answer = (*answers)[wanted[i]];
      pending[i]->binary = answer.binary;
      if (answer.binary == nullptr) {
        reject(pending[i], answer.refused);
      } else if (Status status = load(pending[i]); !status) {
        return status.error();
      }
      if (pending[i]->binary == nullptr) undecided.push_back(pending[i]);
    }
    pending = std::move(undecided);
  }
  std::vector<ResolvedBucket> result;
  for (Slot& slot : slots_) {
    if (result.empty() || result.back().bucket != slot.bucket) result.push_back({slot.bucket, {}, false});
    result.back().missed = result.back().missed || slot.missed;
    StageOption& option = slot.job.option;
    ResolvedStage& stage = result.back().stages.emplace_back();
    stage.choice = {slot.stage->name, option.variant->name, std::move(option.config)};
    stage.origin = std::move(option.origin);
    stage.provenance = option.provenance;
    stage.binary = std::move(slot.binary);
  }
  return result;
}

}  // namespace

std::string ResolvedBucket::provenance() const {
  std::string text;
  for (const ResolvedStage& stage : stages) {
    std::string config = stage.choice.config.canonical();
    text += fmt::format("{}{}: {}{}{} ({})", text.empty() ? "" : "; ", stage.choice.stage,
                        stage.choice.variant, config.empty() ? "" : " ", config, stage.origin);
  }
  return text;
}

Result<StageOverride> parse_stage_override(const Template& tmpl, std::string_view text) {
  size_t equals = text.find('='), colon = text.find(':');
  StageOverride result;
  if (equals == std::string_view::npos || (colon != std::string_view::npos && colon < equals)) {
    return make_error(ErrorCode::invalid_argument, "config \"{}\": expected stage=variant:key=value,...",
                      text);
  }
  result.stage = std::string(trim(text.substr(0, equals)));
  size_t variant_end = colon == std::string_view::npos ? text.size() : colon;
  result.variant = std::string(trim(text.substr(equals + 1, variant_end - equals - 1)));
  if (colon != std::string_view::npos) result.config = std::string(trim(text.substr(colon + 1)));
  const Stage* stage = tmpl.find_stage(result.stage);
  if (stage == nullptr) {
    std::vector<std::string> names;
    for (const Stage& known : tmpl.stages) names.push_back(known.name);
    return make_error(ErrorCode::invalid_argument, "config \"{}\": {} has no stage {}, its stages are {}",
                      text, tmpl.name, result.stage, join(names, ", "));
  }
  const Variant* variant = tmpl.find_variant(result.stage, result.variant);
  if (variant == nullptr) {
    std::vector<std::string> names;
    for (const Variant& known : stage->variants) names.push_back(known.name);
    return make_error(ErrorCode::invalid_argument,
                      "config \"{}\": stage {} has no variant {}, its variants are {}", text, result.stage,
                      result.variant, join(names, ", "));
  }
  auto given = parse_key_values(result.config);
  if (!given) return given.error().with_context(fmt::format("config \"{}\"", text));
  if (auto config = make_config(*variant, *given); !config) {
    return config.error().with_context(fmt::format("config \"{}\"", text));
  }
  return result;
}

Result<std::vector<ResolvedBucket>> resolve(Context& context, const ResolveRequest& request,
                                            BinaryProvider* binaries, ModuleCache* modules,
                                            std::vector<std::shared_ptr<Module>>* loaded) {
  return Resolution(context, request, binaries, modules, loaded).run();
}

}  // namespace rtjit
