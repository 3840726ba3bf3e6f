// Where the user's database lies.
#include <sys/stat.h>

#include <string>

#include "base/environment.h"
#include "cache/store.h"

namespace rtjit {
namespace {

bool names_a_folder(const std::string& path) {
  struct stat info {};
  return path.back() == '/' || (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode));
}

std::string inside(std::string folder, const char* name) {
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  return folder + (folder == "/" ? "" : "/") + name;
}

}  // namespace

Result<std::string> user_cache_path() {
  const std::string chosen = environment("RTJIT_CACHE");
  if (!chosen.empty()) return names_a_folder(chosen) ? inside(chosen, "cache.db") : chosen;
  // The XDG rules: a relative path is to be ignored.
  const std::string xdg = environment("XDG_CACHE_HOME");
  if (!xdg.empty() && xdg.front() == '/') return inside(xdg, "rtjit/cache.db");
  const std::string home = environment("HOME");
  if (!home.empty() && home.front() == '/') return inside(home, ".cache/rtjit/cache.db");
  return make_error(
      ErrorCode::not_found,
      "no place for the cache: RTJIT_CACHE, XDG_CACHE_HOME and HOME are not set. Set RTJIT_CACHE to a file "
      "or a folder");
}

}  // namespace rtjit
