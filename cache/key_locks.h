// One process does the work that several would do at once; the others wait and find it done.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "cache/store.h"

namespace rtjit {

// Locks for keys (of binaries to be compiled, of problems to be tuned) beside the user database, in the folder
// <database>.locks. The kernel releases them when a process dies, so that none is ever stale, whoever gets its number later.
// A key's lock is one of 256 files: few files stay behind, and now and then two keys wait for each other without need.
// All are taken in one order, so that two holders of several cannot block each other.
class KeyLocks {
 public:
  // Waits at most `patience` in all. Where there is no place for locks, or the wait was too long, life goes on without:
  // work is then done twice, never not at all.
  KeyLocks(const Store& store, const std::vector<std::string>& keys, std::chrono::milliseconds patience);
  KeyLocks(const KeyLocks&) = delete;
  KeyLocks& operator=(const KeyLocks&) = delete;

  bool held() const { return held_; }  // all of them

 private:
  std::vector<std::unique_ptr<FileLock>> locks_;
  bool held_ = false;
};

}  // namespace rtjit
