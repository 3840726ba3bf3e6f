#include "tuner/judge.h"

#include "runtime/probe_kernel.h"
#include "tuner/choices.h"

namespace rtjit {

Result<std::shared_ptr<const Binary>> Judge::binary_of(const Candidate& c) {
  auto outcome = binaries_.get(compile_request(context_, c, request_.limits.compile_limit), c.compiler);
  if (!outcome) return outcome.error();
  if (outcome->binary) return outcome->binary;
  return make_error(ErrorCode::compile_failed, "stage {} {} {}: {}", c.stage->name, c.variant->name,
                    c.config_text, outcome->reject.reason);
}

Result<Chosen> Judge::oracle() const {
  auto choices = oracle_choices(context_, context_.tmpl->buckets.front());
  if (!choices) return choices.error();
  Chosen chosen;
  for (size_t stage = 0; stage < spaces_.size(); ++stage) {
    int index = spaces_[stage].find((*choices)[stage].variant, (*choices)[stage].config.canonical());
    // A stage without an oracle variant may have no default for that bucket among its candidates: any default
    // serves.
    if (index < 0 && !spaces_[stage].candidates.empty()) index = 0;
    chosen.push_back(index);
  }
  return chosen;
}

// The compiler that made what is known so far, "" where nothing is.
std::string Judge::compiler() const {
  for (const StageSpace& space : spaces_) {
    for (const Candidate& c : space.candidates) {
      if (c.feasible()) return c.compiler;
    }
  }
  return "";
}

Status Judge::begin_compiles() {
  const std::chrono::milliseconds limit = request_.limits.compile_limit;
  auto pack = pack_compile_request(context_, limit);
  if (!pack) return pack.error();
  if (pack->has_value()) {
    if (Status status = binaries_.begin(**pack, compiler()); !status) return status;
  }
  return request_.device ? binaries_.begin(probe_request(request_.target, limit), compiler()) : Status();
}

Result<PipelineSpec> Judge::pipeline_spec(const Chosen& chosen) {
  PipelineSpec spec;
  for (size_t stage = 0; stage < spaces_.size(); ++stage) {
    auto binary = binary_of(candidate(stage, chosen[stage]));
    if (!binary) return binary.error();
    spec.choices.push_back(choice_of(candidate(stage, chosen[stage])));
    spec.binaries.push_back(std::move(*binary));
  }
  return spec;
}

Status Judge::start_worker() {
  if (worker_) return {};
  if (request_.worker_command.empty()) {
    return make_error(ErrorCode::invalid_argument, "measuring needs a worker command; none was given");
  }
  const WorkerRun run{request_.worker_command, request_.template_folders, *request_.device,
                      request_.limits,         request_.cancel,           compiler()};
  auto setup = make_worker_setup(context_, binaries_, run);
  if (!setup) return setup.error();
  auto client = WorkerClient::create(std::move(*setup));
  if (!client) return client.error();
  worker_ = std::move(*client);
  return {};
}

Result<Measurer*> Judge::measurer() {
  if (has_oracle_) return worker_.get();
  if (Status status = start_worker(); !status) return status.error();
  auto chosen = oracle();
  if (!chosen) return chosen.error();
  for (size_t stage = 0; stage < spaces_.size(); ++stage) {
    const int index = (*chosen)[stage];
    if (index >= 0 && candidate(stage, index).feasible()) continue;
    return make_error(ErrorCode::unsupported, "stage {}: the oracle cannot run on {}: {}",
                      spaces_[stage].stage->name, request_.target.name(),
                      index < 0 ? "there is none" : candidate(stage, index).gate.reason);
  }
  auto spec = pipeline_spec(*chosen);
  if (!spec) return spec.error().with_context("the oracle");
  if (Status status = worker_->set_oracle(std::move(*spec)); !status) return status.error();
  has_oracle_ = true;
  return worker_.get();
}

Result<Judgement> Judge::judge(const Chosen& chosen, int64_t bucket) {
  if (!can_verify()) return Judgement();
  return request_.device ? judge_on_device(chosen, bucket) : judge_on_emulator(chosen);
}

Result<Judgement> Judge::judge_on_device(const Chosen& chosen, int64_t bucket) {
  auto worker = measurer();
  if (!worker) return worker.error();
  auto spec = pipeline_spec(chosen);
  if (!spec) return spec.error();
  auto outcome = (*worker)->verify(*spec, bucket);
  if (!outcome) return outcome.error();
  Judgement judgement;
  judgement.outcome = std::move(*outcome);
  judgement.rejected = judgement.outcome.verdict != Verdict::ok;
  judgement.verified = !judgement.rejected;
  judgement.verified_on = request_.device->name;
  return judgement;
}

Result<Judgement> Judge::judge_on_emulator(const Chosen& chosen) {
  if (!emulator_) {
    auto created = EmulatorCheck::create(context_, binaries_, request_.limits, request_.emulator);
    if (!created) {
      emulator_broken_ = true;
      warn_(fmt::format("winners are compiled, not verified: {}", created.error().message));
      return Judgement();
    }
    emulator_ = std::move(*created);
  }
  std::vector<StageChoice> choices;
  for (size_t stage = 0; stage < spaces_.size(); ++stage) {
    choices.push_back(choice_of(candidate(stage, chosen[stage])));
  }
  auto verdict = emulator_->check(choices);
  if (!verdict) return verdict.error().with_context("the emulator");
  Judgement judgement;
  judgement.outcome = verdict->outcome;
  judgement.rejected = verdict->checked && verdict->outcome.verdict != Verdict::ok;
  judgement.verified = verdict->checked && !judgement.rejected;
  judgement.verified_on = verdict->verified_on;
  return judgement;
}

}  // namespace rtjit
