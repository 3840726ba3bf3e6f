// rtjit check: runs configs on the emulator and compares their results with the oracle. Needs no GPU.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/rtjit/command.h"
#include "tools/rtjit/config_json.h"
#include "tools/rtjit/progress.h"
#include "tools/rtjit/scope_options.h"
#include "tools/rtjit/table.h"
#include "tuner/choices.h"
#include "tuner/emulator_check.h"
#include "tuner/verify.h"

namespace rtjit {
namespace {

struct CheckOptions {
  ScopeOptions scope;
  int spread = 4;
  bool full_size = false;
};

struct Checked {
  std::string stage, variant, config;
  EmulatorVerdict result;
};

// The candidates to run: all that match --config, else the stored winners of the scope's buckets and an even
// spread.
std::vector<const Candidate*> choose(const ScopeContext& context, const StageSpace& space,
                                     const std::vector<WinnerRow>& winners, int spread) {
  std::vector<const Candidate*> feasible, chosen;
  for (const Candidate& candidate : space.candidates) {
    const bool wanted =
        context.scope.filter.matches(space.stage->name, candidate.variant->name, candidate.config);
    if (candidate.gate.ok() && wanted) feasible.push_back(&candidate);
  }
  if (!context.scope.filter.empty()) return feasible;
  for (const WinnerRow& winner : winners) {
    for (const Candidate* candidate : feasible) {
      const bool is_winner = winner.stage == space.stage->name &&
                             winner.variant == candidate->variant->name &&
                             winner.config == candidate->config_text;
      if (is_winner && std::find(chosen.begin(), chosen.end(), candidate) == chosen.end())
        chosen.push_back(candidate);
    }
  }
  const size_t count = feasible.size();
  for (int i = 0; i < spread && count > 0; i++) {
    const Candidate* candidate =
        feasible[spread == 1 ? 0 : static_cast<size_t>(i) * (count - 1) / static_cast<size_t>(spread - 1)];
    if (std::find(chosen.begin(), chosen.end(), candidate) == chosen.end()) chosen.push_back(candidate);
  }
  return chosen;
}

void print(const std::vector<Checked>& results, const Template& tmpl, const VerifySpec& limits,
           const Target& target) {
  Table table({{"stage"},
               {"variant"},
               {"config"},
               {"verdict"},
               {"compared", Table::Align::right},
               {"differ", Table::Align::right},
               {"relative error", Table::Align::right},
               {"largest error", Table::Align::right},
               {"reason"}});
  for (const Checked& checked : results) {
    const VerifyOutcome& outcome = checked.result.outcome;
    // An error of nothing is not an error of zero.
    auto error = [&](double value) { return outcome.compared > 0 ? fmt::format("{:.2e}", value) : "-"; };
    table.add({checked.stage, checked.variant, checked.config,
               checked.result.checked ? to_string(outcome.verdict) : "unchecked",
               fmt::to_string(outcome.compared), fmt::to_string(outcome.different), error(outcome.rel_l2),
               error(outcome.max_err), outcome.reason});
  }
  fmt::print("{} on the emulator as {} (limits {:.1e} and {:.1e})\n", tmpl.name, target.name(),
             limits.max_rel_l2, limits.max_err_per_rms);
  if (!results.empty()) fmt::print("{}\n", results.front().result.verified_on);
  fmt::print("\n{}", table.render());
}

int run(const CheckOptions& options) {
  auto context = open_scope(options.scope);
  if (!context) return fail(context.error());
  ProblemScope& scope = context->scope;
  if (options.full_size) {
    auto unscaled = std::make_shared<Template>(*scope.tmpl);
    unscaled->verify.small.clear();
    scope.tmpl = std::move(unscaled);
  }
  const SearchContext search{scope.tmpl, scope.problem, scope.target, scope.facts,
                             gpu_facts(scope.target, scope.device)};
  BinarySource binaries(context->store.get(), compile_pool_factory());
  TuneLimits limits;
  if (!scope.tokens.empty()) limits.emulator_tokens = scope.tokens;
  auto check = EmulatorCheck::create(search, binaries, limits, emulator_factory());
  if (!check) return fail(check.error());
  WinnerRow pattern;
  pattern.template_name = scope.tmpl->name;
  pattern.template_hash = scope.tmpl->content_hash;
  pattern.problem = scope.problem.canonical();
  pattern.target = scope.target.name();
  pattern.bucket = -1;
  auto winners = context->store->winners(pattern);
  if (!winners) return fail(winners.error());

  std::vector<StageSpace> spaces;
  std::vector<std::pair<size_t, const Candidate*>> work;
  spaces.reserve(scope.tmpl->stages.size());
  for (const Stage& stage : scope.tmpl->stages) {
    if (!stage.tuned) continue;
    auto space = make_stage_space(search, stage, scope.buckets);
    if (!space) return fail(space.error());
    spaces.push_back(std::move(*space));
    const size_t index = static_cast<size_t>(&stage - scope.tmpl->stages.data());
    for (const Candidate* candidate : choose(*context, spaces.back(), *winners, options.spread)) {
      work.emplace_back(index, candidate);
    }
  }
  if (work.empty()) {
    return fail(make_error(ErrorCode::not_found,
                           "no config of {} that matches --config is feasible on {}; rtjit explain says why",
                           scope.tmpl->name, scope.target.name()));
  }
  auto oracle = oracle_choices(search, scope.buckets.front());
  if (!oracle) return fail(oracle.error());
  Progress progress(options.scope.json);
  const auto total = static_cast<int64_t>(work.size());
  progress.begin("checking configs", total);
  std::vector<Checked> results;
  bool all_right = true;
  const std::atomic<bool>* cancel = install_cancel_handler();
  for (const auto& [stage, candidate] : work) {
    if (cancel->load()) break;
    std::vector<StageChoice> choices = *oracle;
    choices[stage] = choice_of(*candidate);
    auto verdict = (*check)->check(choices);
    if (!verdict) return fail(verdict.error());
    all_right = all_right && verdict->checked && verdict->outcome.verdict == Verdict::ok;
    results.push_back({candidate->stage->name, candidate->variant->name, candidate->config_text, *verdict});
    progress.update("checking configs", static_cast<int64_t>(results.size()), total);
  }
  progress.end();
  const VerifySpec judging = verify_spec(*scope.tmpl, scope.problem, scope.facts);
  if (options.scope.json) {
    nlohmann::json out = nlohmann::json::array();
    for (const Checked& checked : results) {
      const VerifyOutcome& outcome = checked.result.outcome;
      out.push_back({{"stage", checked.stage},
                     {"variant", checked.variant},
                     {"config", config_json(checked.config)},
                     {"checked", checked.result.checked},
                     {"verdict", to_string(outcome.verdict)},
                     {"reason", outcome.reason},
                     {"rel_l2", outcome.rel_l2},
                     {"rel_l2_limit", judging.max_rel_l2},
                     {"max_err", outcome.max_err},
                     {"max_err_limit", judging.max_err_per_rms},
                     {"compared", outcome.compared},
                     {"different", outcome.different},
                     {"cases", outcome.cases},
                     {"verified_on", checked.result.verified_on}});
    }
    fmt::print("{}\n", out.dump(1));
  } else {
    print(results, *scope.tmpl, judging, scope.target);
  }
  if (results.size() < work.size()) return 130;
  return all_right ? 0 : 1;
}

}  // namespace

void add_check(CLI::App& app, Action* action) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* verb =
      app.add_subcommand("check", "Run configs on the emulator and compare them with the oracle");
  options->scope.add_to(*verb);
  verb->add_option("--spread", options->spread,
                   "Without --config: configs per stage besides the stored winners")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  verb->add_flag("--full-size", options->full_size,
                 "Run the problem as it is given, not scaled down by the template's verify.small formulas");
  verb->footer(
      "--tokens gives the sizes that are run (default 5 and 33). Exits with 1 when any result is wrong or "
      "could not "
      "be\nchecked.\n\n"
      "compared and differ count the elements of the outputs, and those that have not exactly the oracle's "
      "value; the\n"
      "errors are relative to it (||out - ref|| / ||ref||, and max |out - ref| / rms(ref)). Outputs of 16 "
      "bits hide what is\n"
      "lost below their last bit: in a small problem few differ, or none.\n\n"
      "  rtjit check moe_mxfp4 --target sm_90a --problem hidden=512,intermediate=512,experts=8,top_k=4 \\\n"
      "      --full-size --tokens 64 --config "
      "stage=gemm1,variant=mma,block_m=16,block_n=64,block_k=64,stages=3");
  verb->callback([options, action] { *action = [options] { return run(*options); }; });
}

}  // namespace rtjit
