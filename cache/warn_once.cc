#include "cache/warn_once.h"

#include <fmt/format.h>

#include <cstdio>

namespace rtjit {

WarnOnce::WarnOnce(std::function<void(const std::string&)> sink) : sink_(std::move(sink)) {
  if (!sink_) sink_ = [](const std::string& text) { fmt::print(stderr, "rtjit: {}\n", text); };
}

void WarnOnce::warn(const std::string& cause, const std::string& text) {
  {
    const std::lock_guard lock(mutex_);
    if (!said_.insert(cause).second) return;
  }
  sink_(text);
}

}  // namespace rtjit
