// Tests that compile need NVRTC: its absence is a failure, unless the environment says that it truly has
// none.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <memory>

#include "compiler/nvrtc.h"

namespace rtjit {

class NvrtcTest : public ::testing::Test {
 protected:
  void SetUp() override {
    static const Result<std::shared_ptr<const Nvrtc>> opened = Nvrtc::open();
    if (opened) {
      nvrtc_ = *opened;
      return;
    }
    const char* allowed = std::getenv("RTJIT_TEST_ALLOW_NO_NVRTC");
    if (allowed && std::string(allowed) == "1") {
      std::cout << "skipped, RTJIT_TEST_ALLOW_NO_NVRTC=1: " << opened.error().message << "\n";
      GTEST_SKIP() << opened.error().message;
    }
    FAIL() << opened.error().message;
  }

  // One program compiled for `architecture` ("sm_90a", or "compute_90a" for PTX alone).
  NvrtcOutput compile(const std::string& source, const std::string& architecture,
                      std::vector<std::string> options = {}) {
    NvrtcInput input;
    input.source = source;
    input.name = "test.cu";
    input.options = std::move(options);
    input.options.push_back("--gpu-architecture=" + architecture);
    Result<NvrtcOutput> output = nvrtc_->compile(input);
    EXPECT_TRUE(output.ok()) << output.error().message;
    return output.ok() ? *std::move(output) : NvrtcOutput();
  }

  std::shared_ptr<const Nvrtc> nvrtc_;
};

// Sets an environment variable for one scope.
class ScopedEnvironment {
 public:
  ScopedEnvironment(const char* name, const std::string& value) : name_(name) {
    const char* old = std::getenv(name);
    had_ = old != nullptr;
    if (had_) old_ = old;
    setenv(name, value.c_str(), 1);
  }
  ~ScopedEnvironment() {
    if (had_) {
      setenv(name_, old_.c_str(), 1);
    } else {
      unsetenv(name_);
    }
  }

 private:
  const char* name_;
  bool had_;
  std::string old_;
};

}  // namespace rtjit
