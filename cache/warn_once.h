// Says each thing once.
#pragma once

#include <functional>
#include <mutex>
#include <set>
#include <string>

namespace rtjit {

// Thread-safe. The function is called without a lock held, so that it may use the store.
class WarnOnce {
 public:
  // An empty function: standard error, each line begun with "rtjit: ".
  explicit WarnOnce(std::function<void(const std::string&)> sink);
  void warn(const std::string& cause, const std::string& text);

 private:
  std::function<void(const std::string&)> sink_;
  std::mutex mutex_;
  std::set<std::string> said_;
};

}  // namespace rtjit
