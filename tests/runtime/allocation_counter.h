// Counts this thread's allocations by operator new for as long as it lives.
#pragma once

namespace rtjit::testing {

class AllocationCounter {
 public:
  AllocationCounter();
  ~AllocationCounter();
  int count() const;
};

}  // namespace rtjit::testing
