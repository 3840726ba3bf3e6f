// rtjit cache merge, export, import: what one database knows comes into another.
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/text.h"
#include "cache/merge.h"
#include "cache/text_form.h"
#include "tools/rtjit/cache_options.h"

namespace rtjit {
namespace {

struct ExchangeOptions : CacheOptions {
  std::vector<std::string> others;  // merge
  std::string file;                 // export (empty: standard output), import
  ContentsFilter filter{.with_binaries = false};
};

MergeCounts operator+(const MergeCounts& a, const MergeCounts& b) {
  return {a.added + b.added, a.replaced + b.replaced, a.kept + b.kept};
}

nlohmann::json counts_json(const MergeCounts& counts) {
  return {{"added", counts.added}, {"replaced", counts.replaced}, {"kept", counts.kept}};
}

void print_report(const CacheOptions& options, const MergeReport& report, int64_t damaged) {
  if (options.json) {
    const nlohmann::json out = {{"winners", counts_json(report.winners)},
                                {"rows", counts_json(report.rows)},
                                {"quarantine", counts_json(report.quarantine)},
                                {"binaries", counts_json(report.binaries)},
                                {"damaged", damaged}};
    fmt::print("{}\n", out.dump(2));
    return;
  }
  const auto line = [](const char* what, const MergeCounts& counts) {
    fmt::print("{:<10} {} added, {} replaced, {} as good or better here\n", what,
               with_thousands(counts.added), with_thousands(counts.replaced), with_thousands(counts.kept));
  };
  line("winners", report.winners);
  line("rows", report.rows);
  line("quarantine", report.quarantine);
  line("binaries", report.binaries);
  if (damaged > 0) fmt::print("damaged    {} left out\n", with_thousands(damaged));
}

int run_merge(const ExchangeOptions& options) {
  // All are read before anything is written: one that cannot be read must not leave half of a merge.
  std::vector<Contents> all;
  for (const std::string& other : options.others) {
    auto contents = read_contents(other);
    if (!contents) return fail(contents.error());
    all.push_back(*std::move(contents));
  }
  auto store = open_store(options.database);
  if (!store) return fail(store.error());
  MergeReport sum;
  int64_t damaged = 0;
  for (const Contents& contents : all) {
    auto report = merge_into(**store, contents);
    if (!report) return fail(report.error());
    sum = {sum.rows + report->rows, sum.winners + report->winners, sum.quarantine + report->quarantine,
           sum.binaries + report->binaries};
    damaged += contents.damaged;
  }
  print_report(options, sum, damaged);
  return 0;
}

Status write_text(const std::string& text, const std::string& path) {
  std::FILE* file = path.empty() ? stdout : std::fopen(path.c_str(), "wb");
  const auto failed = [&] {
    return make_error(ErrorCode::io, "{}: {}", path.empty() ? "standard output" : path, std::strerror(errno));
  };
  if (file == nullptr) return failed();
  const bool written =
      std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0;
  if (file != stdout && std::fclose(file) != 0) return failed();
  return written ? Status() : failed();
}

int run_export(const ExchangeOptions& options) {
  auto path = options.path();
  if (!path) return fail(path.error());
  const std::string file = options.file == "-" ? std::string() : options.file;
  if (Status status = CacheOptions::check_output(file, *path); !status) return fail(status.error());
  auto contents = read_contents(*path, options.filter);
  if (!contents) return fail(contents.error());
  if (Status status = write_text(to_text(*contents), file); !status) return fail(status.error());
  if (contents->damaged > 0)
    fmt::print(stderr, "rtjit: {} damaged rows or binaries were left out\n", contents->damaged);
  if (options.json && !file.empty()) {
    const nlohmann::json out = {{"file", file},
                                {"winners", contents->winners.size()},
                                {"rows", contents->rows.size()},
                                {"quarantine", contents->quarantine.size()},
                                {"binaries", contents->binaries.size()},
                                {"damaged", contents->damaged}};
    fmt::print("{}\n", out.dump(2));
  }
  return 0;
}

int run_import(const ExchangeOptions& options) {
  std::ifstream in(options.file, std::ios::binary);
  if (!in) return fail(make_error(ErrorCode::not_found, "{}: {}", options.file, std::strerror(errno)));
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  auto contents = parse_text(text);
  if (!contents) return fail(contents.error().with_context(options.file));
  auto store = open_store(options.database);
  if (!store) return fail(store.error());
  auto report = merge_into(**store, *contents);
  if (!report) return fail(report.error());
  print_report(options, *report, 0);
  return 0;
}

}  // namespace

void add_cache_exchange(CLI::App& cache, Action* action) {
  const auto add = [&](const char* name, const char* help, int (*run)(const ExchangeOptions&)) {
    auto options = std::make_shared<ExchangeOptions>();
    CLI::App* verb = cache.add_subcommand(name, help);
    options->add_to(*verb);
    verb->callback([options, action, run] { *action = [options, run] { return run(*options); }; });
    return std::pair(verb, options);
  };
  const auto [merge, merge_options] =
      add("merge", "Takes over what other databases know better; they are not changed", run_merge);
  merge->add_option("OTHER", merge_options->others, "Cache databases")->required();

  const auto [to_file, export_options] =
      add("export", "Writes the cache as text that diffs well, one JSON object per line", run_export);
  to_file->add_option("-o,--output", export_options->file, "File. Default, and '-': standard output");
  to_file->add_option("--target", export_options->filter.target, "Only this target, for example sm_90a");
  to_file->add_option("--template", export_options->filter.template_name, "Only this template");
  to_file->add_flag("--binaries", export_options->filter.with_binaries,
                    "Also the compiled kernels, as base64");

  const auto [from_file, import_options] = add(
      "import", "Takes over what a text from `cache export` knows better; all of it, or nothing", run_import);
  from_file->add_option("FILE", import_options->file, "Text written by `rtjit cache export`")->required();
}

}  // namespace rtjit
