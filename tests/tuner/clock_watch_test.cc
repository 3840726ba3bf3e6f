#include "tuner/clock_watch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace rtjit {
namespace {

TEST(ClockWatch, WhatIsTimedGoesOnMeanwhile) {
  std::promise<void> asked;
  std::promise<GpuClocks> told;
  const ClockReader slow = [&] {
    asked.set_value();
    return told.get_future().get();
  };
  ClockWatch watch(slow);
  asked.get_future().wait();  // nobody has told yet, and we are here
  told.set_value({1755, false});
  Sample sample;
  watch.finish(&sample);
  EXPECT_EQ(sample.sm_clock_mhz, 1755);
  EXPECT_FALSE(sample.slowed);
}

Sample watched(const std::vector<GpuClocks>& answers) {
  std::atomic<size_t> next = 0;
  const ClockReader reader = [&] { return answers.at(next++); };
  ClockWatch watch(reader);
  for (size_t i = 1; i < answers.size(); ++i) watch.again();
  Sample sample;
  watch.finish(&sample);
  EXPECT_EQ(next, answers.size());
  return sample;
}

TEST(ClockWatch, TheLowestClockCounts) {
  EXPECT_EQ(watched({{1980, false}, {1700, false}, {1900, false}}).sm_clock_mhz, 1700);
  EXPECT_EQ(watched({{0, false}, {1900, false}}).sm_clock_mhz, 1900) << "0 is not known";
  EXPECT_EQ(watched({{1900, false}, {0, false}}).sm_clock_mhz, 1900);
  EXPECT_TRUE(watched({{1980, true}, {1980, false}}).slowed);
  EXPECT_FALSE(watched({{1980, false}, {1980, false}}).slowed);
}

TEST(ClockWatch, NobodyCanTell) {
  const ClockReader nobody;
  ClockWatch watch(nobody);
  watch.again();
  Sample sample;
  watch.finish(&sample);
  EXPECT_EQ(sample.sm_clock_mhz, 0);
}

}  // namespace
}  // namespace rtjit
