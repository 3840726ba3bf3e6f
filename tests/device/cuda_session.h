// The GPU and the library that all tests of this program share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "tests/device/cases/config_plan.h"

namespace rtjit::testing {

// Opened once per run, on the database in RTJIT_TEST_DB (kept: the next run compiles nothing), else on one
// that goes with the process.
class CudaSession : public ::testing::Environment {
 public:
  static CudaSession& instance();

  void SetUp() override;
  void TearDown() override;

  // At most so many configs per case, besides the library's choice and the references (RTJIT_TEST_CONFIGS,
  // for runs under compute-sanitizer); 0: no limit.
  static size_t config_limit();

  std::shared_ptr<Context> context;  // null without a GPU
  std::string absent;                // why there is none
  std::string broken;                // what failed although there is one
  std::string database;
  Coverage moe, fp8;

 private:
  std::filesystem::path folder_;
};

// Skips without a GPU, or fails where RTJIT_REQUIRE_DEVICE is set.
class CudaTest : public ::testing::Test {
 protected:
  void SetUp() override;
  CudaSession& session() { return CudaSession::instance(); }
  const std::shared_ptr<Context>& context() { return CudaSession::instance().context; }
  Device& device() { return context()->device(); }
};

}  // namespace rtjit::testing
