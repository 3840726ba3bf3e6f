#include "tuner/pack_results.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "cache/contents.h"
#include "runtime/stage_options.h"
#include "tuner/choices.h"
#include "tuner/pack_check.h"
#include "tuner/verify.h"
#include "tuner/worker_setup.h"

namespace rtjit {
namespace {

// The key under which the worker knows a binary of the pack. The oracle's binary of the same config, compiled
// here, has the key that the pack's claims.
std::string key_in_worker(const std::string& key) { return "pack:" + key; }

// The winner of a stage in a bucket that an engine on a GPU of this model is served with: of the bucket
// nearest to it, where there is none for the bucket itself.
const WinnerRow* serving_winner(const std::vector<WinnerRow>& winners, const std::string& stage,
                                int64_t bucket, const std::string& sku) {
  const auto distance = [&](const WinnerRow& winner) {
    const auto [low, high] = std::minmax(std::max<int64_t>(winner.bucket, 1), std::max<int64_t>(bucket, 1));
    return std::pair(static_cast<double>(high) / static_cast<double>(low), winner.sku != sku);
  };
  const WinnerRow* best = nullptr;
  for (const WinnerRow& winner : winners) {
    if (winner.stage == stage && (best == nullptr || distance(winner) < distance(*best))) best = &winner;
  }
  return best;
}

struct ServedBucket {
  int64_t bucket = 0;
  std::vector<StageChoice> choices;
  double expected_us = 0;
  GateResult gate;  // not ok: the device refuses a winner
};

// All that is run for one problem of the pack.
class ProblemRun {
 public:
  ProblemRun(const Contents& contents, const PackedProblem& packed, std::shared_ptr<const Template> tmpl,
             Problem problem, const PackRun& run)
      : packed_(packed),
        run_(run),
        context_{std::move(tmpl), std::move(problem), run.device.target, run.device.facts(),
                 gpu_facts(run.device.target, run.device)},
        compiled_here_(nullptr, run.compiler) {
    for (const StoredBinary& binary : contents.binaries) stored_.emplace(binary.key, &binary);
    for (const WinnerRow& winner : contents.winners) {
      if (is_about(winner)) winners_.push_back(winner);
    }
    for (const TuningRow& row : contents.rows) {
      if (is_about(row.key) && !row.compiler.empty()) compilers_.insert(row.compiler);
    }
  }

  // What will be run; each pipeline once per bucket.
  Status plan();
  int64_t size() const {
    return static_cast<int64_t>(buckets_.size()) + (context_.tmpl->pack.empty() ? 0 : 1);
  }

  // `done`: after each result. An Error: what is left of this problem cannot be looked at.
  Status check(const std::function<void()>& done, std::vector<PackResult>* results);

 private:
  template <typename Key>
  bool is_about(const Key& key) const {
    return key.template_name == packed_.template_name && key.template_hash == packed_.template_hash &&
           key.problem == packed_.problem;
  }
  Result<ServedBucket> serve(int64_t bucket, const std::string& sku) const;
  Result<std::optional<StageChoice>> fallback(const Stage& stage, int64_t bucket) const;
  Result<std::unique_ptr<WorkerClient>> start_worker();
  Result<PipelineSpec> pipeline_of(const ServedBucket& served, std::vector<std::string>* not_in_pack);
  Result<std::shared_ptr<const Binary>> packed_binary(const std::vector<std::string>& keys) const;
  Status check_packing(WorkerClient& worker, std::vector<PackResult>* results);
  PackResult result_for(int64_t bucket) const;

