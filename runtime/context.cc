#include "runtime/context.h"

#include <cstdio>

#include "compiler/nvrtc.h"
#include "runtime/cuda_device.h"
#include "runtime/prebuilt.h"

namespace rtjit {

Result<std::shared_ptr<Context>> Context::open(ContextOptions options) {
  auto device = open_cuda_device(options.device);
  if (!device) return device.error();
  return open(std::move(options), std::move(*device));
}

Result<std::shared_ptr<Context>> Context::open(ContextOptions options, std::unique_ptr<Device> device) {
  std::shared_ptr<Context> context(new Context);
  context->options_ = std::move(options);
  context->device_ = std::move(device);
  auto registry = TemplateRegistry::create(context->options_.template_folders);
  if (!registry) return registry.error();
  context->registry_ = std::move(*registry);
  StoreOptions store_options;
  store_options.path = context->options_.database;
  store_options.read_only = context->options_.read_only;
  store_options.trusted_keys = context->options_.trusted_keys;
  if (context->options_.prebuilt) store_options.prebuilt = prebuilt_database();
  LogFunction log = context->options_.log;
  if (log) store_options.warn = [log](const std::string& message) { log(LogLevel::warning, message); };
  auto store = Store::open(store_options);
  if (!store) return store.error();
  context->store_ = std::move(*store);
  for (const std::string& sentence : context->device_->info().disagreements) {
    context->log(LogLevel::warning, sentence);
  }
  return context;
}

Result<CompilePool*> Context::compile_pool() {
  std::lock_guard lock(compiler_mutex_);
  if (pool_ == nullptr) {
    auto nvrtc = Nvrtc::open();
    if (!nvrtc) return nvrtc.error();
    log(LogLevel::info, fmt::format("compiling with {} from {}", (*nvrtc)->version(), (*nvrtc)->path()));
    pool_ = std::make_unique<CompilePool>(std::move(*nvrtc));
  }
  return pool_.get();
}

bool Context::compiler_opened() const {
  std::lock_guard lock(compiler_mutex_);
  return pool_ != nullptr;
}

void Context::log(LogLevel level, const std::string& message) const {
  if (options_.log) {
    options_.log(level, message);
  } else if (level != LogLevel::info) {
    fmt::print(stderr, "rtjit: {}\n", message);
  }
}

}  // namespace rtjit
