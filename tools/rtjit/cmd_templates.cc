// rtjit templates: which templates and presets there are; with a name, its problem keys, arguments and
// variants.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "templates/registry.h"
#include "tools/rtjit/command.h"
#include "tools/rtjit/table.h"

namespace rtjit {
namespace {

struct TemplatesOptions {
  std::string name;
  std::vector<std::string> folders;
  bool json = false;
};

std::string allowed(const KeySpec& key) {
  if (!key.values.empty()) {
    std::vector<std::string> names;
    for (const Value& value : key.values) names.push_back(to_string(value));
    return join(names, " | ");
  }
  if (key.type == KeySpec::Type::real) return "real";
  std::string text =
      key.max == INT64_MAX ? fmt::format(">= {}", key.min) : fmt::format("{} to {}", key.min, key.max);
  if (key.multiple_of > 1) text += fmt::format(", multiple of {}", key.multiple_of);
  return text;
}

nlohmann::json key_json(const KeySpec& key) {
  nlohmann::json out = {{"name", key.name}, {"allowed", allowed(key)}, {"doc", key.doc}};
  if (key.fallback) out["default"] = to_string(*key.fallback);
  return out;
}

int list(const TemplateRegistry& registry, bool json) {
  if (json) {
    nlohmann::json out = {{"templates", nlohmann::json::array()}, {"presets", nlohmann::json::array()}};
    for (const std::string& name : registry.names()) {
      out["templates"].push_back({{"name", name}, {"summary", (*registry.find(name))->summary}});
    }
    for (const Preset& preset : registry.presets()) {
      nlohmann::json problems = nlohmann::json::object();
      for (const auto& [tmpl, keys] : preset.problems) problems[tmpl] = format_key_values(keys);
      out["presets"].push_back({{"name", preset.name}, {"doc", preset.doc}, {"problems", problems}});
    }
    fmt::print("{}\n", out.dump(2));
    return 0;
  }
  Table templates({{"template"}, {"what it computes"}});
  for (const std::string& name : registry.names()) templates.add({name, (*registry.find(name))->summary});
  fmt::print("{}\n", templates.render());
  Table presets({{"preset"}, {"template"}, {"problem"}});
  for (const Preset& preset : registry.presets()) {
    for (const auto& [tmpl, keys] : preset.problems)
      presets.add({preset.name, tmpl, format_key_values(keys)});
  }
  fmt::print("{}", presets.render());
  return 0;
}

int show(const Template& tmpl, bool json) {
  if (json) {
    nlohmann::json out = {{"name", tmpl.name},
                          {"summary", tmpl.summary},
                          {"content_hash", tmpl.content_hash},
                          {"bucket_scalar", tmpl.bucket_scalar},
                          {"buckets", tmpl.buckets}};
    for (const KeySpec& key : tmpl.problem) out["problem"].push_back(key_json(key));
    for (const Stage& stage : tmpl.stages) {
      nlohmann::json variants = nlohmann::json::array();
      for (const Variant& variant : stage.variants) {
        nlohmann::json parameters = nlohmann::json::array();
        for (const KeySpec& key : variant.parameters) parameters.push_back(key_json(key));
        variants.push_back({{"name", variant.name},
                            {"doc", variant.doc},
                            {"targets", variant.targets},
                            {"parameters", parameters}});
      }
      out["stages"].push_back(
          {{"name", stage.name}, {"doc", stage.doc}, {"tuned", stage.tuned}, {"variants", variants}});
    }
    fmt::print("{}\n", out.dump(2));
    return 0;
  }
  fmt::print("{}: {}\n\nproblem keys\n", tmpl.name, tmpl.summary);
  Table keys({{"key"}, {"allowed"}, {"default"}, {"meaning"}});
  for (const KeySpec& key : tmpl.problem) {
    keys.add({key.name, allowed(key), key.fallback ? to_string(*key.fallback) : "", key.doc});
  }
  fmt::print("{}\narguments\n", keys.render(2));
  Table arguments({{"name"}, {"when"}, {"dtype"}, {"shape"}, {"meaning"}});
  for (const ArgumentSpec& argument : tmpl.arguments) {
    std::vector<std::string> dtypes;
    for (DType dtype : argument.dtypes) dtypes.emplace_back(to_string(dtype));
    arguments.add({argument.name + (argument.optional ? " (optional)" : ""),
                   argument.role == ArgumentSpec::Role::pack ? "pack" : "launch", join(dtypes, "|"),
                   "[" + join(argument.shape, ", ") + "]", argument.doc});
  }
  fmt::print("{}", arguments.render(2));
  for (const Stage& stage : tmpl.stages) {
    fmt::print("\nstage {}{}: {}\n", stage.name, stage.tuned ? " (tuned)" : "", stage.doc);
    for (const Variant& variant : stage.variants) {
      fmt::print("  {} [{}] {}\n", variant.name, variant.targets, variant.doc);
      Table parameters({{"parameter"}, {"values"}, {"what it trades"}});
      for (const KeySpec& key : variant.parameters) parameters.add({key.name, allowed(key), key.doc});
      if (!parameters.empty()) fmt::print("{}", parameters.render(4));
    }
  }
  return 0;
}

}  // namespace

void add_templates(CLI::App& app, Action* action) {
  auto options = std::make_shared<TemplatesOptions>();
  CLI::App* verb =
      app.add_subcommand("templates", "The templates and presets there are; with a name, one in full");
  verb->add_option("template", options->name, "Template");
  verb->add_option("--templates", options->folders, "Folder with further templates; may be repeated");
  verb->add_flag("--json", options->json, "The result as JSON on standard output");
  verb->callback([options, action] {
    *action = [options] {
      auto registry = TemplateRegistry::create(options->folders);
      if (!registry) return fail(registry.error());
      if (options->name.empty()) return list(**registry, options->json);
      auto tmpl = (*registry)->find(options->name);
      return tmpl ? show(**tmpl, options->json) : fail(tmpl.error());
    };
  });
}

}  // namespace rtjit
