// Counts what the calling thread asks of the C library while it watches.
#pragma once

namespace rtjit::testing {

// False where a sanitizer has these functions already.
bool can_watch();

struct Watched {
  int allocations = 0;  // malloc, calloc, realloc, aligned_alloc, posix_memalign and what is built on them
  int frees = 0;        // free of something
  int locks = 0;        // pthread mutexes and read-write locks, taken or tried
  int environment_reads = 0;  // getenv, secure_getenv
};

// From construction to stop(), on this thread.
class Watch {
 public:
  Watch();
  ~Watch() { (void)stop(); }
  Watched stop();
};

}  // namespace rtjit::testing
