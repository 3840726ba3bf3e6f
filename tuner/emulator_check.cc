#include "tuner/emulator_check.h"

#include "base/text.h"
#include "tuner/choices.h"

namespace rtjit {

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
  auto compiled = compile_choices(check->small_, *choices, binaries, limits, &obstacle);
  if (!compiled) return compiled.error();
  if (!obstacle.empty()) return make_error(ErrorCode::unsupported, "the oracle: {}", obstacle);

  auto pack_binary = packing_binary(check->small_, binaries, limits);
  if (!pack_binary) return pack_binary.error();
  auto bench = Workbench::create(*check->device_, context.tmpl, check->small_.problem, context.facts,
                                 std::move(*pack_binary), *choices);
  if (!bench) return bench.error();
  check->bench_ = std::move(*bench);
  auto oracle = check->bench_->pipeline(*choices, *compiled);
  if (!oracle) return oracle.error();
  check->oracle_ = std::move(*oracle);
  check->verifier_ = std::make_unique<Verifier>(*check->bench_, *check->oracle_);
  return check;
}

Result<EmulatorVerdict> EmulatorCheck::check(const std::vector<StageChoice>& choices) {
  std::string name = choices_text(choices);
  if (auto found = known_.find(name); found != known_.end()) return found->second;
  EmulatorVerdict verdict;
  std::string obstacle;
  auto compiled = compile_choices(small_, choices, binaries_, limits_, &obstacle);
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