  const PackedProblem packed_;
  const PackRun& run_;
  const SearchContext context_;
  BinarySource compiled_here_;
  std::map<std::string, const StoredBinary*> stored_;
  std::vector<WinnerRow> winners_;
  std::set<std::string> compilers_;
  std::vector<ServedBucket> buckets_;
};

Status ProblemRun::plan() {
  std::set<std::pair<int64_t, std::string>> asked;
  for (const WinnerRow& winner : winners_) asked.emplace(winner.bucket, winner.sku);
  std::set<std::pair<int64_t, std::string>> seen;
  for (const auto& [bucket, sku] : asked) {
    auto served = serve(bucket, sku);
    if (!served) return served.error();
    if (seen.emplace(bucket, choices_text(served->choices)).second) buckets_.push_back(std::move(*served));
  }
  return {};
}

Result<ServedBucket> ProblemRun::serve(int64_t bucket, const std::string& sku) const {
  ServedBucket served;
  served.bucket = bucket;
  for (const Stage& stage : context_.tmpl->stages) {
    const WinnerRow* winner = stage.tuned ? serving_winner(winners_, stage.name, bucket, sku) : nullptr;
    if (winner == nullptr) {
      auto choice = fallback(stage, bucket);
      if (!choice) return choice.error();
      if (!*choice)
        return make_error(ErrorCode::unsupported, "stage {}: nothing runs on {}", stage.name,
                          run_.device.name);
      served.choices.push_back(std::move(**choice));
      continue;
    }
    const Variant* variant = context_.tmpl->find_variant(stage.name, winner->variant);
    if (variant == nullptr)
      return make_error(ErrorCode::corrupt, "stage {} has no variant {}", stage.name, winner->variant);
    auto given = parse_key_values(winner->config);
    if (!given) return given.error();
    auto config = make_config(*variant, *given);
    if (!config) return config.error();
    auto candidate = make_candidate(context_, stage, *variant, *config);
    if (!candidate) return candidate.error();
    if (!candidate->gate.ok() && served.gate.ok()) {
      served.gate = candidate->gate;
      served.gate.reason = fmt::format("stage {}: {}", stage.name, served.gate.reason);
    }
    served.expected_us += winner->time_us;
    served.choices.push_back(choice_of(*candidate));
  }
  return served;
}

// What an engine falls back on: the stage's first default that this device can run.
Result<std::optional<StageChoice>> ProblemRun::fallback(const Stage& stage, int64_t bucket) const {
  const StageSetting setting{*context_.tmpl, context_.problem, context_.target, context_.gpu.limits,
                             context_.facts};
  StageOptions options(setting, stage, bucket, std::nullopt, /*only_first=*/false);
  while (true) {
    auto option = options.next();
    if (!option) return option.error();
    if (!*option) return std::optional<StageChoice>();
    VariantFacts facts;
    auto reason = why_not(setting, stage, **option, &facts);
    if (!reason) return reason.error();
    if (reason->empty())
      return std::optional<StageChoice>(StageChoice{stage.name, (*option)->variant->name, (*option)->config});
  }
}

// The first of these binaries that the pack holds, or null.
Result<std::shared_ptr<const Binary>> ProblemRun::packed_binary(const std::vector<std::string>& keys) const {
  for (const std::string& key : keys) {
    const auto found = stored_.find(key);
    if (found == stored_.end()) continue;
    auto binary = decode_binary(*found->second);
    if (!binary) return binary.error();
    if (run_.device.emulated && binary->ptx.empty()) {
      return make_error(ErrorCode::unsupported,
                        "the emulator runs PTX, and the pack has none; rtjit pack --with-ptx keeps it");
    }
    binary->key = key_in_worker(key);
    return std::make_shared<const Binary>(std::move(*binary));
  }
  return std::shared_ptr<const Binary>();
}

Result<PipelineSpec> ProblemRun::pipeline_of(const ServedBucket& served,
                                             std::vector<std::string>* not_in_pack) {
  PipelineSpec spec;
  spec.expected_us = served.expected_us;
  for (const StageChoice& choice : served.choices) {
    auto candidate = candidate_of(context_, choice);
    if (!candidate) return candidate.error();
    const CompileRequest request = compile_request(context_, *candidate, run_.limits.compile_limit);
    std::vector<std::string> keys;
    for (const std::string& compiler : compilers_) keys.push_back(binary_key(request, compiler));
    auto binary = packed_binary(keys);
    if (!binary) return binary.error();
    if (*binary == nullptr) {
      not_in_pack->push_back(choice.stage);
      auto outcome = compiled_here_.get(request);
      if (!outcome) return outcome.error();
      if (!outcome->binary)
        return make_error(ErrorCode::compile_failed, "stage {} is not in the pack and does not compile: {}",
                          choice.stage, outcome->reject.reason);
      *binary = outcome->binary;
    }
    spec.choices.push_back(choice);
    spec.binaries.push_back(std::move(*binary));
  }
  return spec;
}

Result<std::unique_ptr<WorkerClient>> ProblemRun::start_worker() {
  const WorkerRun worker{run_.worker_command, run_.template_folders, run_.device,
                         run_.limits,         run_.cancel,           ""};
  auto setup = make_worker_setup(context_, compiled_here_, worker);
  if (!setup) return setup.error();
  setup->oracle_limit = run_.oracle_limit;
  std::string obstacle;
  auto compiled = compile_choices(context_, setup->oracle.choices, compiled_here_, run_.limits, &obstacle);
  if (!compiled) return compiled.error().with_context("the oracle");
  if (!obstacle.empty()) return make_error(ErrorCode::unsupported, "the oracle: {}", obstacle);
  setup->oracle.binaries = std::move(*compiled);
  return WorkerClient::create(std::move(*setup));
}

PackResult ProblemRun::result_for(int64_t bucket) const {
  PackResult result;
  result.template_name = packed_.template_name;
  result.problem = packed_.problem;
  result.label = packed_.label;
  result.bucket = bucket;
  if (bucket == 0) return result;
  const VerifySpec limits = verify_spec(*context_.tmpl, context_.problem, context_.facts);
  result.rel_l2_limit = limits.max_rel_l2;
  result.max_err_limit = limits.max_err_per_rms;
  return result;
}

Status ProblemRun::check_packing(WorkerClient& worker, std::vector<PackResult>* results) {
  auto keys = packing_binary_keys(context_.tmpl, packed_.problem, context_.target,
                                  {compilers_.begin(), compilers_.end()});
  if (!keys) return keys.error();
  auto binary = packed_binary(*keys);
  if (!binary) return binary.error();
  PackResult result = result_for(0);
  if (*binary == nullptr) {
    return make_error(ErrorCode::not_found, "the kernels that pack weights are not in the pack");
  }
  auto outcome = worker.verify_packing(*binary);
  if (!outcome) return outcome.error().with_context("packing weights");
  result.outcome = std::move(*outcome);
  results->push_back(std::move(result));
  return {};
}

Status ProblemRun::check(const std::function<void()>& done, std::vector<PackResult>* results) {
  auto worker = start_worker();
  if (!worker) return worker.error();
  if (!context_.tmpl->pack.empty()) {
    if (Status status = check_packing(**worker, results); !status) return status;
    done();
  }
  for (const ServedBucket& served : buckets_) {
    PackResult result = result_for(served.bucket);
    result.pipeline = choices_text(served.choices);
    if (served.gate.ok()) {
      auto spec = pipeline_of(served, &result.not_in_pack);
      if (!spec) return spec.error();
      auto outcome = (*worker)->verify(*spec, served.bucket);
      if (!outcome) return outcome.error();
      result.outcome = std::move(*outcome);
    } else {
      result.outcome.verdict = served.gate.verdict;
      result.outcome.reason = served.gate.reason;
    }
    results->push_back(std::move(result));
    done();
  }
  return {};
}

// Those that the contents have winners for, labelled as the manifest does.
std::vector<PackedProblem> problems_of(const Contents& contents, const PackManifest& manifest) {
  std::map<std::pair<std::string, std::string>, PackedProblem> problems;
  for (const WinnerRow& winner : contents.winners) {
    problems.try_emplace({winner.template_name, winner.problem},
                         PackedProblem{winner.template_name, winner.template_hash, winner.problem});
  }
  std::vector<PackedProblem> list;
  for (auto& [key, problem] : problems) {
    for (const PackedProblem& known : manifest.problems) {
      if (known.template_name == problem.template_name && known.problem == problem.problem)
        problem.label = known.label;
    }
    list.push_back(std::move(problem));
  }
  return list;
}

Result<Problem> parse_problem(const Template& tmpl, const std::string& text) {
  auto given = parse_key_values(text);
  if (!given) return given.error();
  return make_problem(tmpl, *given);
}

}  // namespace

Result<PackResults> check_pack_results(const std::string& path, const PackManifest& manifest,
                                       const TemplateRegistry& registry, const PackRun& run) {
  // What is run is what the manifest, and with it a signature, is about: read once, compared, and then only
  // from memory.
  auto contents = read_pack_contents(path, manifest);
  if (!contents) return contents.error();
  PackResults found;
  std::vector<std::unique_ptr<ProblemRun>> runs;
  std::vector<std::string> names;
  const auto leave_out = [&](const std::string& name, const Error& why) {
    found.not_checked.push_back(fmt::format("{}: {}", name, why.message));
  };
  int64_t total = 0, done = 0;
  for (const PackedProblem& packed : problems_of(*contents, manifest)) {
    const std::string name =
        fmt::format("{} {}", packed.template_name, packed.label.empty() ? packed.problem : packed.label);
    auto tmpl = registry.find(packed.template_name);
    if (!tmpl || (*tmpl)->content_hash != packed.template_hash) continue;
    auto problem = parse_problem(**tmpl, packed.problem);
    if (!problem) {
      leave_out(name, problem.error());
      continue;
    }
    auto planned = std::make_unique<ProblemRun>(*contents, packed, *tmpl, std::move(*problem), run);
    if (Status status = planned->plan(); !status) {
      leave_out(name, status.error());
      continue;
    }
    total += planned->size();
    runs.push_back(std::move(planned));
    names.push_back(name);
  }
  const auto tell = [&] {
    if (run.progress) run.progress(done, total);
  };
  tell();
  for (size_t i = 0; i < runs.size(); ++i) {
    const int64_t before = done;
    Status status = runs[i]->check([&] { ++done, tell(); }, &found.results);
    if (!status && status.error().code == ErrorCode::cancelled) return status.error();
    if (!status) leave_out(names[i], status.error());
    done = before + runs[i]->size();
  }
  tell();
  return found;
}

}  // namespace rtjit
