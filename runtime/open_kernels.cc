#include "runtime/open_kernels.h"

#include <algorithm>
#include <mutex>

#include "runtime/c_api_objects.h"

namespace rtjit {

void OpenKernels::add(std::string_view template_name, std::string_view problem, rtjit_kernel* kernel) {
  const std::unique_lock lock(mutex_);
  auto& list = kernels_[Key{std::string(template_name), std::string(problem)}];
  if (std::find(list.begin(), list.end(), kernel) == list.end()) list.push_back(kernel);
}

rtjit_kernel* OpenKernels::find(std::string_view template_name, std::string_view problem) const {
  const std::shared_lock lock(mutex_);
  const auto found = kernels_.find(View{template_name, problem});
  if (found == kernels_.end()) return nullptr;
  rtjit_kernel* kernel = found->second.front();
  // release() takes the last reference only under the exclusive lock: what is listed has at least one.
  kernel->references.fetch_add(1, std::memory_order_relaxed);
  return kernel;
}

bool OpenKernels::release(rtjit_kernel* kernel) {
  int count = kernel->references.load(std::memory_order_relaxed);
  while (count > 1) {
    if (kernel->references.compare_exchange_weak(count, count - 1, std::memory_order_acq_rel)) return false;
  }
  const std::unique_lock lock(mutex_);
  if (kernel->references.fetch_sub(1, std::memory_order_acq_rel) > 1) return false;  // found meanwhile
  for (auto entry = kernels_.begin(); entry != kernels_.end();) {
    std::erase(entry->second, kernel);
    entry = entry->second.empty() ? kernels_.erase(entry) : std::next(entry);
  }
  return true;
}

}  // namespace rtjit
