#include "tools/rtjit/scope_options.h"

#include <filesystem>

#include "base/files.h"
#include "base/stop_signals.h"
#include "base/text.h"
#include "compiler/nvrtc.h"
#include "emulator/emulated_device.h"
#include "runtime/cuda_device.h"
#include "runtime/prebuilt.h"

namespace rtjit {

void ScopeOptions::add_to(CLI::App& verb) {
  verb.add_option("template", request.template_name, "Template, for example moe_mxfp4 (see: rtjit templates)")
      ->required();
  verb.add_option("--target", request.target,
                  "Target such as sm_120a; it need not be here. Default: the GPU that is present");
  verb.add_option("--preset", request.preset,
                  "Named problem, for example gpt-oss-20b (see: rtjit templates)");
  verb.add_option("--problem", request.problem,
                  "Problem keys, \"hidden=2880,intermediate=2880\"; they win over --preset");
  verb.add_option(
      "--tokens", request.tokens,
      "Launch sizes, \"64\" or \"1,64,8192\": values of the template's bucket scalar. Default: every bucket");
  verb.add_option("--config", request.config, "Only configs with these values, \"stage=gemm1,block_m=64\"");
  verb.add_option("--db", database, "Cache database. Default: RTJIT_CACHE, else the XDG cache folder");
  verb.add_option("--templates", template_folders, "Folder with further templates; may be repeated");
  verb.add_option_function<std::string>(
      "--device",
      [this](const std::string& text) {
        const auto ordinal = parse_int(text);
        all_devices = several_devices && text == "all";
        if (!all_devices && (!ordinal || *ordinal < 0 || *ordinal > 1023)) {
          throw CLI::ValidationError("--device", fmt::format("'{}' is not the number of a GPU{}", text,
                                                             several_devices ? ", nor 'all'" : ""));
        }
        device = ordinal ? static_cast<int>(*ordinal) : 0;
      },
      several_devices ? "GPU to use where there are several, or \"all\": the work is shared out"
                      : "GPU to use where there are several");
  verb.add_flag("--json", json, "The result as JSON on standard output");
}

Result<std::unique_ptr<Store>> open_store(const std::string& database, StoreUse use) {
  std::error_code ignored;
  if (std::filesystem::is_directory(database, ignored)) {
    return make_error(ErrorCode::invalid_argument, "--db: {} is a folder; name a file in it, such as {}",
                      database, (std::filesystem::path(database) / "cache.db").string());
  }
  if (use.existing && !database.empty() && database != ":memory:" && !file_identity(database)) {
    return make_error(ErrorCode::not_found,
                      "--db: {}: no such file; name a cache database, or leave --db out for the user's",
                      database);
  }
  StoreOptions options;
  options.path = database;
  if (use.with_prebuilt) options.prebuilt = prebuilt_database();
  return Store::open(options);
}

Result<std::unique_ptr<Store>> open_shipped_store() {
  StoreOptions options;
  options.path = ":memory:";
  options.prebuilt = prebuilt_database();
  // Of packs that the environment names, the user's store speaks.
  options.warn = [](const std::string&) {};
  return Store::open(options);
}

Result<ScopeContext> open_scope(const ScopeOptions& options, StoreUse use) {
  ScopeContext context;
  auto registry = TemplateRegistry::create(options.template_folders);
  if (!registry) return registry.error();
  context.registry = *registry;
  // A wrong name is said even where there is no GPU.
  if (auto known = context.registry->find(options.request.template_name); !known) return known.error();
  std::optional<DeviceInfo> device;
  if (options.request.target.empty()) {
    auto opened = open_cuda_device(options.device);
    if (!opened) {
      return make_error(opened.error().code,
                        "no --target was given, and no GPU can be used: {}: {}\nName a target, for example "
                        "--target sm_120a, to work for a GPU that is not here (rtjit targets lists them).",
                        to_string(opened.error().code), opened.error().message);
    }
    device = (*opened)->info();
  }
  auto scope = resolve_scope(**registry, options.request, device);
  if (!scope) return scope.error();
  context.scope = std::move(*scope);
  auto store = open_store(options.database, use);
  if (!store) return store.error();
  context.store = std::move(*store);
  return context;
}

CompilePoolFactory compile_pool_factory(CompilePool::Priority priority) {
  return [priority]() -> Result<std::shared_ptr<CompilePool>> {
    auto nvrtc = Nvrtc::open();
    if (!nvrtc) return nvrtc.error();
    return std::make_shared<CompilePool>(*nvrtc, /*threads=*/0, priority);
  };
}

EmulatorFactory emulator_factory() {
  return [](const Target& target) { return make_emulated_device(target); };
}

const std::atomic<bool>* install_cancel_handler() { return stop_on_signals(); }

}  // namespace rtjit
