// Runs the rtjit command on a database of its own.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/process.h"

namespace rtjit {

class CommandTest : public testing::Test {
 protected:
  CommandTest() {
    folder_ = testing::TempDir() + "rtjit-command-" + std::to_string(getpid());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~CommandTest() override { std::filesystem::remove_all(folder_); }

  // RTJIT_CACHE points into the test's own folder.
  ProcessOutcome run(std::vector<std::string> arguments,
                     std::vector<std::pair<std::string, std::string>> environment = {}) {
    ProcessOptions options;
    options.arguments = {RTJIT_COMMAND};
    options.arguments.insert(options.arguments.end(), arguments.begin(), arguments.end());
    options.environment = {{"RTJIT_CACHE", folder_ + "/cache.db"}};
    options.environment.insert(options.environment.end(), environment.begin(), environment.end());
    auto outcome = run_process(options, Milliseconds(300'000));
    EXPECT_TRUE(outcome.ok()) << (outcome.ok() ? "" : outcome.error().message);
    return outcome.ok() ? *outcome : ProcessOutcome{};
  }

  // The output of a call that must succeed, parsed.
  nlohmann::json json(std::vector<std::string> arguments) {
    arguments.push_back("--json");
    const ProcessOutcome outcome = run(std::move(arguments));
    EXPECT_TRUE(outcome.exit.ok()) << outcome.exit.describe() << "\n" << outcome.error_output;
    auto parsed = nlohmann::json::parse(outcome.output, nullptr, false);
    EXPECT_FALSE(parsed.is_discarded()) << outcome.output;
    return parsed;
  }

  std::string folder_;
};

}  // namespace rtjit
