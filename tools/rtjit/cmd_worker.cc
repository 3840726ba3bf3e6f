// rtjit worker: the process in which candidates are loaded and measured. Started by `tune`, not by people.
#include <unistd.h>

#include "emulator/emulated_device.h"
#include "tools/rtjit/command.h"
#include "tuner/worker.h"

namespace rtjit {
namespace {

Result<std::unique_ptr<Device>> open_emulated(const std::string& name) {
  auto target = Target::parse(name);
  if (!target) return target.error();
  return make_emulated_device(*target);
}

}  // namespace

void add_worker(CLI::App& app, Action* action) {
  CLI::App* verb = app.add_subcommand("worker", "");
  verb->group("");  // hidden from the help
  auto emulated = std::make_shared<std::string>();
  verb->add_option("--emulate", *emulated, "Stand in for a GPU of this target, for example sm_90a");
  verb->callback([emulated, action] {
    *action = [emulated] {
      DeviceOpener opener;  // the CUDA driver's
      if (!emulated->empty()) opener = [emulated](int) { return open_emulated(*emulated); };
      return run_worker(STDIN_FILENO, STDOUT_FILENO, opener);
    };
  });
}

}  // namespace rtjit
