// The rtjit command. One file per verb; this one only puts them together.
#include <fmt/format.h>

#include <cstdio>

#include "base/text.h"
#include "rtjit.h"
#include "tools/rtjit/command.h"

namespace rtjit {

int fail(const Error& error) {
  fmt::print(stderr, "rtjit: {}\n", error.message);
  const bool callers = error.code == ErrorCode::invalid_argument || error.code == ErrorCode::not_found;
  return callers ? 2 : 1;
}

namespace {

constexpr AddVerb kVerbs[] = {add_tune,  add_explain,     add_query,    add_bench, add_report, add_cache, add_targets, add_templates,
                              add_check, add_pack,    add_verify_pack, add_pack_key, add_doctor, add_emulate, add_fit,
                              add_worker};

std::string verbs(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands({}))
    if (!verb->get_group().empty()) names.push_back(verb->get_name());
  return join(names, ", ");
}

bool is_verb(const CLI::App& app, const std::string& name) {
  return !app.get_subcommands([&](const CLI::App* verb) { return verb->get_name() == name; }).empty();
}

int run(int argc, char** argv) {
  CLI::App app("Turns CUDA kernel templates into the right kernel for the GPU that is really there.",
               "rtjit");
  app.set_version_flag("--version", std::string("rtjit ") + rtjit_version());
  app.require_subcommand(1);
  Action action;
  for (AddVerb add : kVerbs) add(app, &action);
  // After the verbs, which would inherit it.
  app.footer(
      "Examples:\n"
      "  rtjit tune moe_mxfp4 --preset gpt-oss-20b                     for the GPU that is here: measures\n"
      "  rtjit tune moe_mxfp4 --target sm_120a --preset gpt-oss-20b    for one that is not: predicts and "
      "verifies\n"
      "  rtjit explain moe_mxfp4 --target sm_120a --preset gpt-oss-120b --tokens 8192\n"
      "  rtjit query moe_mxfp4 --preset gpt-oss-20b --tokens 64\n"
      "  rtjit bench moe_mxfp4 --preset gpt-oss-20b                    the whole operation against the hardware\n"
      "Each verb has its own --help.");
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return fmt::format("rtjit: {}\nRun with --help for more information.\n", error.what());
  });
  if (argc == 1) {
    fmt::print(stderr, "{}", app.help());
    return 2;
  }
  if (std::string name = argv[1]; !name.starts_with('-') && !is_verb(app, name))
    return fail(
        make_error(ErrorCode::invalid_argument, "there is no verb '{}'; verbs are {}", name, verbs(app)));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);  // prints the help or what is wrong
    return code == 0 ? 0 : 2;
  }
  return action ? action() : 2;
}

}  // namespace
}  // namespace rtjit

int main(int argc, char** argv) {
  try {
    return rtjit::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "rtjit: internal error: {}\n", error.what());
    return 1;
  }
}
