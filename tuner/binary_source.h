// Where binaries come from: memory, the store, the compiler. Opens the compiler only when it must.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "compiler/compile_pool.h"
#include "tuner/candidates.h"
#include "tuner/ledger.h"
#include "tuner/session.h"

namespace rtjit {

// Not thread-safe (the pool behind it is).
class BinarySource {
 public:
  BinarySource(Store* store, CompilePoolFactory compiler) : store_(store), factory_(std::move(compiler)) {}

  // The binary of a request. `compiler` is the one an earlier binary was made with, "" when not known.
  Result<CompileOutcome> get(const CompileRequest& request, const std::string& compiler = "");
  // A request's binary if memory or the store has it; null otherwise.
  std::shared_ptr<const Binary> find(const CompileRequest& request, const std::string& compiler);

  Result<CompilePool*> pool();
  bool pool_open() const { return pool_ != nullptr; }

  // Remembers it, as long as memory allows (about half a gigabyte).
  void keep(const std::shared_ptr<const Binary>& binary);

  int compiled() const { return compiled_; }
  int reused() const { return reused_; }
  void count_compiled() { ++compiled_; }
  void count_reused() { ++reused_; }

 private:
  Store* store_;
  CompilePoolFactory factory_;
  std::shared_ptr<CompilePool> pool_;
  std::map<std::string, std::shared_ptr<const Binary>> kept_;
  size_t kept_bytes_ = 0;
  int compiled_ = 0, reused_ = 0;
};

struct CompileGateRun {
  const SearchContext& context;
  BinarySource& binaries;
  Ledger& ledger;
  const TuneLimits& limits;
  bool force = false;  // do not trust stored verdicts
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(int64_t done, int64_t total)> progress;  // may be empty
  std::function<void(const Candidate&)> rejected;             // may be empty
};

// Applies what the store knows: verdicts and resources of earlier compiles, and failures when run. Needs no
// compiler.
void apply_stored(const CompileGateRun& run, const std::vector<Candidate*>& candidates);

// Compiles what is still undecided, in parallel; every outcome is stored. ErrorCode::cancelled when asked to
// stop (everything finished is stored), any other Error is the environment's.
Status run_compile_gate(const CompileGateRun& run, const std::vector<Candidate*>& candidates);

}  // namespace rtjit
