// Where binaries come from: memory, the store, the compiler. Opens the compiler only when it must.
#pragma once

#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "compiler/compile_pool.h"
#include "tuner/candidates.h"
#include "tuner/session.h"

namespace rtjit {

// Binaries in memory, as long as it suffices (half a gigabyte). Thread-safe.
class BinaryCache {
 public:
  std::shared_ptr<const Binary> find(const std::string& key) const;  // null: not there
  void keep(const std::shared_ptr<const Binary>& binary);

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Binary>> kept_;
  size_t bytes_ = 0;
};

// Not thread-safe (the pool and the cache behind it are).
class BinarySource {
 public:
  // `cache`: shared with other sources, or null for one of its own.
  BinarySource(Store* store, CompilePoolFactory compiler, std::shared_ptr<BinaryCache> cache = nullptr)
      : store_(store),
        factory_(std::move(compiler)),
        cache_(cache ? std::move(cache) : std::make_shared<BinaryCache>()) {}

  // The binary of a request. `compiler` is the one an earlier binary was made with, "" when not known.
  Result<CompileOutcome> get(const CompileRequest& request, const std::string& compiler = "");
  // Starts compiling what get() will be asked for, and returns at once.
  Status begin(const CompileRequest& request, const std::string& compiler = "");
  // A request's binary if memory or the store has it; null otherwise.
  std::shared_ptr<const Binary> find(const CompileRequest& request, const std::string& compiler);

  // What the PTX of a request's binary needs, by name, separated by spaces; "" where there is no binary.
  std::string features(const CompileRequest& request, const std::string& compiler);

  Result<CompilePool*> pool();
  bool pool_open() const { return pool_ != nullptr; }

  void keep(const std::shared_ptr<const Binary>& binary) { cache_->keep(binary); }

  int compiled() const { return compiled_; }
  int reused() const { return reused_; }
  void count_compiled() { ++compiled_; }
  void count_reused() { ++reused_; }

 private:
  Store* store_;
  CompilePoolFactory factory_;
  std::shared_ptr<CompilePool> pool_;
  std::shared_ptr<BinaryCache> cache_;
  std::map<std::string, std::shared_future<Result<CompileOutcome>>> begun_;  // by key
  int compiled_ = 0, reused_ = 0;
};

}  // namespace rtjit
