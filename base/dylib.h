// A shared library opened at run time.
#pragma once

#include <string>

#include "base/result.h"

namespace rtjit {

// Closed when destroyed, unless it was opened to stay. Movable, not copyable. Lookups are thread-safe.
class Dylib {
 public:
  enum class Lifetime {
    scoped,  // unloaded by the destructor
    stays,   // never unloaded: for libraries with threads or state that outlive their user
  };

  // `path` is a file, or a bare name for the loader's own search. Not found or not loadable:
  // ErrorCode::unavailable with the loader's words.
  static Result<Dylib> open(const std::string& path, Lifetime lifetime = Lifetime::scoped);

  Dylib() = default;
  Dylib(Dylib&& other) noexcept;
  Dylib& operator=(Dylib&& other) noexcept;
  ~Dylib();

  // Null when there is no such symbol.
  void* symbol(const char* name) const;
  template <typename Function>
  bool bind(const char* name, Function*& target) const {
    target = reinterpret_cast<Function*>(symbol(name));
    return target != nullptr;
  }

  // The file it was really loaded from, or "" when the loader does not tell.
  std::string file() const;

 private:
  void* handle_ = nullptr;
};

}  // namespace rtjit
