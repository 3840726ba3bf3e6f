// What one opened library holds: templates, the store, a device, and a compiler once something must be
// compiled.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/store.h"
#include "compiler/compile_pool.h"
#include "runtime/device.h"
#include "templates/registry.h"

namespace rtjit {

enum class LogLevel { error = 0, warning = 1, info = 2 };
using LogFunction = std::function<void(LogLevel, const std::string&)>;

struct ContextOptions {
  std::string database;                // "" = user_cache_path()
  std::vector<std::string> read_only;  // databases and packs beneath it
  std::string trusted_keys;            // StoreOptions::trusted_keys
  // Winners that came with the library lie beneath everything else; RTJIT_PREBUILT=0 leaves them out too.
  bool prebuilt = true;
  std::vector<std::string> template_folders;
  int device = 0;   // CUDA ordinal
  LogFunction log;  // empty: warnings and errors go to standard error
};

// Thread-safe.
class Context {
 public:
  // On a CUDA device.
  static Result<std::shared_ptr<Context>> open(ContextOptions options);
  // On a given device (the emulator, or a test's double).
  static Result<std::shared_ptr<Context>> open(ContextOptions options, std::unique_ptr<Device> device);

  const ContextOptions& options() const { return options_; }
  const TemplateRegistry& registry() const { return *registry_; }
  Store& store() const { return *store_; }
  Device& device() const { return *device_; }

  // Opens NVRTC at the first call; every call before that a filled cache spares.
  Result<CompilePool*> compile_pool();
  bool compiler_opened() const;

  void log(LogLevel level, const std::string& message) const;

 private:
  Context() = default;

  ContextOptions options_;
  std::shared_ptr<const TemplateRegistry> registry_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Device> device_;
  mutable std::mutex compiler_mutex_;
  std::unique_ptr<CompilePool> pool_;
};

}  // namespace rtjit
