// rtjit cache verify and gc: keeping the database right and small.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cache/gc.h"
#include "cache/verify.h"
#include "templates/registry.h"
#include "tools/rtjit/cache_options.h"
#include "tools/rtjit/quantity.h"

namespace rtjit {
namespace {

int run_verify(const CacheOptions& options) {
  auto path = options.path();
  if (!path) return fail(path.error());
  auto report = verify_database(*path);
  if (!report) return fail(report.error());
  if (options.json) {
    const auto counts = [](int64_t all, int64_t bad) {
      return nlohmann::json{{"checked", all}, {"bad", bad}};
    };
    const nlohmann::json out = {{"path", *path},
                                {"ok", report->ok()},
                                {"winners", counts(report->winners, report->bad_winners)},
                                {"rows", counts(report->rows, report->bad_rows)},
                                {"quarantine", counts(report->quarantined, report->bad_quarantined)},
                                {"binaries", counts(report->binaries, report->bad_binaries)},
                                {"findings", report->findings}};
    fmt::print("{}\n", out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return report->ok() ? 0 : 1;
  }
  const auto line = [](const char* what, int64_t all, int64_t bad) {
    fmt::print("{:<10} {} checked, {} bad\n", what, with_thousands(all), with_thousands(bad));
  };
  line("winners", report->winners, report->bad_winners);
  line("rows", report->rows, report->bad_rows);
  line("quarantine", report->quarantined, report->bad_quarantined);
  line("binaries", report->binaries, report->bad_binaries);
  for (const std::string& finding : report->findings) fmt::print("bad: {}\n", finding);
  if (!report->ok()) {
    fmt::print(
        "Bad rows and binaries are never used; the library drops them when it meets them, and sets a damaged "
        "file aside.\n");
  }
  return report->ok() ? 0 : 1;
}

struct GcOptions : CacheOptions {
  std::string older_than, max_size;
  bool stale_templates = false, dry_run = false;
  std::vector<std::string> template_folders;
};

Result<GcRequest> gc_request(const GcOptions& options) {
  GcRequest request;
  request.dry_run = options.dry_run;
  if (!options.older_than.empty()) {
    auto seconds = parse_quantity("--older-than", options.older_than, {{'d', 24 * 3600}, {'h', 3600}},
                                  "a number of days or hours, for example 90d or 12h");
    if (!seconds) return seconds.error();
    request.older_than_seconds = *seconds;
  }
  if (!options.max_size.empty()) {
    auto bytes =
        parse_bytes("--max-size", options.max_size);
    if (!bytes) return bytes.error();
    request.max_bytes = *bytes;
  }
  if (options.stale_templates) {
    auto registry = TemplateRegistry::create(options.template_folders);
    if (!registry) return registry.error();
    for (const std::string& name : (*registry)->names()) {
      auto tmpl = (*registry)->find(name);
      if (tmpl) request.current_hashes[name] = (*tmpl)->content_hash;
    }
  }
  if (!request.older_than_seconds && !request.max_bytes && !options.stale_templates) {
    return make_error(ErrorCode::invalid_argument,
                      "say what may go: --older-than 90d, --max-size 200M, --stale-templates, or several");
  }
  return request;
}

int run_gc(const GcOptions& options) {
  auto request = gc_request(options);
  if (!request) return fail(request.error());
  auto store = options.open_existing();
  if (!store) return fail(store.error());
  auto report = collect_garbage(**store, *request);
  if (!report) return fail(report.error());
  if (options.json) {
    const nlohmann::json out = {{"dry_run", options.dry_run},
                                {"winners", report->winners},
                                {"rows", report->rows},
                                {"quarantine", report->quarantined},
                                {"binaries", report->binaries},
                                {"binary_bytes", report->binary_bytes},
                                {"bytes_before", report->bytes_before},
                                {"bytes_after", report->bytes_after},
                                {"fits", report->fits}};
    fmt::print("{}\n", out.dump(2));
    return 0;
  }
  fmt::print("{} {} winners, {} rows, {} quarantined, {} binaries ({} B)\n",
             options.dry_run ? "would remove" : "removed", with_thousands(report->winners),
             with_thousands(report->rows), with_thousands(report->quarantined),
             with_thousands(report->binaries), with_thousands(report->binary_bytes));
  fmt::print("{} B in use before, {} B {}\n", with_thousands(report->bytes_before),
             with_thousands(report->bytes_after), options.dry_run ? "expected after" : "after");
  if (!report->fits) fmt::print("winners and rows alone take more than --max-size; they were kept\n");
  return 0;
}

}  // namespace

void add_cache_care(CLI::App& cache, Action* action) {
  auto options = std::make_shared<CacheOptions>();
  CLI::App* verb = cache.add_subcommand(
      "verify", "Checks the file, every row and every binary; exit status 1 if anything is bad");
  options->add_to(*verb);
  verb->callback([options, action] { *action = [options] { return run_verify(*options); }; });

  auto gc_options = std::make_shared<GcOptions>();
  CLI::App* gc = cache.add_subcommand("gc", "Takes away what is old, stale or too large");
  gc_options->add_to(*gc);
  gc->add_option("--older-than", gc_options->older_than,
                 "Everything written longer ago, for example 90d or 12h; what a younger winner needs stays");
  gc->add_option("--max-size", gc_options->max_size,
                 "Binaries until the contents fit, for example 200M: losers before winners, oldest first");
  gc->add_flag("--stale-templates", gc_options->stale_templates,
               "Winners, rows, quarantine and binaries of other versions of the known templates");
  gc->add_option("--templates", gc_options->template_folders, "Folder with more templates");
  gc->add_flag("--dry-run", gc_options->dry_run, "Says what would go, and changes nothing");
  gc->callback([gc_options, action] { *action = [gc_options] { return run_gc(*gc_options); }; });
}

}  // namespace rtjit
