// The rtjit command. One file per verb; command.cc puts them together.
#include <fmt/format.h>

#include <cstdio>

#include "base/text.h"
#include "tools/rtjit/command.h"

namespace rtjit {
namespace {

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
  CLI::App app;
  Action action;
  describe_command(app, &action);
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
