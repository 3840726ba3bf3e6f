// Shares a loop out among threads that live as long as it.
#pragma once

#include <cstddef>
#include <functional>

namespace rtjit {

// Calls body(begin, end) for consecutive pieces that together cover 0 .. count. Pieces have `piece` steps,
// the last one what is left, however many threads there are: sums that are kept per piece come out the same
// everywhere. With one piece, or one processor, everything happens on the calling thread.
void parallel_for(size_t count, size_t piece, const std::function<void(size_t begin, size_t end)>& body);

}  // namespace rtjit
