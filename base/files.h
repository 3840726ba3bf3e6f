// The few things about files that more than one module needs.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace rtjit {

// "a/b.db" -> "a", "b.db" -> ".", "/b.db" -> "/".
std::string parent_directory(std::string_view path);

// mkdir -p with mode 0755 (less the umask). Success when it is there already.
Status make_directories(const std::string& path);

// Whether this process may create files in the folder: false also on a read-only file system.
bool directory_is_writable(const std::string& path);

// Which file a path names now. A replaced file has another identity.
struct FileIdentity {
  uint64_t device = 0, inode = 0;
  bool operator==(const FileIdentity&) const = default;
};
std::optional<FileIdentity> file_identity(const std::string& path);  // nothing: no such file
int64_t file_bytes(const std::string& path);                         // 0: no such file

// The name of the network file system that holds the path ("nfs", "smb", ...), or "" for a local one.
std::string network_file_system(const std::string& path);
std::string network_file_system_name(uint64_t statfs_type);

// "20261120T201300Z": sorts by time and fits a file name.
std::string utc_stamp(int64_t unix_seconds);

// An advisory lock between processes, on a file of its own that stays behind. Released by the kernel when the
// process dies, so that it is never stale. Where the file cannot be created or locked, held() is false and
// life goes on.
class FileLock {
 public:
  // Waits at most `patience`: a stopped process must not stop all others.
  explicit FileLock(const std::string& path, std::chrono::milliseconds patience = std::chrono::seconds(5));
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  bool held() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

}  // namespace rtjit
