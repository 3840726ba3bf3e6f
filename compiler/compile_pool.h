// Parallel compiles: all cores, one compile per key at a time, cancellable.
#pragma once

#include <functional>
#include <future>
#include <memory>

#include "compiler/compile.h"

namespace rtjit {

class CompilePool {
 public:
  // How the threads compete with all others of the machine.
  enum class Priority {
    normal,
    background,  // what measures meanwhile gets a core when it wants one
  };

  // threads = 0: one per core. At most that many programs are in memory at once.
  explicit CompilePool(std::shared_ptr<const Nvrtc> nvrtc, int threads = 0,
                       Priority priority = Priority::normal);
  ~CompilePool();  // cancels what has not started and waits for the rest

  // Requests with equal binary_key share one compile. A compile that exceeds its limit resolves to the reject
  // "timeout" at the limit (its thread is given up and replaced).
  std::shared_future<Result<CompileOutcome>> submit(CompileRequest request);

  void cancel_pending();  // their futures resolve to ErrorCode::cancelled
  int threads() const;
  const Nvrtc& nvrtc() const;  // the one that was passed; after a hang the pool works with a fresh copy of it

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace rtjit
