#include "tuner/choices.h"

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

Result<Candidate> candidate_of(const SearchContext& context, const StageChoice& choice) {
  return make_candidate(context, *context.tmpl->find_stage(choice.stage),
                        *context.tmpl->find_variant(choice.stage, choice.variant), choice.config);
}

Result<std::vector<std::shared_ptr<const Binary>>> compile_choices(const SearchContext& context,
                                                                   const std::vector<StageChoice>& choices,
                                                                   BinarySource& binaries,
                                                                   const TuneLimits& limits,
                                                                   std::string* obstacle) {
  std::vector<std::shared_ptr<const Binary>> compiled;
  for (const StageChoice& choice : choices) {
    auto candidate = candidate_of(context, choice);
    if (!candidate) return candidate.error();
    if (!candidate->gate.ok()) {
      *obstacle = fmt::format("stage {}: {}", choice.stage, candidate->gate.reason);
      return compiled;
    }
    auto outcome = binaries.get(compile_request(context, *candidate, limits.compile_limit));
    if (!outcome) return outcome.error();
    if (!outcome->binary) {
      *obstacle = fmt::format("stage {}: {}", choice.stage, compile_gate(outcome->reject).reason);
      return compiled;
    }
    compiled.push_back(outcome->binary);
  }
  return compiled;
}

Result<std::shared_ptr<const Binary>> packing_binary(const SearchContext& context, BinarySource& binaries,
                                                     const TuneLimits& limits, const std::string& compiler) {
  auto pack = pack_compile_request(context, limits.compile_limit);
  if (!pack) return pack.error();
  if (!pack->has_value()) return std::shared_ptr<const Binary>();
  auto outcome = binaries.get(**pack, compiler);
  if (!outcome) return outcome.error();
  if (outcome->binary) return outcome->binary;
  return make_error(ErrorCode::compile_failed, "{}: the kernels that pack weights do not compile for {}: {}",
                    context.tmpl->name, context.target.name(), outcome->reject.reason);
}

}  // namespace rtjit
