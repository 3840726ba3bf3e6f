#include "cache/key_locks.h"

#include <algorithm>
#include <set>

#include "base/hash.h"

namespace rtjit {

KeyLocks::KeyLocks(const Store& store, const std::vector<std::string>& keys, std::chrono::milliseconds patience) {
  const Result<Store::Info> info = store.info();
  if (!info.ok() || !info->writable || info->path == ":memory:") return;
  const std::string folder = info->path + ".locks";
  if (!make_directories(folder).ok()) return;
  std::set<std::string> files;
  for (const std::string& key : keys) files.insert(sha256_hex(key).substr(0, 2));
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (const std::string& file : files) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    locks_.push_back(std::make_unique<FileLock>(folder + "/" + file, std::max(left, std::chrono::milliseconds(0))));
    if (!locks_.back()->held()) {
      locks_.clear();
      return;
    }
  }
  held_ = true;
}

}  // namespace rtjit
