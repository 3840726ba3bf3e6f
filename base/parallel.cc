#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace rtjit {
namespace {

// What is shared out here moves memory: more threads than this only get into each other's way.
constexpr size_t kMostThreads = 16;

}  // namespace

void parallel_for(size_t count, size_t piece, const std::function<void(size_t begin, size_t end)>& body) {
  const size_t pieces = (count + piece - 1) / piece;
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < pieces; i = next++) body(i * piece, std::min(count, (i + 1) * piece));
  };
  const size_t processors = std::max(1u, std::thread::hardware_concurrency());
  const size_t threads = std::min({pieces, processors, kMostThreads});
  std::vector<std::thread> others;
  try {
    while (others.size() + 1 < threads) others.emplace_back(work);
  } catch (const std::system_error&) {
    // No more threads are to be had; those that there are do all of it.
  }
  work();
  for (std::thread& thread : others) thread.join();
}

}  // namespace rtjit
