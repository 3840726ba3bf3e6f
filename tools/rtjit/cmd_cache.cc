// rtjit cache: what the database holds. The other sub-verbs are in cmd_cache_*.cc.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "tools/rtjit/cache_options.h"
#include "tools/rtjit/config_json.h"
#include "tools/rtjit/date_text.h"
#include "tools/rtjit/table.h"

namespace rtjit {
namespace {

int print_path(const CacheOptions& options) {
  auto path = options.path();
  if (!path) return fail(path.error());
  fmt::print("{}\n", options.json ? nlohmann::json{{"path", *path}}.dump() : *path);
  return 0;
}

int print_info(const CacheOptions& options) {
  auto store = options.open_existing();
  if (!store) return fail(store.error());
  auto info = (*store)->info();
  if (!info) return fail(info.error());
  if (options.json) {
    const nlohmann::json out = {{"path", info->path},
                                {"read_only_layers", info->read_only},
                                {"writable", info->writable},
                                {"schema_version", info->schema_version},
                                {"rows", info->rows},
                                {"winners", info->winners},
                                {"quarantined", info->quarantined},
                                {"binaries", info->binaries},
                                {"file_bytes", info->file_bytes},
                                {"binary_bytes", info->binary_bytes}};
    fmt::print("{}\n", out.dump(2));
    return 0;
  }
  fmt::print("database   {}{}\n", info->path, info->writable ? "" : "  (not writable)");
  for (const std::string& layer : info->read_only) fmt::print("beneath    {}\n", layer);
  fmt::print("schema     {}\n", info->schema_version);
  fmt::print("winners    {}\n", with_thousands(info->winners));
  fmt::print("rows       {}\n", with_thousands(info->rows));
  fmt::print("quarantine {}\n", with_thousands(info->quarantined));
  fmt::print("binaries   {} ({} B)\n", with_thousands(info->binaries), with_thousands(info->binary_bytes));
  fmt::print("file       {} B\n", with_thousands(info->file_bytes));
  return 0;
}

int print_list(const CacheOptions& options) {
  auto store = options.open_existing();
  if (!store) return fail(store.error());
  WinnerRow any;
  any.bucket = -1;
  auto winners = (*store)->winners(any);
  if (!winners) return fail(winners.error());
  if (options.json) {
    nlohmann::json out = nlohmann::json::array();
    for (const WinnerRow& row : *winners) {
      out.push_back({{"template", row.template_name},
                     {"problem", row.problem},
                     {"target", row.target},
                     {"sku", row.sku},
                     {"stage", row.stage},
                     {"bucket", row.bucket},
                     {"variant", row.variant},
                     {"config", config_json(row.config)},
                     {"knowledge", to_string(row.knowledge)},
                     {"verified", row.verified},
                     {"time_us", row.time_us},
                     {"why", row.why},
                     {"updated_unix", row.updated_unix}});
    }
    fmt::print("{}\n", out.dump(1));
    return 0;
  }
  Table table({{"template"},
               {"target"},
               {"stage"},
               {"bucket", Table::Align::right},
               {"winner"},
               {"time us", Table::Align::right},
               {""},
               {"updated (UTC)"},
               {"problem"}});
  for (const WinnerRow& row : *winners) {
    table.add({row.template_name, row.target, row.stage, with_thousands(row.bucket),
               row.variant + " " + row.config, fmt::format("{:.1f}", row.time_us), to_string(row.knowledge),
               date_text(row.updated_unix), row.problem});
  }
  if (table.empty()) {
    fmt::print("no winners yet; rtjit tune finds them\n");
  } else {
    fmt::print("{}", table.render());
  }
  return 0;
}

}  // namespace

void CacheOptions::add_to(CLI::App& verb) {
  verb.add_option("--db", database, "Cache database. Default: RTJIT_CACHE, else the XDG cache folder");
  verb.add_flag("--json", json, "The result as JSON on standard output");
}

Result<std::string> CacheOptions::path() const {
  if (!database.empty()) return database;
  return user_cache_path();
}

Result<std::unique_ptr<Store>> CacheOptions::open_existing() const {
  return open_store(database, {.existing = true});
}

Status CacheOptions::check_output(const std::string& output, const std::string& database) {
  const auto written = file_identity(output);
  for (const char* companion : {"", "-wal", "-shm", "-journal"}) {
    if (written && written == file_identity(database + companion)) {
      return make_error(ErrorCode::invalid_argument,
                        "-o: {} is the cache itself, or its log; name another file", output);
    }
  }
  return {};
}

void add_cache(CLI::App& app, Action* action) {
  auto options = std::make_shared<CacheOptions>();
  CLI::App* verb = app.add_subcommand("cache", "Shows, merges, exports, checks and cleans the cache");
  verb->require_subcommand(0, 1);
  verb->callback([verb, action] {
    const std::vector<std::string> unknown = verb->remaining();
    if (unknown.empty() && !verb->get_subcommands().empty()) return;
    std::vector<std::string> names;
    for (const CLI::App* sub : verb->get_subcommands({})) names.push_back(sub->get_name());
    const Error error = make_error(
        ErrorCode::invalid_argument, "cache: {} There are {}",
        unknown.empty() ? "what of it?" : fmt::format("not '{}'.", unknown.front()), join(names, ", "));
    *action = [error] { return fail(error); };
  });
  const auto add = [&](const char* name, const char* help, int (*run)(const CacheOptions&)) {
    CLI::App* sub = verb->add_subcommand(name, help);
    options->add_to(*sub);
    sub->callback([options, action, run] { *action = [options, run] { return run(*options); }; });
  };
  add("info", "Path, schema, counts and sizes", print_info);
  add("list", "Every winner", print_list);
  add("path", "Where the user database is", print_path);
  add_cache_show(*verb, action);
  add_cache_exchange(*verb, action);
  add_cache_care(*verb, action);
  verb->allow_extras();  // for the callback to name; after the sub-verbs, which would inherit it
}

}  // namespace rtjit
