#include "tuner/emulator_check.h"

namespace rtjit {

Result<std::vector<StageChoice>> oracle_choices(const SearchContext& context, int64_t bucket) {
  std::vector<StageChoice> choices;
  for (const Stage& stage : context.tmpl->stages) {
    const Variant* chosen = &stage.variants.back();
    for (const Variant& variant : stage.variants) {
      if (variant.oracle) chosen = &variant;
    }
    if (chosen->oracle) {
      auto given = parse_key_values(chosen->oracle_config);
      if (!given) return given.error();
      auto config = make_config(*chosen, *given);
      if (!config) return config.error();
      choices.push_back({stage.name, chosen->name, std::move(*config)});
    } else {
      auto config = default_config(*context.tmpl, stage, *chosen, context.problem, bucket, context.facts);
      if (!config) return config.error();
      choices.push_back({stage.name, chosen->name, std::move(config->value())});
    }
  }
  return choices;
}

std::string choices_text(const std::vector<StageChoice>& choices) {
  std::string text;
  for (const StageChoice& choice : choices) {
    if (!text.empty()) text += ';';
    text += choice.stage + '=' + choice.variant + ':' + choice.config.canonical();
  }
  return text;
}

EmulatorCheck::~EmulatorCheck() = default;

Result<std::unique_ptr<EmulatorCheck>> EmulatorCheck::create(const SearchContext& context,
                                                             BinarySource& binaries, const TuneLimits& limits,
                                                             const EmulatorFactory& factory) {
  std::unique_ptr<EmulatorCheck> check(new EmulatorCheck(binaries, limits));
  check->small_ = context;
  auto small = small_problem(*context.tmpl, context.problem);
  if (!small) return small.error();
  check->small_.problem = std::move(*small);

  std::string difference = problem_difference(context.problem, check->small_.problem);
  std::vector<std::string> sizes;
  for (int64_t size : limits.emulator_tokens) sizes.push_back(std::to_string(size));
  check->verified_on_ = fmt::format("emulator{}{}, {} {}", difference.empty() ? "" : ", ", difference,
                                    context.tmpl->bucket_scalar, join(sizes, " "));
  check->cases_ = emulator_cases(limits.emulator_tokens);

  auto device = factory(context.target);
  if (!device) return device.error();
  check->device_ = std::move(*device);

  int64_t bucket =
      bucket_for(*context.tmpl, limits.emulator_tokens.empty() ? 1 : limits.emulator_tokens.front());
  auto choices = oracle_choices(check->small_, bucket);
  if (!choices) return choices.error();
  std::string obstacle;
  auto compiled = check->compile(*choices, &obstacle);
  if (!compiled) return compiled.error();
  if (!obstacle.empty()) return make_error(ErrorCode::unsupported, "the oracle: {}", obstacle);

  std::shared_ptr<const Binary> pack_binary;
  auto pack = pack_compile_request(check->small_, limits.compile_limit);
  if (!pack) return pack.error();
  if (pack->has_value()) {
    auto outcome = binaries.get(**pack);
    if (!outcome) return outcome.error();
    if (!outcome->binary) {
      return make_error(ErrorCode::compile_failed, "weight packing: {}", outcome->reject.reason);
    }
    pack_binary = outcome->binary;
  }
  auto bench = Workbench::create(*check->device_, context.tmpl, check->small_.problem, context.facts,
                                 std::move(pack_binary), *choices);
  if (!bench) return bench.error();
  check->bench_ = std::move(*bench);
  auto oracle = check->bench_->pipeline(*choices, *compiled);
  if (!oracle) return oracle.error();
  check->oracle_ = std::move(*oracle);
  check->verifier_ = std::make_unique<Verifier>(*check->bench_, *check->oracle_);
  return check;
}

Result<std::vector<std::shared_ptr<const Binary>>> EmulatorCheck::compile(
    const std::vector<StageChoice>& choices, std::string* obstacle) {
  std::vector<std::shared_ptr<const Binary>> compiled;
  for (const StageChoice& choice : choices) {
    Candidate candidate;
    candidate.stage = small_.tmpl->find_stage(choice.stage);
    candidate.variant = small_.tmpl->find_variant(choice.stage, choice.variant);
    candidate.config = choice.config;
    auto facts = evaluate_variant(*small_.tmpl, *candidate.stage, *candidate.variant, choice.config,
                                  small_.problem, small_.facts);
    if (!facts) return facts.error();
    candidate.facts = std::move(*facts);
    auto gate = static_gate(*candidate.variant, candidate.facts, small_.target, small_.gpu.limits);
    if (!gate) return gate.error();
    if (!gate->ok()) {
      *obstacle = fmt::format("stage {}: {}", choice.stage, gate->reason);
      return compiled;
    }
    auto outcome = binaries_.get(compile_request(small_, candidate, limits_.compile_limit));
    if (!outcome) return outcome.error();
    if (!outcome->binary) {
      *obstacle = fmt::format("stage {}: {}", choice.stage, compile_gate(outcome->reject).reason);
      return compiled;
    }
    compiled.push_back(outcome->binary);
  }
  return compiled;
}

Result<EmulatorVerdict> EmulatorCheck::check(const std::vector<StageChoice>& choices) {
  std::string name = choices_text(choices);
  if (auto found = known_.find(name); found != known_.end()) return found->second;
  EmulatorVerdict verdict;
  std::string obstacle;
  auto compiled = compile(choices, &obstacle);
  if (!compiled) return compiled.error();
  if (!obstacle.empty()) {
    verdict.outcome.reason =
        "not checked: the problem scaled down for the emulator does not fit it: " + obstacle;
    return known_[name] = verdict;
  }
  auto pipeline = bench_->pipeline(choices, *compiled);
  Result<VerifyOutcome> outcome = pipeline ? verifier_->verify(**pipeline, cases_, /*repeats=*/2)
                                           : Result<VerifyOutcome>(pipeline.error());
  if (outcome) {
    verdict.checked = true;
    verdict.outcome = std::move(*outcome);
    verdict.verified_on = verified_on_;
  } else if (!pipeline || verifier_->candidate_running()) {
    const Error& error = outcome.error();
    (void)device_->synchronize(nullptr);  // repeats a launch's fault once: not to the next config
    bool fault = error.code == ErrorCode::device_fault, hang = error.code == ErrorCode::timeout;
    verdict.checked = fault || hang;
    verdict.verified_on = verdict.checked ? verified_on_ : "";
    verdict.outcome.verdict = fault ? Verdict::fault : hang ? Verdict::hang : Verdict::ok;
    verdict.outcome.reason = fmt::format("{}: {}",
                                         fault  ? "fault"
                                         : hang ? "hang"
                                                : "not checked",
                                         error.message);
  } else {
    return outcome.error();
  }
  return known_[name] = verdict;
}

}  // namespace rtjit
