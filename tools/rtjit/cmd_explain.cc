// rtjit explain: every config of a problem with its verdict and the numbers behind it.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tools/rtjit/command.h"
#include "tools/rtjit/dump.h"
#include "tools/rtjit/explain_report.h"
#include "tools/rtjit/progress.h"
#include "tools/rtjit/scope_options.h"
#include "tuner/explain.h"

namespace rtjit {
namespace {

struct ExplainOptions {
  ScopeOptions scope;
  bool static_only = false, all = false;
  std::string verdicts, dump;
};

// "smem,registers"; nothing: all of them.
Result<std::set<Verdict>> parse_verdicts(const std::string& text) {
  std::set<Verdict> verdicts;
  for (const std::string& name : split(text, ',')) {
    const auto verdict = parse_verdict(name);
    if (!verdict) {
      return make_error(ErrorCode::invalid_argument, "--verdict: no verdict '{}'; there are {}", name,
                        join(verdict_names(), ", "));
    }
    verdicts.insert(*verdict);
  }
  return verdicts;
}

// What people get to see of the configs that were asked for.
ExplainDetail detail_for(const ExplainOptions& options, const ProblemScope& scope,
                         const ExplainReport& report) {
  const bool narrowed = !scope.filter.empty() || !options.verdicts.empty();
  const size_t count = report.entries.size();
  if (count == 1 || (narrowed && count > 0 && count <= 4)) return ExplainDetail::full;
  return options.all || !options.verdicts.empty() ? ExplainDetail::configs : ExplainDetail::summary;
}

int run(const ExplainOptions& options) {
  const std::atomic<bool>* cancel = install_cancel_handler();  // before the driver starts threads of its own
  const auto verdicts = parse_verdicts(options.verdicts);
  if (!verdicts) return fail(verdicts.error());
  auto context = open_scope(options.scope, {.with_prebuilt = true});
  if (!context) return fail(context.error());
  const ProblemScope& scope = context->scope;
  // Verdicts hardly depend on the size, times do: without --tokens one bucket says enough.
  const size_t count = scope.tokens.empty() ? 1 : scope.buckets.size();
  const std::vector<int64_t> buckets(scope.buckets.begin(),
                                     scope.buckets.begin() + static_cast<std::ptrdiff_t>(count));
  ExplainRequest request;
  request.scope = scope;
  request.store = context->store.get();
  request.compile = !options.static_only || !options.dump.empty();
  request.compiler = compile_pool_factory();
  request.cancel = cancel;
  Progress progress(/*quiet=*/false);
  request.progress = [&](int64_t done, int64_t total) {
    if (total == 0) return;  // all is known
    if (done == 0) {
      progress.end();  // of the stage before
      progress.begin("compiling", total);
    } else {
      progress.update("compiling", done, total);
    }
  };
  std::vector<ExplainReport> reports;
  for (int64_t bucket : buckets) {
    request.scope.buckets = {bucket};
    auto report = explain(request);
    progress.end();
    if (!report) return fail(report.error());
    if (!verdicts->empty()) {
      std::erase_if(report->entries, [&](const ExplainEntry& e) { return !verdicts->contains(e.verdict); });
      report->notes.clear();
    }
    reports.push_back(std::move(*report));
  }
  if (!options.dump.empty()) {
    auto dumped = dump_configs(request, reports.front(), options.dump);
    if (!dumped) return fail(dumped.error());
    fmt::print(stderr, "rtjit: wrote {} to {}\n",
               *dumped == 1 ? "1 config" : fmt::format("{} configs", *dumped), options.dump);
  }
  if (options.scope.json) {
    nlohmann::json out = nlohmann::json::array();
    for (const ExplainReport& report : reports) {
      for (const ExplainEntry& entry : report.entries) out.push_back(explain_json(entry, report.bucket));
      for (const ExplainNote& note : report.notes) fmt::print(stderr, "{}\n", note.text);
    }
    fmt::print("{}\n", out.dump(1));
    return 0;
  }
  fmt::print("{} for {}: {}\n", scope.tmpl->name, scope.target.name(), scope.problem.canonical());
  for (size_t i = 0; i < reports.size(); ++i) {
    if (i > 0) fmt::print("\n");
    print_explained(scope, reports[i], detail_for(options, scope, reports[i]));
  }
  return 0;
}

}  // namespace

void add_explain(CLI::App& app, Action* action) {
  auto options = std::make_shared<ExplainOptions>();
  CLI::App* verb =
      app.add_subcommand("explain", "Which configs can run and what keeps the others from it, with numbers");
  options->scope.add_to(*verb);
  verb->get_option("--tokens")
      ->description("Launch sizes, \"64\" or \"1,64,8192\". Default: the smallest bucket");
  verb->add_flag("--all", options->all,
                 "A line per config, also of those that cannot run, instead of a line per reason");
  verb->add_option("--verdict", options->verdicts,
                   "Only configs with one of these verdicts, \"ok\" or \"smem,registers\": a line for each");
  verb->add_flag(
      "--static", options->static_only,
      "Do not compile: configs that only the compiler can judge and the cache does not know count as ok");
  verb->add_option(
      "--dump", options->dump,
      "Write the generated source, PTX, cubin and resource facts of each matching config into this folder");
  verb->footer(
      "Configs that can run come first, per stage the winner, the default, then the fastest. \"to winner\" "
      "is how "
      "much longer\nthan the winner it takes. \"left\" is what the limits leave: of a block's shared memory, "
      "and of "
      "the registers that each\nof its threads may have. A number with ~ is the manifest's prediction: the "
      "config was "
      "not compiled. The others are\ncounted by reason, beside the one that comes nearest to fitting. Where "
      "four "
      "configs or fewer are left by --config or\n--verdict, all that is known of each is shown. --json has "
      "every "
      "config, with or without --all.");
  verb->callback([options, action] { *action = [options] { return run(*options); }; });
}

}  // namespace rtjit
