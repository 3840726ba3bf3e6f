// The template that the tuner's tests tune: tests/data/templates/scale_add, its kernels run by
// tests/tuner/fake_device.h.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "cache/store.h"
#include "compiler/compile_pool.h"
#include "compiler/nvrtc.h"
#include "templates/registry.h"
#include "tests/tuner/fake_device.h"
#include "tuner/session.h"

namespace rtjit::test {

inline std::string scale_add_folder() { return RTJIT_SOURCE_DIR "/tests/data/templates/scale_add"; }

inline std::shared_ptr<const TemplateRegistry> scale_add_registry() {
  auto registry = TemplateRegistry::create({scale_add_folder()});
  EXPECT_TRUE(registry.ok()) << (registry.ok() ? "" : registry.error().message);
  return *registry;
}

inline std::unique_ptr<Store> open_store(const std::string& path) {
  StoreOptions options;
  options.path = path;
  auto store = Store::open(options);
  EXPECT_TRUE(store.ok()) << (store.ok() ? "" : store.error().message);
  return std::move(*store);
}

// A pool that counts how often it is opened.
inline CompilePoolFactory counting_compiler(int* opened) {
  return [opened]() -> Result<std::shared_ptr<CompilePool>> {
    ++*opened;
    auto nvrtc = Nvrtc::open();
    if (!nvrtc) return nvrtc.error();
    return std::make_shared<CompilePool>(*nvrtc);
  };
}

}  // namespace rtjit::test
