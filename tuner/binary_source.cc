#include "tuner/binary_source.h"

#include "base/text.h"
#include "cache/store.h"
#include "compiler/nvrtc.h"

namespace rtjit {
namespace {

constexpr size_t kMemoryBudget = size_t{512} << 20;

}  // namespace

Result<CompilePool*> BinarySource::pool() {
  if (!pool_) {
    if (!factory_) {
      return make_error(ErrorCode::unavailable, "a config must be compiled, and no compiler was given");
    }
    auto opened = factory_();
    if (!opened) return opened.error();
    pool_ = std::move(*opened);
  }
  return pool_.get();
}

std::shared_ptr<const Binary> BinarySource::find(const CompileRequest& request, const std::string& compiler) {
  std::string by = pool_ ? pool_->nvrtc().version() : compiler;
  if (by.empty()) return nullptr;
  std::string key = binary_key(request, by);
  if (auto kept = cache_->find(key)) return kept;
  if (!store_) return nullptr;
  auto stored = store_->find_binary(key);
  return stored ? *stored : nullptr;
}

std::string BinarySource::features(const CompileRequest& request, const std::string& compiler) {
  auto binary = find(request, compiler);
  if (!binary) return "";
  std::vector<std::string> names;
  for (const FeatureUse& use : binary->features) names.push_back(use.feature);
  return join(names, " ");
}

Status BinarySource::begin(const CompileRequest& request, const std::string& compiler) {
  if (find(request, compiler)) return {};
  auto compile_pool = pool();
  if (!compile_pool) return compile_pool.error();
  begun_.emplace(binary_key(request, (*compile_pool)->nvrtc().version()), (*compile_pool)->submit(request));
  return {};
}

Result<CompileOutcome> BinarySource::get(const CompileRequest& request, const std::string& compiler) {
  if (auto binary = find(request, compiler)) {
    ++reused_;
    return CompileOutcome{std::move(binary), {}};
  }
  auto compile_pool = pool();
  if (!compile_pool) return compile_pool.error();
  auto begun = begun_.find(binary_key(request, (*compile_pool)->nvrtc().version()));
  auto outcome = (begun == begun_.end() ? (*compile_pool)->submit(request) : begun->second).get();
  if (!outcome) return outcome.error();
  ++compiled_;
  if (outcome->binary) keep(outcome->binary);
  return *outcome;
}

std::shared_ptr<const Binary> BinaryCache::find(const std::string& key) const {
  std::lock_guard<std::mutex> lock(mutex_);
  auto found = kept_.find(key);
  return found == kept_.end() ? nullptr : found->second;
}

void BinaryCache::keep(const std::shared_ptr<const Binary>& binary) {
  std::lock_guard<std::mutex> lock(mutex_);
  size_t bytes = binary->cubin.size() + binary->ptx.size() + binary->log.size();
  if (bytes_ + bytes > kMemoryBudget) return;
  if (kept_.emplace(binary->key, binary).second) bytes_ += bytes;
}

}  // namespace rtjit
