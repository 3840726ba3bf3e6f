#include "cache/foreign_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "cache/schema.h"

namespace rtjit {
namespace {

// Of SQLite's file header: https://www.sqlite.org/fileformat.html
constexpr std::string_view kMagic("SQLite format 3\0", 16);
constexpr size_t kApplicationIdAt = 68;  // big-endian, 4 bytes
constexpr size_t kDamagedBytes = 3;      // of the magic that may be neither right nor zero

}  // namespace

Status refuse_foreign_file(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return {};
  std::ifstream file(path, std::ios::binary);
  std::array<char, kApplicationIdAt + 4> head{};
  file.read(head.data(), head.size());
  const size_t length = static_cast<size_t>(file.gcount());
  if (length == 0) return {};  // empty, or SQLite will say why it cannot be read
  // A cache of which a crash left zeros, or with a few wrong bytes there, is damaged, not foreign.
  const size_t compared = std::min(kMagic.size(), length);
  size_t wrong = 0;
  for (size_t i = 0; i < compared; ++i) wrong += head[i] != kMagic[i] && head[i] != '\0';
  if (wrong == 0 || (compared == kMagic.size() && wrong <= kDamagedBytes)) return {};
  int64_t application = 0;
  for (size_t i = kApplicationIdAt; i < head.size(); ++i) {
    application = application << 8 | static_cast<unsigned char>(head[i]);
  }
  if (application == kApplicationId) return {};  // a cache with a damaged header
  return make_error(
      ErrorCode::invalid_argument,
      "{} is not a cache and is left as it is: it does not begin as SQLite databases do. Name the file "
      "of a cache, or one that is not there yet",
      path);
}

}  // namespace rtjit
