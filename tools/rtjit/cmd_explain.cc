// rtjit explain: every config of a problem with its verdict and the numbers behind it.
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "tools/rtjit/command.h"
#include "tools/rtjit/config_json.h"
#include "tools/rtjit/date_text.h"
#include "tools/rtjit/dump.h"
#include "tools/rtjit/progress.h"
#include "tools/rtjit/scope_options.h"
#include "tools/rtjit/table.h"
#include "tuner/explain.h"

namespace rtjit {
namespace {

struct ExplainOptions {
  ScopeOptions scope;
  bool static_only = false;
  std::string dump;
};

nlohmann::json quarantine_json(const ExplainEntry& entry) {
  if (!entry.quarantine) return nullptr;
  const QuarantineRow& row = *entry.quarantine;
  return {{"verdict", to_string(row.verdict)},
          {"error", row.error},
          {"reached", to_string(row.reached)},
          {"features", row.features.empty() ? std::vector<std::string>() : split(row.features, ' ')},
          {"bucket", row.key.bucket},
          {"compiler", row.compiler},
          {"driver", row.driver},
          {"device", row.device_name},
          {"binary_key", row.binary_key},
          {"updated_unix", row.updated_unix}};
}

nlohmann::json to_json(const ExplainEntry& entry, int64_t bucket) {
  return {{"bucket", bucket},
          {"stage", entry.stage},
          {"variant", entry.variant},
          {"config", config_json(entry.config)},
          {"config_text", entry.config},
          {"verdict", to_string(entry.verdict)},
          {"reason", entry.reason},
          {"source", to_string(entry.source)},
          {"smem_bytes", entry.smem_bytes},
          {"smem_limit", entry.smem_limit},
          {"registers", entry.registers},
          {"registers_compiled", entry.registers_compiled},
          {"threads", entry.threads},
          {"stack", entry.stack},
          {"spills", entry.spills},
          {"blocks_per_sm", entry.blocks_per_sm},
          {"features", entry.features},
          {"predicted_us", entry.predicted_us},
          {"predicted_rank", entry.predicted_rank},
          {"measured_us", entry.measured_us},
          {"measured_low_us", entry.measured_low_us},
          {"measured_high_us", entry.measured_high_us},
          {"samples", entry.samples},
          {"of_winner", entry.of_winner},
          {"rel_l2", entry.rel_l2},
          {"rel_l2_limit", entry.rel_l2_limit},
          {"max_err", entry.max_err},
          {"max_err_limit", entry.max_err_limit},
          {"verified", entry.verified},
          {"verified_on", entry.verified_on},
          {"quarantine", quarantine_json(entry)},
          {"default", entry.is_default},
          {"winner", entry.is_winner}};
}

// What it had done well before it failed.
const char* reached_text(Reached reached) {
  switch (reached) {
    case Reached::nothing:
      return "not compiled";
    case Reached::compiled:
      return "compiled, not loaded";
    case Reached::loaded:
      return "been loaded, not run to its end";
    case Reached::launched:
      return "run to its end";
    case Reached::verified:
      return "given right results";
  }
  return "";
}

std::string marks(const ExplainEntry& entry) {
  std::string text;
  if (entry.is_winner) text += "winner ";
  if (entry.is_default) text += "default";
  return std::string(trim(text));
}

void print_one(const ExplainEntry& entry) {
  fmt::print("{}.{} {}\n", entry.stage, entry.variant, entry.config);
  fmt::print("  verdict      {}{}{}\n", to_string(entry.verdict), entry.reason.empty() ? "" : "  ",
             entry.reason);
  fmt::print("  known from   {}\n", to_string(entry.source));
  fmt::print("  threads      {}\n", entry.threads);
  fmt::print("  SMEM         {} of {} B\n", with_thousands(entry.smem_bytes),
             with_thousands(entry.smem_limit));
  if (entry.registers > 0) {
    fmt::print("  registers    {} per thread ({})\n", entry.registers,
               entry.registers_compiled ? "compiled" : "predicted");
  }
  if (entry.registers_compiled) fmt::print("  stack        {} B, spills {} B\n", entry.stack, entry.spills);
  if (entry.blocks_per_sm > 0) fmt::print("  blocks/SM    {}\n", entry.blocks_per_sm);
  fmt::print("  features     {}\n", entry.features.empty() ? "none" : join(entry.features, " "));
  if (entry.predicted_us > 0) {
    fmt::print("  predicted    {:.1f} us, place {} in the order of the cost model\n", entry.predicted_us,
               entry.predicted_rank);
  }
  if (entry.measured_us > 0) {
    fmt::print("  measured     {:.1f} us ({:.1f} to {:.1f}, {} samples)\n", entry.measured_us,
               entry.measured_low_us, entry.measured_high_us, entry.samples);
  } else if (entry.verdict == Verdict::ok) {
    fmt::print("  measured     never\n");
  }
  if (entry.of_winner > 0 && !entry.is_winner) {
    fmt::print("  the winner   takes {:.1f} % {} ({})\n", 100 * std::abs(1 / entry.of_winner - 1),
               entry.of_winner >= 1 ? "less time" : "more time",
               entry.measured_us > 0 ? "measured" : "predicted");
  }
  if (entry.verified) fmt::print("  verified on  {}\n", entry.verified_on);
  if (entry.rel_l2_limit > 0) {
    fmt::print("  errors       relative {:.2e} of {:.1e} allowed, largest {:.2e} of {:.1e}\n", entry.rel_l2,
               entry.rel_l2_limit, entry.max_err, entry.max_err_limit);
  }
  if (entry.quarantine) {
    const QuarantineRow& row = *entry.quarantine;
    fmt::print("  quarantine   since {} UTC, bucket {}, {} driver {}: it had {}; PTX features: {}\n",
               date_text(row.updated_unix), with_thousands(row.key.bucket), row.compiler, row.driver,
               reached_text(row.reached), row.features.empty() ? "none" : row.features);
    fmt::print("               not run again with this compiler; rtjit tune --retry-quarantined does\n");
  }
  if (entry.is_winner) fmt::print("  the winner of this bucket\n");
  if (entry.is_default) fmt::print("  the default config of this bucket\n");
}

void print_table(const ExplainReport& report) {
  Table table({{"stage"},
               {"variant"},
               {"config"},
               {"verdict"},
               {"SMEM B", Table::Align::right},
               {"regs", Table::Align::right},
               {"time us", Table::Align::right},
               {""},
               {"reason"}});
  std::map<Verdict, int> counts;
  for (const ExplainEntry& entry : report.entries) {
    counts[entry.verdict]++;
    const double time = entry.measured_us > 0 ? entry.measured_us : entry.predicted_us;
    table.add(
        {entry.stage, entry.variant, entry.config, to_string(entry.verdict), with_thousands(entry.smem_bytes),
         entry.registers > 0 ? fmt::format("{}{}", entry.registers_compiled ? "" : "~", entry.registers) : "",
         time > 0 ? fmt::format("{}{:.1f}", entry.measured_us > 0 ? "" : "~", time) : "", marks(entry),
         entry.reason});
  }
  fmt::print("{}", table.render());
  fmt::print("\n{} configs:", report.entries.size());
  for (const auto& [verdict, count] : counts) fmt::print(" {} {}", count, to_string(verdict));
  fmt::print("   (~ predicted)\n");
}

// Variants of other targets in one line, as long as another one serves: "gemm1, gemm2: stream, wgmma are for
// other targets; mma serves". What else keeps a variant from serving is told in full.
void print_notes(const std::vector<ExplainNote>& notes) {
  std::map<std::string, std::vector<std::string>> variants;  // by stage
  std::map<std::string, std::string> serving;
  for (const ExplainNote& note : notes) {
    if (!note.other_target || note.serving.empty()) {
      fmt::print("{}\n", note.text);
    } else {
      variants[note.stage].push_back(note.variant);
      serving[note.stage] = note.serving;
    }
  }
  std::map<std::string, std::vector<std::string>> stages;  // by what is said of them
  for (const auto& [stage, names] : variants) {
    stages[fmt::format("{} {} for other targets; {} serves", join(names, ", "),
                       names.size() == 1 ? "is" : "are", serving[stage])]
        .push_back(stage);
  }
  for (const auto& [said, of] : stages) fmt::print("{}: {}\n", join(of, ", "), said);
}

void print_report(const ProblemScope& scope, const ExplainReport& report) {
  fmt::print("bucket {} ({})\n\n", with_thousands(report.bucket), scope.tmpl->bucket_scalar);
  if (report.entries.size() == 1 || (!scope.filter.empty() && report.entries.size() <= 4)) {
    for (const ExplainEntry& entry : report.entries) print_one(entry);
  } else {
    print_table(report);
  }
  print_notes(report.notes);
}

int run(const ExplainOptions& options) {
  const std::atomic<bool>* cancel = install_cancel_handler();  // before the driver starts threads of its own
  auto context = open_scope(options.scope);
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
      for (const ExplainEntry& entry : report.entries) out.push_back(to_json(entry, report.bucket));
      for (const ExplainNote& note : report.notes) fmt::print(stderr, "{}\n", note.text);
    }
    fmt::print("{}\n", out.dump(1));
    return 0;
  }
  fmt::print("{} for {}: {}\n", scope.tmpl->name, scope.target.name(), scope.problem.canonical());
  for (size_t i = 0; i < reports.size(); ++i) {
    if (i > 0) fmt::print("\n");
    print_report(scope, reports[i]);
  }
  return 0;
}

}  // namespace

void add_explain(CLI::App& app, Action* action) {
  auto options = std::make_shared<ExplainOptions>();
  CLI::App* verb =
      app.add_subcommand("explain", "Every config with its verdict and numbers; with --config, in full");
  options->scope.add_to(*verb);
  verb->get_option("--tokens")
      ->description("Launch sizes, \"64\" or \"1,64,8192\". Default: the smallest bucket");
  verb->add_flag(
      "--static", options->static_only,
      "Do not compile: configs that only the compiler can judge and the cache does not know count as ok");
  verb->add_option(
      "--dump", options->dump,
      "Write the generated source, PTX, cubin and resource facts of each matching config into this folder");
  verb->callback([options, action] { *action = [options] { return run(*options); }; });
}

}  // namespace rtjit
