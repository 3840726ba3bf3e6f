#include "base/spin_lock.h"

#include <gtest/gtest.h>

#include <mutex>
#include <vector>

namespace rtjit::test {
namespace {

TEST(SpinLock, LetsOneIn) {
  SpinLock lock;
  int64_t count = 0;  // not atomic
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20000; ++i) {
        const std::scoped_lock held(lock);
        ++count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 80000);
  EXPECT_TRUE(lock.try_lock());
  EXPECT_FALSE(lock.try_lock());
  lock.unlock();
  EXPECT_TRUE(lock.try_lock());
}

}  // namespace
}  // namespace rtjit::test
