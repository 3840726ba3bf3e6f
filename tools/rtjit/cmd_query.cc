// rtjit query: what a kernel opened here would use, its facts and where the choice came from.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cache/lookup.h"
#include "runtime/gates.h"
#include "templates/launch_plan.h"
#include "tools/rtjit/command.h"
#include "tools/rtjit/config_json.h"
#include "tools/rtjit/scope_options.h"
#include "tools/rtjit/table.h"
#include "tuner/gpu_facts.h"

namespace rtjit {
namespace {

// What serves one stage in one bucket: a stored winner, or the default that stands in for it.
struct Answer {
  std::string stage, variant, config, sentence;
  int64_t bucket = 0;
  Provenance provenance = Provenance::fallback_default;
  WinnerRow winner;
  std::optional<TuningRow> row;
};

// The first variant in the manifest's order that has a default here and that the target can run.
Result<Answer> default_answer(const ProblemScope& scope, const Stage& stage, int64_t bucket) {
  for (const Variant& variant : stage.variants) {
    auto config = default_config(*scope.tmpl, stage, variant, scope.problem, bucket, scope.facts);
    if (!config) return config.error();
    if (!*config) continue;
    auto facts = evaluate_variant(*scope.tmpl, stage, variant, **config, scope.problem, scope.facts);
    if (!facts) return facts.error();
    auto gate = static_gate(variant, *facts, scope.target, gpu_facts(scope.target, scope.device).limits);
    if (!gate) return gate.error();
    if (!gate->ok()) continue;
    Answer answer;
    answer.stage = stage.name;
    answer.bucket = bucket;
    answer.variant = variant.name;
    answer.config = (*config)->canonical();
    answer.sentence = "nothing is stored for this problem and target; rtjit tune would find a winner";
    return answer;
  }
  return make_error(ErrorCode::unsupported, "no variant of stage {} runs on {}", stage.name,
                    scope.target.name());
}

Result<Answer> answer_for(const ScopeContext& context, const Stage& stage, int64_t bucket) {
  const ProblemScope& scope = context.scope;
  auto found = lookup_winner(
      *context.store, make_lookup(*scope.tmpl, scope.problem, stage, bucket, scope.target.name(), scope.sku));
  if (!found) return found.error();
  if (!found->has_value()) return default_answer(scope, stage, bucket);
  Answer answer;
  answer.stage = stage.name;
  answer.bucket = bucket;
  answer.variant = (*found)->winner.variant;
  answer.config = (*found)->winner.config;
  answer.sentence = (*found)->sentence;
  answer.provenance = (*found)->provenance;
  answer.winner = (*found)->winner;
  answer.row = (*found)->row;
  return answer;
}

nlohmann::json to_json(const Answer& answer) {
  nlohmann::json out = {{"stage", answer.stage},
                        {"bucket", answer.bucket},
                        {"variant", answer.variant},
                        {"config", config_json(answer.config)},
                        {"config_text", answer.config},
                        {"provenance", to_string(answer.provenance)},
                        {"sentence", answer.sentence},
                        {"time_us", answer.winner.time_us},
                        {"knowledge", to_string(answer.winner.knowledge)},
                        {"verified", answer.winner.verified},
                        {"why", answer.winner.why}};
  if (answer.row) {
    const TuningRow& row = *answer.row;
    out["facts"] = {{"smem_bytes", row.smem_bytes},
                    {"smem_limit", row.smem_limit},
                    {"registers", row.registers},
                    {"stack", row.stack},
                    {"spills", row.spills},
                    {"rel_l2", row.rel_l2},
                    {"rel_l2_limit", row.rel_l2_limit},
                    {"max_err", row.max_err},
                    {"max_err_limit", row.max_err_limit},
                    {"verified_on", row.verified_on},
                    {"time_low_us", row.time_low_us},
                    {"time_high_us", row.time_high_us},
                    {"samples", row.samples},
                    {"compiler", row.compiler},
                    {"binary_key", row.binary_key},
                    {"device", row.device_name},
                    {"driver", row.driver},
                    {"policy", row.policy}};
  }
  return out;
}

void print_answer(const Answer& answer) {
  fmt::print("{} bucket {}: {} {}\n", answer.stage, with_thousands(answer.bucket), answer.variant,
             answer.config);
  fmt::print("  provenance  {}: {}\n", to_string(answer.provenance), answer.sentence);
  if (answer.winner.time_us > 0) {
    fmt::print("  time        {:.1f} us ({}), {}\n", answer.winner.time_us,
               to_string(answer.winner.knowledge), answer.winner.why);
  }
  if (!answer.row) return;
  const TuningRow& row = *answer.row;
  fmt::print("  resources   {} of {} B SMEM, {} registers, {} B spilled\n", with_thousands(row.smem_bytes),
             with_thousands(row.smem_limit), row.registers, row.spills);
  if (row.verified) {
    fmt::print("  verified    relative error {:.2e} (limit {:.0e}), largest {:.2e} (limit {:.0e}) on {}\n",
               row.rel_l2, row.rel_l2_limit, row.max_err, row.max_err_limit, row.verified_on);
  } else {
    fmt::print("  verified    no: compiled only\n");
  }
  fmt::print("  made with   {}{}{}\n", row.compiler, row.driver.empty() ? "" : ", driver ", row.driver);
}

// --config: only answers with these values.
Result<bool> is_asked_for(const ProblemScope& scope, const Answer& answer) {
  if (scope.filter.empty()) return true;
  const Variant* variant = scope.tmpl->find_variant(answer.stage, answer.variant);
  if (!variant) return false;  // of another version of the template
  auto values = parse_key_values(answer.config);
  if (!values) return values.error();
  auto config = make_config(*variant, *values);
  if (!config) return config.error();
  return scope.filter.matches(answer.stage, answer.variant, *config);
}

int run(const ScopeOptions& options) {
  auto context = open_scope(options, {.with_prebuilt = true, .existing = true});
  if (!context) return fail(context.error());
  nlohmann::json out = nlohmann::json::array();
  bool any = false;
  for (int64_t bucket : context->scope.buckets) {
    for (const Stage& stage : context->scope.tmpl->stages) {
      if (!stage.tuned) continue;
      auto answer = answer_for(*context, stage, bucket);
      if (!answer) return fail(answer.error());
      auto asked = is_asked_for(context->scope, *answer);
      if (!asked) return fail(asked.error());
      if (!*asked) continue;
      any = true;
      if (options.json) {
        out.push_back(to_json(*answer));
      } else {
        print_answer(*answer);
      }
    }
  }
  if (!any) {
    return fail(
        make_error(ErrorCode::not_found,
                   "what serves is another config than --config says: leave it out to see which, or ask "
                   "`rtjit explain` about that config"));
  }
  if (options.json) fmt::print("{}\n", out.dump(1));
  return 0;
}

}  // namespace

void add_query(CLI::App& app, Action* action) {
  auto options = std::make_shared<ScopeOptions>();
  CLI::App* verb = app.add_subcommand("query", "The winner, its facts and where it came from");
  options->add_to(*verb);
  verb->callback([options, action] { *action = [options] { return run(*options); }; });
}

}  // namespace rtjit
