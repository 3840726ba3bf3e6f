// What every verb of the command shares: registration, common options, results as text or JSON.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace rtjit {

// A verb: adds itself to the application and, when it was chosen, leaves what is to be run in `action`.
using Action = std::function<int()>;
using AddVerb = void (*)(CLI::App& app, Action* action);

void add_tune(CLI::App& app, Action* action);
void add_bench(CLI::App& app, Action* action);
void add_fit(CLI::App& app, Action* action);
void add_explain(CLI::App& app, Action* action);
void add_query(CLI::App& app, Action* action);
void add_report(CLI::App& app, Action* action);
void add_cache(CLI::App& app, Action* action);
void add_targets(CLI::App& app, Action* action);
void add_templates(CLI::App& app, Action* action);
void add_check(CLI::App& app, Action* action);
void add_pack(CLI::App& app, Action* action);
void add_verify_pack(CLI::App& app, Action* action);
void add_pack_key(CLI::App& app, Action* action);
void add_doctor(CLI::App& app, Action* action);
void add_emulate(CLI::App& app, Action* action);
void add_worker(CLI::App& app, Action* action);

// Makes `app` the whole command: its verbs, its options, its help.
void describe_command(CLI::App& app, Action* action);

// The exit status for an error, after its story went to standard error: 2 for what the caller can mend
// (arguments, names), 1 for everything else.
int fail(const Error& error);

}  // namespace rtjit
