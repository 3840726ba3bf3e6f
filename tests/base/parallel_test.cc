#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace rtjit {
namespace {

TEST(ParallelFor, CoversEverythingOnceInPiecesOfTheSameSize) {
  for (size_t count : {0, 1, 9, 10, 11, 1000}) {
    std::vector<std::atomic<int>> seen(count);
    std::atomic<int> odd = 0;
    parallel_for(count, 10, [&](size_t begin, size_t end) {
      odd += begin % 10 != 0 || end - begin != std::min<size_t>(10, count - begin);
      for (size_t i = begin; i < end; ++i) ++seen[i];
    });
    EXPECT_EQ(odd, 0);
    for (const auto& times : seen) EXPECT_EQ(times, 1);
  }
}

}  // namespace
}  // namespace rtjit
