// Loads the PTX of one program.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "base/npy.h"
#include "emulator/emulator.h"

namespace rtjit {

class ProgramTest : public testing::Test {
 protected:
  explicit ProgramTest(std::string_view target = "sm_90a") : emulator(target) {}

  void load(const std::string& name) {
    auto text =
        read_whole_file(std::string(RTJIT_SOURCE_DIR) + "/tests/emulator_programs/ptx/" + name + ".ptx");
    ASSERT_TRUE(text.ok()) << text.error().message;
    emulator.load(*text);
    ASSERT_TRUE(emulator.status().ok()) << emulator.status().error().message;
  }
  template <class... Args>
  void launch(const std::string& kernel, Emulator::Dim grid, Emulator::Dim block, uint32_t shared,
              const Args&... arguments) {
    Status status = emulator.run(kernel, grid, block, shared, arguments...);
    ASSERT_TRUE(status.ok()) << status.error().message;
  }
  std::vector<float> uniform(size_t count, float low = -1, float high = 1) {
    std::vector<float> values(count);
    for (float& value : values) value = std::uniform_real_distribution<float>(low, high)(random);
    return values;
  }
  std::vector<int> integers(size_t count, int low, int high) {
    std::vector<int> values(count);
    for (int& value : values) value = std::uniform_int_distribution<int>(low, high)(random);
    return values;
  }

  Emulator emulator;
  std::mt19937 random{20261124};
};

}  // namespace rtjit
