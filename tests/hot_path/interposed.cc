#include "tests/hot_path/interposed.h"

#ifdef RTJIT_SANITIZED

namespace rtjit::testing {
bool can_watch() { return false; }
Watch::Watch() = default;
Watched Watch::stop() { return {}; }
}  // namespace rtjit::testing

#else

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// What the C library exports under a second name, so that the interposed functions need no lookup that
// allocates.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);
extern char** environ;
}

namespace {
thread_local bool watching = false;
thread_local rtjit::testing::Watched seen;

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

using LockFunction = int (*)(void*);
int lock(LockFunction function, void* what) {
  if (watching) ++seen.locks;
  return function(what);
}

const char* find_variable(const char* name) {
  if (watching) ++seen.environment_reads;
  const size_t length = strlen(name);
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=') return *entry + length + 1;
  }
  return nullptr;
}
}  // namespace

// Seen by the shared libraries too, whatever the build's default is.
#pragma GCC visibility push(default)
extern "C" {
void* malloc(size_t bytes) {
  if (watching) ++seen.allocations;
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) {
  if (watching) ++seen.allocations;
  return __libc_calloc(count, bytes);
}
void* realloc(void* pointer, size_t bytes) {
  if (watching) ++seen.allocations;
  return __libc_realloc(pointer, bytes);
}
void* memalign(size_t alignment, size_t bytes) {
  if (watching) ++seen.allocations;
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }
int posix_memalign(void** pointer, size_t alignment, size_t bytes) {
  *pointer = memalign(alignment, bytes);
  return *pointer == nullptr ? ENOMEM : 0;
}
void free(void* pointer) {
  if (watching && pointer != nullptr) ++seen.frees;
  __libc_free(pointer);
}

#define RTJIT_INTERPOSE_LOCK(name, type)                            \
  int name(type* what) noexcept {                                   \
    static const LockFunction function = next<LockFunction>(#name); \
    return lock(function, what);                                    \
  }
RTJIT_INTERPOSE_LOCK(pthread_mutex_lock, pthread_mutex_t)
RTJIT_INTERPOSE_LOCK(pthread_mutex_trylock, pthread_mutex_t)
RTJIT_INTERPOSE_LOCK(pthread_rwlock_rdlock, pthread_rwlock_t)
RTJIT_INTERPOSE_LOCK(pthread_rwlock_wrlock, pthread_rwlock_t)
RTJIT_INTERPOSE_LOCK(pthread_rwlock_tryrdlock, pthread_rwlock_t)
RTJIT_INTERPOSE_LOCK(pthread_rwlock_trywrlock, pthread_rwlock_t)

char* getenv(const char* name) noexcept { return const_cast<char*>(find_variable(name)); }
char* secure_getenv(const char* name) noexcept { return const_cast<char*>(find_variable(name)); }
}
#pragma GCC visibility pop

namespace rtjit::testing {

bool can_watch() { return true; }
Watch::Watch() {
  seen = {};
  watching = true;
}
Watched Watch::stop() {
  watching = false;
  return seen;
}

}  // namespace rtjit::testing

#endif
