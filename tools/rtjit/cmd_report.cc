// rtjit report: what is stored about a problem as one HTML page, or as data.
#include <fmt/format.h>

#include <fstream>

#include "rtjit.h"
#include "tools/rtjit/command.h"
#include "tools/rtjit/report_page.h"
#include "tools/rtjit/scope_options.h"

namespace rtjit {
namespace {

int run(const ScopeOptions& options, const std::string& output) {
  auto context = open_scope(options, {.existing = true});
  if (!context) return fail(context.error());
  auto overview = gather_overview(context->scope, context->store.get());
  if (!overview) return fail(overview.error());
  int stored = 0;
  for (const OverviewCell& cell : overview->cells) stored += !cell.winner.variant.empty();
  if (stored == 0) {
    return fail(make_error(
        ErrorCode::not_found,
        "nothing is stored about {} {} on {}: rtjit tune finds winners, rtjit cache list shows what "
        "there is",
        overview->template_name, overview->problem, overview->target));
  }
  if (options.json) {
    fmt::print("{}\n", report_json(*overview).dump(2));
    return 0;
  }
  std::ofstream file(output, std::ios::binary);
  file << report_page(*overview, rtjit_version());
  if (!file.flush()) return fail(make_error(ErrorCode::io, "cannot write {}", output));
  fmt::print("{}: {} of {} winners\n", output, stored, overview->cells.size());
  return 0;
}

}  // namespace

void add_report(CLI::App& app, Action* action) {
  auto* verb = app.add_subcommand("report", "Write what is stored about a problem as one HTML page");
  auto options = std::make_shared<ScopeOptions>();
  auto output = std::make_shared<std::string>("report.html");
  options->add_to(*verb);
  verb->add_option("-o,--output", *output, "The page; it needs nothing beside itself")->capture_default_str();
  verb->footer(
      "Shows per bucket: winner, speed-up over the default, roofline, what each gate rejected, predicted "
      "against "
      "measured, and for pairs of parameters the best time. Compiles and measures nothing.\n"
      "Example: rtjit report moe_mxfp4 --preset gpt-oss-20b -o moe.html");
  verb->callback([=] { *action = [=] { return run(*options, *output); }; });
}

}  // namespace rtjit
