// Programs whose blocks work in clusters.
#include <algorithm>

#include "tests/emulator_programs/program_fixture.h"

namespace rtjit {
namespace {

class ClusterProgramTest : public ProgramTest {
 protected:
  ClusterProgramTest() : ProgramTest("sm_90a") {}
};

TEST_F(ClusterProgramTest, HistogramInDistributedSharedMemory) {
  load("cluster_histogram");
  const std::vector<int> values = integers(3000, -5, 410);
  for (int blocks : {1, 2, 8}) {
    int per_block = 400 / blocks;
    std::vector<int> expected(400, 0);
    for (int value : values) ++expected[static_cast<size_t>(std::clamp(value, 0, 399))];
    auto source = emulator.buffer(values);
    auto bins = emulator.buffer(std::vector<int>(400, 0));
    emulator.cluster(blocks);
    launch("cluster_histogram", 16, 96, static_cast<uint32_t>(per_block * 4), source, int(values.size()),
           bins, per_block);
    EXPECT_EQ(emulator.read(bins), expected) << blocks;
  }
}

TEST_F(ClusterProgramTest, SumAcrossTheBlocksOfACluster) {
  load("cluster_histogram");
  const std::vector<int> numbers = integers(5000, -50, 50);
  const std::vector<float> values(numbers.begin(), numbers.end());
  auto source = emulator.buffer(values);
  auto sums = emulator.empty<float>(3);
  launch("cluster_sum", 12, 128, 0, source, int(values.size()), sums);
  std::vector<float> expected(3, 0);
  for (size_t i = 0; i < values.size(); ++i) expected[i / 128 % 12 / 4] += values[i];
  EXPECT_EQ(emulator.read(sums), expected);
}

}  // namespace
}  // namespace rtjit
