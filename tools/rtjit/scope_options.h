// The options that every verb about a problem takes, with the same meaning everywhere, and what they open.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/store.h"
#include "compiler/compile_pool.h"
#include "tuner/problem_scope.h"
#include "tuner/session.h"

namespace rtjit {

struct ScopeOptions {
  ScopeRequest request;
  std::string database;
  std::vector<std::string> template_folders;
  int device = 0;
  bool several_devices = false;  // set before add_to(): the verb can use all GPUs at once
  bool all_devices = false;      // --device all
  bool json = false;

  // TEMPLATE --target --preset --problem --tokens --config --db --templates --device --json
  void add_to(CLI::App& verb);
};

// What a verb works with. The GPU is looked for only when no --target was given.
struct ScopeContext {
  std::shared_ptr<const TemplateRegistry> registry;
  std::unique_ptr<Store> store;
  ProblemScope scope;
};

// How a verb uses the cache.
struct StoreUse {
  bool with_prebuilt = false;  // the winners that came with the library lie beneath the database
  // It only looks: a database that is named must be there, or a slip of the pen would make an empty one.
  bool existing = false;
};
Result<ScopeContext> open_scope(const ScopeOptions& options, StoreUse use = {});

// `database` "": the user's.
Result<std::unique_ptr<Store>> open_store(const std::string& database, StoreUse use = {});
// The winners that came with the library, alone.
Result<std::unique_ptr<Store>> open_shipped_store();

// Opens NVRTC when the first config has to be compiled.
CompilePoolFactory compile_pool_factory(CompilePool::Priority priority = CompilePool::Priority::normal);
// The emulator in place of a GPU that is not here.
EmulatorFactory emulator_factory();

// Set by Ctrl-C and SIGTERM once install_cancel_handler() was called; a second one ends the process at once.
const std::atomic<bool>* install_cancel_handler();

}  // namespace rtjit
