// Opens contexts on the fake device with the templates of this folder, and databases that a test can keep.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "runtime/context.h"
#include "runtime/handle.h"
#include "tests/runtime/fake_device.h"

namespace rtjit::testing {

// A folder that goes with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rtjit-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

class RuntimeTest : public ::testing::Test {
 protected:
  ContextOptions options(const std::string& database = ":memory:") {
    ContextOptions result;
    result.database = database;
    result.template_folders = {RTJIT_SOURCE_DIR "/tests/runtime/templates",
                               RTJIT_SOURCE_DIR "/tests/data/templates"};
    result.log = [this](LogLevel level, const std::string& message) {
      (level == LogLevel::info ? infos : warnings).push_back(message);
    };
    return result;
  }
  // `device` is set to the fake; it belongs to the context.
  std::shared_ptr<Context> open_context(const std::string& database = ":memory:",
                                        const std::string& target = "sm_90a") {
    auto fake = std::make_unique<FakeDevice>(target);
    device = fake.get();
    auto context = Context::open(options(database), std::move(fake));
    EXPECT_TRUE(context.ok()) << (context.ok() ? "" : context.error().message);
    return context.ok() ? *context : nullptr;
  }
  std::unique_ptr<KernelHandle> open_kernel(std::shared_ptr<Context> context, const std::string& name,
                                            const std::string& problem, const OpenOptions& open = {}) {
    auto handle = KernelHandle::open(std::move(context), name, problem, open);
    EXPECT_TRUE(handle.ok()) << (handle.ok() ? "" : handle.error().message);
    return handle.ok() ? std::move(*handle) : nullptr;
  }

  FakeDevice* device = nullptr;
  std::vector<std::string> infos, warnings;
};

// Device memory by address alone: the fake never reads it.
inline TensorArg tensor(const char* name, DType dtype, std::vector<int64_t> shape,
                        std::vector<int64_t> strides = {}, DevicePtr data = 0x10000) {
  TensorArg result;
  result.name = name;
  result.dtype = dtype;
  result.data = data;
  result.rank = static_cast<int>(shape.size());
  for (size_t i = 0; i < shape.size() && i < 4; ++i) result.shape[i] = shape[i];
  for (size_t i = 0; i < strides.size() && i < 4; ++i) result.stride[i] = strides[i];
  return result;
}

}  // namespace rtjit::testing
