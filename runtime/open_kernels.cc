#include "runtime/open_kernels.h"

#include <algorithm>
#include <mutex>

#include "runtime/c_api_objects.h"

namespace rtjit {

void OpenKernels::add(std::string_view template_name, std::string_view problem, rtjit_kernel* kernel) {
  Key key{std::string(template_name), std::string(problem)};
  const std::scoped_lock lock(lock_);
  auto& list = kernels_[std::move(key)];
  if (std::find(list.begin(), list.end(), kernel) == list.end()) list.push_back(kernel);
}

rtjit_kernel* OpenKernels::find(std::string_view template_name, std::string_view problem) const {
  const View view{template_name, problem};
  const std::scoped_lock lock(lock_);
  const auto found = kernels_.find(view);
  if (found == kernels_.end()) return nullptr;
  rtjit_kernel* kernel = found->second.front();
  ++kernel->references;
  return kernel;
}

bool OpenKernels::release(rtjit_kernel* kernel) {
  const std::scoped_lock lock(lock_);
  if (--kernel->references > 0) return false;
  for (auto entry = kernels_.begin(); entry != kernels_.end();) {
    std::erase(entry->second, kernel);
    entry = entry->second.empty() ? kernels_.erase(entry) : std::next(entry);
  }
  return true;
}

}  // namespace rtjit
