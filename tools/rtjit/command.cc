#include "tools/rtjit/command.h"

#include <fmt/format.h>

#include <cstdio>

#include "rtjit.h"

namespace rtjit {

int fail(const Error& error) {
  fmt::print(stderr, "rtjit: {}\n", error.message);
  const bool callers = error.code == ErrorCode::invalid_argument || error.code == ErrorCode::not_found;
  return callers ? 2 : 1;
}

namespace {

constexpr AddVerb kVerbs[] = {add_tune,    add_explain,   add_query, add_bench, add_report,      add_cache,
                              add_targets, add_templates, add_check, add_pack,  add_verify_pack, add_pack_key,
                              add_doctor,  add_emulate,   add_fit,   add_worker};

}  // namespace

void describe_command(CLI::App& app, Action* action) {
  app.name("rtjit");
  app.description("Turns CUDA kernel templates into the right kernel for the GPU that is really there.");
  app.set_version_flag("--version", std::string("rtjit ") + rtjit_version());
  app.require_subcommand(1);
  for (AddVerb add : kVerbs) add(app, action);
  // After the verbs, which would inherit it.
  app.footer(
      "Examples:\n"
      "  rtjit tune moe_mxfp4 --preset gpt-oss-20b                     for the GPU that is here: measures\n"
      "  rtjit tune moe_mxfp4 --target sm_120a --preset gpt-oss-20b    for one that is not: predicts and "
      "verifies\n"
      "  rtjit explain moe_mxfp4 --target sm_120a --preset gpt-oss-120b --tokens 8192\n"
      "  rtjit query moe_mxfp4 --preset gpt-oss-20b --tokens 64\n"
      "  rtjit bench moe_mxfp4 --preset gpt-oss-20b                    the whole operation against the "
      "hardware\n"
      "Each verb has its own --help.");
}

}  // namespace rtjit
