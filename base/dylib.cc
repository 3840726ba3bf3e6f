#include "base/dylib.h"

#include <dlfcn.h>
#include <link.h>

#include <utility>

namespace rtjit {

Result<Dylib> Dylib::open(const std::string& path, Lifetime lifetime) {
  int flags = RTLD_NOW | RTLD_LOCAL;
  if (lifetime == Lifetime::stays) flags |= RTLD_NODELETE;
  void* handle = dlopen(path.c_str(), flags);
  if (!handle) {
    const char* reason = dlerror();
    return make_error(ErrorCode::unavailable, "{}", reason ? reason : "the loader gave no reason");
  }
  Dylib library;
  library.handle_ = handle;
  return library;
}

Dylib::Dylib(Dylib&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

Dylib& Dylib::operator=(Dylib&& other) noexcept {
  std::swap(handle_, other.handle_);
  return *this;
}

Dylib::~Dylib() {
  if (handle_) dlclose(handle_);
}

void* Dylib::symbol(const char* name) const { return handle_ ? dlsym(handle_, name) : nullptr; }

std::string Dylib::file() const {
  link_map* map = nullptr;
  if (!handle_ || dlinfo(handle_, RTLD_DI_LINKMAP, &map) != 0 || !map || !map->l_name) return "";
  return map->l_name;
}

}  // namespace rtjit
