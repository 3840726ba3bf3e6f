#include "compiler/compile_clock.h"

#include <gtest/gtest.h>

#include <thread>

namespace rtjit {
namespace {

using namespace std::chrono_literals;

TEST(CompileClock, WaitingIsNotComputing) {
  CompileClock clock;
  std::this_thread::sleep_for(60ms);
  EXPECT_LT(clock.cpu_time(), 40ms);
  EXPECT_FALSE(clock.is_over(50ms));
}

TEST(CompileClock, ComputingBeyondTheLimitIsOver) {
  CompileClock clock;
  EXPECT_FALSE(clock.is_over(20ms));
  while (clock.cpu_time() < 20ms) {
  }
  EXPECT_TRUE(clock.is_over(20ms));
}

TEST(CompileClock, PatienceWithOneThatOnlyWaitsEnds) {
  CompileClock clock;
  std::this_thread::sleep_for(70ms);
  EXPECT_TRUE(clock.is_over(10ms));
}

TEST(CompileClock, IsReadFromAnotherThread) {
  CompileClock clock;
  while (clock.cpu_time() < 20ms) {
  }
  bool over = false;
  std::thread([&] { over = clock.is_over(20ms); }).join();
  EXPECT_TRUE(over);
}

}  // namespace
}  // namespace rtjit
