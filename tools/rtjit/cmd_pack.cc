// rtjit pack, pack-key: one file per architecture with what engines need to start without a compiler.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/files.h"
#include "cache/pack.h"
#include "compiler/target.h"
#include "rtjit.h"
#include "templates/registry.h"
#include "tools/rtjit/cache_options.h"
#include "tools/rtjit/pack_text.h"
#include "tools/rtjit/quantity.h"
#include "tuner/pack_check.h"
#include "tuner/problem_scope.h"

namespace rtjit {
namespace {

struct PackOptions : CacheOptions {
  std::vector<std::string> templates, presets, template_folders;
  std::string target, output, secret_key, max_size;
  bool with_ptx = false;
};

// The presets' names, by template and canonical problem.
using Labels = std::map<std::pair<std::string, std::string>, std::string>;

Result<Labels> preset_labels(const TemplateRegistry& registry) {
  Labels labels;
  for (const Preset& preset : registry.presets()) {
    for (const auto& [name, keys] : preset.problems) {
      auto tmpl = registry.find(name);
      if (!tmpl) continue;  // a preset may speak of a template that is not here
      auto problem = registry.problem(**tmpl, {{"preset", preset.name}});
      if (!problem) return problem.error();
      labels.emplace(std::pair(name, problem->canonical()), preset.name);
    }
  }
  return labels;
}

// Every problem with winners for the target, under the templates as they are now; those asked for by name
// must be there.
Result<std::vector<PackRequest>> find_problems(const TemplateRegistry& registry, const PackOptions& options,
                                               const Contents& contents) {
  auto labels = preset_labels(registry);
  if (!labels) return labels.error();
  const auto wanted = [](const std::vector<std::string>& list, const std::string& name) {
    return list.empty() || std::find(list.begin(), list.end(), name) != list.end();
  };
  std::map<std::pair<std::string, std::string>, PackRequest> found;
  for (const std::string& name : options.templates) {
    if (auto tmpl = registry.find(name); !tmpl) return tmpl.error();
  }
  for (const std::string& name : options.presets) {
    if (auto preset = registry.find_preset(name); !preset) return preset.error();
    // A preset that is asked for must have winners; select_for_pack() says so when it has none.
    for (const auto& [key, label] : *labels) {
      if (label != name || !wanted(options.templates, key.first)) continue;
      auto tmpl = registry.find(key.first);
      if (tmpl) found[key] = {key.first, (*tmpl)->content_hash, key.second, label, {}};
    }
  }
  for (const WinnerRow& winner : contents.winners) {
    auto tmpl = registry.find(winner.template_name);
    if (!tmpl || (*tmpl)->content_hash != winner.template_hash || winner.target != options.target) continue;
    const std::pair key(winner.template_name, winner.problem);
    const auto label = labels->find(key);
    const std::string name = label == labels->end() ? "" : label->second;
    if (!wanted(options.templates, winner.template_name) || !wanted(options.presets, name)) continue;
    found.try_emplace(key, PackRequest{winner.template_name, winner.template_hash, winner.problem, name, {}});
  }
  std::vector<PackRequest> requests;
  for (auto& [key, request] : found) requests.push_back(std::move(request));
  if (!requests.empty()) return requests;
  return make_error(
      ErrorCode::not_found,
      "the database has no winners for {} under the templates as they are now. Find some first, for example: "
      "rtjit tune moe_mxfp4 --target {} --preset gpt-oss-20b",
      options.target, options.target);
}

// Adds the kernels that pack weights, which no row names.
Status add_packing(const TemplateRegistry& registry, const Target& target, const Contents& contents,
                   PackRequest* request) {
  auto tmpl = registry.find(request->template_name);
  if (!tmpl) return tmpl.error();
  std::set<std::string> compilers;
  for (const TuningRow& row : contents.rows) {
    if (row.key.template_hash == request->template_hash && row.key.problem == request->problem &&
        !row.compiler.empty())
      compilers.insert(row.compiler);
  }
  auto keys = packing_binary_keys(*tmpl, request->problem, target, {compilers.begin(), compilers.end()});
  if (!keys) return keys.error();
  for (const StoredBinary& binary : contents.binaries) {
    if (std::find(keys->begin(), keys->end(), binary.key) != keys->end())
      request->other_binaries.push_back(binary.key);
  }
  if (!keys->empty() && request->other_binaries.empty()) {
    return make_error(
        ErrorCode::not_found,
        "{} {}: the database lacks the kernels that pack weights for {}. Tune again: rtjit tune stores them",
        request->template_name, request->label, target.name());
  }
  return {};
}

int run_pack(const PackOptions& options) {
  auto target = Target::parse(options.target);
  if (!target) return fail(target.error());
  std::optional<int64_t> limit;
  if (!options.max_size.empty()) {
    auto bytes = parse_bytes("--max-size", options.max_size);
    if (!bytes) return fail(bytes.error());
    limit = *bytes;
  }
  std::optional<SecretKey> key;
  if (!options.secret_key.empty()) {
    auto read = read_secret_key(options.secret_key);
    if (!read) return fail(read.error());
    key = *std::move(read);
  }
  auto registry = TemplateRegistry::create(options.template_folders);
  if (!registry) return fail(registry.error());
  auto path = options.path();
  if (!path) return fail(path.error());
  if (Status status = CacheOptions::check_output(options.output, *path); !status) return fail(status.error());
  // A user database that was never begun holds nothing; one that was named must be there.
  const bool never_begun = options.database.empty() && !file_identity(*path);
  auto contents =
      never_begun ? Result<Contents>(Contents{}) : read_contents(*path, {.target = target->name()});
  if (!contents) return fail(contents.error());
  auto requests = find_problems(**registry, options, *contents);
  if (!requests) return fail(requests.error());
  for (PackRequest& request : *requests) {
    if (Status status = add_packing(**registry, *target, *contents, &request); !status)
      return fail(status.error());
  }
  auto pack = select_for_pack(*contents, target->name(), *requests, options.with_ptx);
  if (!pack) return fail(pack.error());
  pack->manifest.library_version = rtjit_version();
  if (Status status = write_pack(*pack, options.output, key); !status) return fail(status.error());
  const int64_t bytes = file_bytes(options.output);
  const bool fits = !limit || bytes <= *limit;
  if (options.json) {
    auto out = nlohmann::ordered_json::parse(to_json(pack->manifest));
    out["path"] = options.output;
    out["bytes"] = bytes;
    out["signer"] = key ? nlohmann::ordered_json(key->public_key().text()) : nlohmann::ordered_json();
    out["fits"] = fits;
    fmt::print("{}\n", out.dump(1));
  } else {
    fmt::print("pack       {}\n", options.output);
    print_manifest(pack->manifest);
    fmt::print("file       {} B\nsigned     {}\n", with_thousands(bytes),
               key ? key->public_key().text() : "no");
  }
  if (fits) return 0;
  fmt::print(stderr,
             "rtjit: {}: {} B, --max-size allows {} B. The file was written; pack fewer presets, or leave "
             "out --with-ptx\n",
             options.output, with_thousands(bytes), with_thousands(*limit));
  return 1;
}

int run_pack_key(const std::string& name, bool json) {
  auto key = make_secret_key();
  if (!key) return fail(key.error());
  const std::string secret = name + ".secret", open = name + ".pub";
  if (Status status = write_key_files(*key, secret, open); !status) return fail(status.error());
  const std::string text = key->public_key().text();
  fmt::print("{}\n",
             json
                 ? nlohmann::json{{"public_key", text}, {"secret_file", secret}, {"public_file", open}}.dump()
                 : text);
  fmt::print(stderr,
             "rtjit: wrote {} (keep it to yourself; rtjit pack --sign) and {} (give it to those who are to "
             "trust it; "
             "RTJIT_TRUST, rtjit verify-pack --trust)\n",
             secret, open);
  return 0;
}

}  // namespace

void add_pack(CLI::App& app, Action* action) {
  auto options = std::make_shared<PackOptions>();
  CLI::App* verb = app.add_subcommand(
      "pack", "Makes one file of the winners and binaries for a target, to ship with an engine");
  verb->add_option("template", options->templates,
                   "Templates. Default: all that have winners for the target");
  verb->add_option("--target", options->target, "Target such as sm_90a")->required();
  verb->add_option("--preset", options->presets,
                   "Only this preset; may be repeated. Default: every problem with winners");
  verb->add_option("-o,--output", options->output, "The pack, for example h200.rtpack")->required();
  verb->add_option("--sign", options->secret_key, "Secret key to sign with (rtjit pack-key makes one)");
  verb->add_option("--max-size", options->max_size, "Exit status 1 if the pack is larger, for example 8M");
  verb->add_flag("--with-ptx", options->with_ptx, "Also the PTX, which only the emulator needs");
  verb->add_option("--templates", options->template_folders,
                   "Folder with further templates; may be repeated");
  options->add_to(*verb);
  verb->callback([options, action] { *action = [options] { return run_pack(*options); }; });
}

void add_pack_key(CLI::App& app, Action* action) {
  auto name = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* verb =
      app.add_subcommand("pack-key", "Makes a pair of keys for signing packs: NAME.secret and NAME.pub");
  verb->add_option("NAME", *name, "Beginning of both files' names")->required();
  verb->add_flag("--json", *json, "The result as JSON on standard output");
  verb->callback([name, json, action] { *action = [name, json] { return run_pack_key(*name, *json); }; });
}

}  // namespace rtjit
