// rtjit worker: the process in which candidates are loaded and measured. Started by `tune`, not by people.
#include <unistd.h>

#include "tools/rtjit/command.h"
#include "tuner/worker.h"

namespace rtjit {

void add_worker(CLI::App& app, Action* action) {
  CLI::App* verb = app.add_subcommand("worker", "");
  verb->group("");  // hidden from the help
  verb->callback([action] { *action = [] { return run_worker(STDIN_FILENO, STDOUT_FILENO); }; });
}

}  // namespace rtjit
